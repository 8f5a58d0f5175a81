//! How a server looks, asked over a connection of some tenant's pool: within the caps, in its turn,
//! and with that tenant's rights.

use std::rc::Rc;
use std::time::Duration;

use poolwright_pool::ClientId;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tracing::debug;

use super::{Lease, Worker};
use crate::clock::timeout;
use crate::conn::RunError;
use crate::homes::Part;
use crate::roster::Slot;
use crate::tenant::Tenant;

/// How long the wait for a connection may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// After which a server hangs. One that is slow keeps its connections, though nobody waits any more.
const HANGS: Duration = Duration::from_secs(10);
/// Tenants that are tried, one after the other.
const TRIED: usize = 3;
/// One JSON object. Everything is named with its schema: the session may have a client's
/// search_path. Walsenders take none of max_connections.
const QUESTION: &str = "\
    SELECT pg_catalog.json_build_object(\
    'maxConnections', pg_catalog.current_setting('max_connections')::pg_catalog.int4, \
    'superuserReservedConnections', \
    pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4, \
    'reservedConnections', \
    COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int4, \
    'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
    'inRecovery', pg_catalog.pg_is_in_recovery(), \
    'instance', EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.text, \
    'backends', (SELECT COALESCE(pg_catalog.json_agg(\
    pg_catalog.json_build_array(pid, datname, usename)), '[]'::pg_catalog.json) \
    FROM pg_catalog.pg_stat_activity WHERE usename IS NOT NULL \
    AND backend_type IS DISTINCT FROM 'walsender'))::pg_catalog.text";

/// A server to be looked at.
pub struct Look {
    pub server: String,
    pub otherwise: Otherwise,
    /// For the answer's JSON; dropped where there is none.
    pub answer: mpsc::Sender<Vec<u8>>,
}

/// Whose pool is used where no tenant has one yet.
pub enum Otherwise {
    Nobody,
    /// This one's: database, user, and this worker's part in it.
    Tenant(String, String, Part),
    /// That of who asks the server for users.
    Asker,
}

impl Worker {
    pub(super) fn look(self: &Rc<Worker>, look: Look) {
        let Look { server, otherwise, answer } = look;
        let mut tenants = self.tenants_at(&server);
        let made = match otherwise {
            Otherwise::Nobody => None,
            Otherwise::Tenant(database, user, part) => self.tenant(&database, &user, part),
            Otherwise::Asker => self.asker(&server, &self.config.borrow().clone()),
        };
        tenants.extend(made);
        let worker = Rc::clone(self);
        spawn_local(async move {
            for tenant in &tenants {
                if let Some(seen) = worker.ask(tenant).await {
                    // Whoever asked may have left.
                    let _ = answer.send(seen).await;
                    return;
                }
            }
        });
    }

    fn tenants_at(&self, server: &str) -> Vec<Rc<Tenant>> {
        let config = self.config.borrow();
        let tenants = self.tenants.borrow();
        let is_there = |database: &str| {
            let database = config.database(database);
            database.is_some_and(|it| config.servers[it.server].name == server)
        };
        let there = tenants.iter().filter(|((database, _), _)| is_there(database));
        there.map(|(_, it)| Rc::clone(it)).take(TRIED).collect()
    }

    async fn ask(self: &Rc<Worker>, tenant: &Rc<Tenant>) -> Option<Vec<u8>> {
        let guest = Guest::enter(self, tenant);
        let acquired = timeout(PATIENCE, self.pools.acquire(tenant.pool, guest.id())).await;
        drop(guest);
        let (id, conn) = acquired.ok()?.ok()?;
        let mut lease = Lease::new(Rc::clone(self), id, conn);
        match timeout(HANGS, lease.ask(QUESTION)).await {
            Ok(Ok(seen)) => {
                self.release(tenant, lease);
                Some(seen)
            }
            failed => {
                debug!(database = %tenant.database, ?failed, "the server was not looked at");
                match failed {
                    Ok(Err(RunError::Refused(_))) => self.release(tenant, lease),
                    _ => lease.discard("look_failed"),
                }
                None
            }
        }
    }
}

/// A place among the clients, for the wait.
pub(super) struct Guest {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
}

impl Guest {
    pub(super) fn enter(worker: &Rc<Worker>, tenant: &Rc<Tenant>) -> Guest {
        Guest { worker: Rc::clone(worker), slot: worker.roster.enter(tenant) }
    }

    pub(super) fn id(&self) -> ClientId {
        self.slot.id
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.worker.roster.leave(&self.slot);
    }
}
