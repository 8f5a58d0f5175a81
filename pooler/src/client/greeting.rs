//! The first words to a client: its parameters as a server would report them, its cancel key, and
//! that it may begin. A pool that has never seen a server, or not these settings, asks one first.

use poolwright_session::parameters::Wanted;
use poolwright_wire::{CancelKey, TransactionStatus, write};
use tokio::io::AsyncWriteExt;

use super::preparing::bounded;
use super::{Client, Over, farewell};
use crate::tenant::Known;

/// What the startup message asks to be set.
pub(super) fn wanted(parameters: &[(String, String)]) -> Result<Wanted, Over> {
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Wanted::new(pairs).map_err(|error| farewell("42704", error.to_string()))
}

impl Client {
    pub(super) async fn greet(&mut self) -> Result<(), Over> {
        let mut out = std::mem::take(&mut self.prelude);
        write::authentication_ok(&mut out);
        self.conn.session.told = loop {
            match self.tenant.report(&self.conn.session.wanted, &mut out) {
                Some(told) => break told,
                None => self.ask_server().await?,
            }
        };
        self.drop_defaults();
        let key = CancelKey { process_id: self.slot.process_id, secret: &self.slot.secret };
        write::backend_key_data(&mut out, &key);
        write::ready_for_query(&mut out, TransactionStatus::Idle);
        let lost = |error: std::io::Error| Over::Lost(error.to_string());
        self.conn.stream.write_all(&out).await.map_err(lost)?;
        self.conn.stream.flush().await.map_err(lost)
    }

    /// Tries the wanted settings on a server, which knows better than we what they mean.
    async fn ask_server(&mut self) -> Result<(), Over> {
        let Some(mut lease) = self.wait(None).await? else {
            return Err(farewell("57014", "canceling authentication due to user request"));
        };
        if let Err(why) = bounded(&self.slot, lease.apply(&self.conn.session.wanted)).await {
            return Err(self.unprepared(lease, why));
        }
        self.tenant.learn_base(&lease);
        self.tenant.learn(lease.model.parameters(), &self.conn.session.wanted);
        self.worker.release(&self.tenant, lease);
        Ok(())
    }

    /// What equals the server's own setting need not be set.
    fn drop_defaults(&mut self) {
        let session = &mut self.conn.session;
        let names: Vec<String> = session
            .wanted
            .iter()
            .filter(|&(name, value)| self.tenant.known(name, value) == Some(Known::Default))
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in names {
            session.drop_startup(&name);
        }
    }
}
