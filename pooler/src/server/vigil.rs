//! Has a server notice soon that this process is gone: its sessions end then, and the slots that
//! they took are free. Settings of the session, in its startup message, so that no RESET undoes
//! them. A server that refuses them gets fewer, and is remembered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use super::{ClientKeyCache, ConnectError, Connected, Identity, ServerTarget, connect};

/// How often a server looks for its client while a query runs. PostgreSQL 14 and later know it.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The server's side of what `stream::tune` sets on ours, and [`CHECK_INTERVAL`], both in milliseconds
/// where the unit is not seconds.
const SETTINGS: [(&str, &str); 5] = [
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30000"),
    ("client_connection_check_interval", "1000"),
];
/// How many of them are tried, one after the other: before PostgreSQL 14 servers lack the last one,
/// before 12 the one before, and other poolers take none.
const TRIED: [usize; 4] = [5, 4, 3, 0];

/// Which servers take how many of the settings, by host and port: a place in [`TRIED`].
#[derive(Default)]
pub struct Vigil(RefCell<HashMap<(String, u16), usize>>);

impl Vigil {
    /// As [`connect`], with the settings that this server takes.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(
        &self,
        target: &ServerTarget,
        identity: Identity<'_>,
        keys: &ClientKeyCache,
    ) -> Result<Connected, ConnectError> {
        let place = (target.host.clone(), target.port);
        let known = self.0.borrow().get(&place).copied().unwrap_or(0);
        let mut at = known;
        loop {
            let more = [identity.more, &SETTINGS[..TRIED[at]]].concat();
            match connect(target, Identity { more: &more, ..identity }, keys).await {
                Err(error) if error.is_about_settings() && at + 1 < TRIED.len() => at += 1,
                Err(error) => return Err(error),
                Ok(connected) => {
                    if at > known {
                        self.0.borrow_mut().insert(place, at);
                    }
                    return Ok(Connected { is_watched: at == 0, ..connected });
                }
            }
        }
    }
}
