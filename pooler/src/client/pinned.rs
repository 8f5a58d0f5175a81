//! A client whose transaction may have left session state: the server is asked what, settings go on
//! to follow the client, and where it left what only its own connection has, it keeps the connection
//! until the server says that nothing of that is left. What counts as state is for
//! `poolwright_session` to say.

use std::rc::Rc;
use std::time::Duration;

use poolwright_session::Pins;
use tracing::info;

use super::preparing::{Unfinished, bounded, unless_ended};
use super::{Client, Over, farewell};
use crate::clock::timeout;
use crate::conn::{RunError, ServerConn};
use crate::relay::{End, Stay};
use crate::roster::Slot;
use crate::tenant::{Keep, Rules, Tenant};
use crate::worker::Lease;

/// How long a client that is to be pinned waits for another's pin to end. It keeps its connection from
/// all others meanwhile.
const PIN_WAIT: Duration = Duration::from_secs(5);

/// A pinned client's place among the others; given up also where its task panics.
struct Pin {
    tenant: Rc<Tenant>,
    slot: Rc<Slot>,
    reasons: Pins,
}

impl Pin {
    fn new(slot: &Rc<Slot>) -> Pin {
        let tenant = &slot.tenant;
        tenant.pinned.rise();
        tenant.counts.pinned.rise();
        slot.pinned.set(true);
        Pin { tenant: Rc::clone(tenant), slot: Rc::clone(slot), reasons: Pins::NONE }
    }

    /// Counts reasons that are new; answers whether there was one.
    fn count(&mut self, reasons: Pins) -> bool {
        let fresh = reasons.without(self.reasons);
        fresh.places().for_each(|place| self.tenant.counts.pins[place].add(1));
        self.reasons = reasons;
        !fresh.is_none()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.slot.pinned.set(false);
        self.tenant.pinned.fall();
        self.tenant.counts.pinned.fall();
    }
}

impl Client {
    /// After a transaction that may have left something, as long as it does.
    pub(super) async fn settle(&mut self, mut lease: Lease, rules: Rules) -> Result<(), Over> {
        let mut pin = None;
        loop {
            if rules.pins_sequences && lease.model.has_advanced() {
                lease.model.pin_for_sequence();
            }
            if rules.tracks()
                && lease.model.in_doubt()
                && let Err(error) = self.survey(&mut lease).await
            {
                return Err(self.unsure(lease, error));
            }
            let reasons = lease.model.pins();
            if reasons.is_none() || !rules.tracks() && !rules.pins_sequences {
                self.end_pin(pin);
                return self.leave(lease, End::Free);
            }
            if pin.is_none() {
                match self.pin(reasons, rules).await {
                    Ok(place) => pin = Some(place),
                    Err(over) => {
                        self.worker.finish(&self.tenant, lease);
                        return Err(over);
                    }
                }
            }
            if pin.as_mut().is_some_and(|pin| pin.count(reasons)) {
                self.log_pin(reasons);
            }
            lease = self.set_again(lease).await?;
            self.tell_notifications(&mut lease);
            let stay = if rules.tracks() { Stay::UntilDoubt } else { Stay::Always };
            let end = self.attend(&mut lease, stay).await;
            if !matches!(end, End::Free) || self.slot.is_stopping() {
                return self.leave(lease, end);
            }
        }
    }

    /// Gives a client that keeps its session, and has reset something, its startup values again.
    pub(super) async fn restore(&mut self, mut lease: Lease) -> Result<Lease, Over> {
        if let Err(unsure) = self.survey(&mut lease).await {
            return Err(self.unsure(lease, unsure));
        }
        self.set_again(lease).await
    }

    /// Makes the settings the client's while it keeps the connection.
    async fn set_again(&self, mut lease: Lease) -> Result<Lease, Over> {
        if let Err(why) = bounded(&self.slot, lease.apply(&self.conn.session.wanted)).await {
            return Err(self.unprepared(lease, why));
        }
        lease.model.set_restored();
        Ok(lease)
    }

    /// Asks the server what the session holds; no cancel may hit the question.
    async fn survey(&mut self, lease: &mut Lease) -> Result<(), Unfinished> {
        let keeps = !self.tenant.rules().tracks();
        let slot = Rc::clone(&self.slot);
        let session = &mut self.conn.session;
        let asked = async {
            let backend = Rc::clone(&lease.backend);
            backend.cancels_confirmed().await.map_err(RunError::from)?;
            match keeps {
                true => lease.recall(session).await,
                false => lease.survey(session).await,
            }
        };
        bounded(&slot, asked).await
    }

    /// What the client's session has become is not known, so it cannot go on.
    fn unsure(&self, lease: Lease, why: Unfinished) -> Over {
        let why = match why {
            Unfinished::Failed(RunError::Refused(failure)) => {
                self.worker.finish(&self.tenant, lease);
                failure.to_string()
            }
            Unfinished::TookLong => {
                self.worker.give_up(&self.tenant, lease);
                "it did not answer in time".to_owned()
            }
            why => return self.unprepared(lease, why),
        };
        let message = format!(
            "terminating connection: the server did not say what state the session has: {why}"
        );
        farewell("58000", message)
    }

    /// A place among the pinned, once there is one: a lock that one client gives up is another's
    /// before the first is known to have no pin.
    async fn pin(&mut self, reasons: Pins, rules: Rules) -> Result<Pin, Over> {
        if rules.keep == Keep::Refused && reasons != Pins::SEQUENCE {
            return Err(refused(reasons));
        }
        let room = timeout(PIN_WAIT, self.tenant.pinned.room(rules.max_pinned));
        match unless_ended(&self.slot, room).await {
            Ok(Ok(())) => Ok(Pin::new(&self.slot)),
            Ok(Err(_)) => Err(too_many(reasons, rules.max_pinned)),
            Err(ending) => Err(ending.into()),
        }
    }

    fn log_pin(&self, reasons: Pins) {
        let (peer, database, user) = (self.peer, &*self.tenant.database, &*self.tenant.user);
        info!(%peer, user, database, reason = reasons.labels(), "client pinned");
    }

    fn end_pin(&self, pin: Option<Pin>) {
        if pin.is_some() {
            let (peer, database, user) = (self.peer, &*self.tenant.database, &*self.tenant.user);
            info!(%peer, user, database, "client no longer pinned");
        }
    }

    /// What came while the server was asked.
    fn tell_notifications(&mut self, server: &mut ServerConn) {
        self.conn.output.append(&mut server.model.take_notifications());
    }
}

fn refused(reasons: Pins) -> Over {
    let message = format!(
        "terminating connection: its session has what cannot follow it to another server connection \
         ({}), and pool.pinning is error",
        reasons.labels()
    );
    farewell("0A000", message)
}

fn too_many(reasons: Pins, limit: u32) -> Over {
    let message = format!(
        "terminating connection: its session has what only its own server connection has ({}), and \
         {limit} of the pool's connections are kept for such clients already; raise pool.size",
        reasons.labels()
    );
    farewell("53400", message)
}
