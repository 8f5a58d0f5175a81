//! Opens server connections for the pools: which server, which database, whose password. It knows
//! the settings of the day and nothing of clients.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, hash_map};
use std::rc::Rc;
use std::sync::Arc;

use poolwright_pool::{PoolId, ServerId};
use poolwright_settings::{AuthQuery, Database, Limits, Proof, Secret, Server, Upkeep, User};
use poolwright_wire::startup::{PROTOCOL_3_0, PROTOCOL_3_2};
use tokio::task::spawn_local;
use tracing::warn;

use crate::clock::timeout;
use crate::config::Config;
use crate::conn::{Fitting, ServerConn};
use crate::credential::{Credential, Learned};
use crate::desk::Desk;
use crate::journal::{Entry, Key};
use crate::metrics::Metrics;
use crate::server::{ConnectError, Connected, Identity, Kind, Lingering, ServerTarget};
use crate::tls::ServerTls;
use crate::treasury::Treasury;

/// What servers show as a connection's name until a client sets another.
pub const APPLICATION_NAME: &str = "poolwright";

/// The startup parameters of connections for clients,
const CLIENTS: [(&str, &str); 1] = [("application_name", APPLICATION_NAME)];
/// and of those that look for users.
const ASKERS: [(&str, &str); 3] = [
    ("application_name", APPLICATION_NAME),
    ("search_path", "pg_catalog, pg_temp"),
    ("client_encoding", "UTF8"),
];
/// A new one and an old one, while a password is changed.
const LEARNED: usize = 2;

pub struct Dialer {
    targets: RefCell<HashMap<ServerId, Rc<RefCell<ServerTarget>>>>,
    /// The version of the protocol to ask a server for, where that was found out.
    protocols: RefCell<HashMap<ServerId, i32>>,
    pools: RefCell<HashMap<PoolId, Rc<Login>>>,
    /// Those of the listed users.
    credentials: RefCell<HashMap<String, Vec<Credential>>>,
    /// What clients' logins gave, in the order in which it is tried.
    learned: RefCell<HashMap<(ServerId, String), Vec<Learned>>>,
    statements: Cell<usize>,
    /// That went through.
    logins: Cell<u64>,
    upkeep: RefCell<Option<Upkeep>>,
    desk: Desk,
    treasury: Arc<Treasury>,
    pub metrics: Rc<Metrics>,
}

/// What a pool's connections log in to.
struct Login {
    server: ServerId,
    /// Under which name of the settings it is counted, and its name at the server.
    label: String,
    dbname: String,
    user: String,
    /// Of the user that a database forces, where it says one.
    password: Option<Secret>,
    fitting: Rc<RefCell<Fitting>>,
    /// Startup parameters.
    more: &'static [(&'static str, &'static str)],
}

impl Dialer {
    pub fn new(desk: Desk, treasury: Arc<Treasury>, metrics: Rc<Metrics>) -> Dialer {
        Dialer {
            targets: RefCell::default(),
            protocols: RefCell::default(),
            pools: RefCell::default(),
            credentials: RefCell::default(),
            learned: RefCell::default(),
            statements: Cell::new(0),
            logins: Cell::new(0),
            upkeep: RefCell::default(),
            desk,
            treasury,
            metrics,
        }
    }

    pub fn follow(&self, config: &Config) {
        self.statements.set(config.prepared_statements as usize);
        self.upkeep.replace(Some(config.upkeep.clone()));
        let users = config.users.values();
        let credentials = users.map(|user| (user.name.clone(), Credential::all_of(user)));
        self.credentials.replace(credentials.collect());
        self.learned.borrow_mut().retain(|(_, user), learned| {
            let asked = config.auth_query.is_some();
            let user = config.users.get(user);
            let is_valid = |of: &Secret| user.map_or(asked, |user| is_checked_by(user, of));
            learned.retain(|learned| is_valid(&learned.of));
            !learned.is_empty()
        });
    }

    /// Takes over what a client's login gave; what the secret of before gave is tried last.
    pub fn learn(&self, server: ServerId, user: &str, news: Learned, is_previous: bool) {
        let mut learned = self.learned.borrow_mut();
        let learned = learned.entry((server, user.to_owned())).or_default();
        learned.retain(|old| old.of != news.of);
        learned.insert(if is_previous { learned.len() } else { 0 }, news);
        learned.truncate(LEARNED);
    }

    /// What was tried in vain is of no use any more; what a client's login has given meanwhile is.
    fn unlearn(&self, login: &Login, tried: &[Credential]) {
        let who = (login.server, login.user.clone());
        if let hash_map::Entry::Occupied(mut learned) = self.learned.borrow_mut().entry(who) {
            learned.get_mut().retain(|it| !tried.contains(&it.credential));
            if learned.get().is_empty() {
                learned.remove();
            }
        }
    }

    fn credentials(&self, login: &Login) -> Vec<Credential> {
        if let Some(password) = &login.password {
            return Credential::of(password).into_iter().collect();
        }
        let listed = self.credentials.borrow().get(&login.user).cloned().unwrap_or_default();
        if !listed.is_empty() {
            return listed;
        }
        let learned = self.learned.borrow();
        let learned = learned.get(&(login.server, login.user.clone()));
        learned.into_iter().flatten().map(|it| it.credential.clone()).collect()
    }

    pub fn set_target(&self, id: ServerId, server: &Server, tls: &ServerTls, limits: &Limits) {
        let target = ServerTarget::of(server, tls, limits);
        let mut targets = self.targets.borrow_mut();
        let known = targets.get(&id).filter(|known| known.borrow().is_at(server));
        match known {
            Some(known) => drop(known.replace(target)),
            // Connections to where it was are cancelled there.
            None => drop(targets.insert(id, Rc::new(RefCell::new(target)))),
        }
    }

    /// `label`: under which name of the settings the database is counted.
    pub fn set_pool(
        &self,
        pool: PoolId,
        server: ServerId,
        database: &Database,
        label: &str,
        user: &str,
    ) {
        let forced = database.forced.as_ref();
        let known = self.pools.borrow().get(&pool).map(|login| Rc::clone(&login.fitting));
        let fitting = known.unwrap_or_default();
        fitting.replace(self.fitting(database));
        let login = Login {
            server,
            label: label.to_owned(),
            dbname: database.dbname.clone(),
            user: user.to_owned(),
            password: forced.and_then(|forced| forced.password.clone()),
            fitting,
            more: &CLIENTS,
        };
        self.pools.borrow_mut().insert(pool, Rc::new(login));
    }

    /// Whose connections look for users that are not listed. No client sets what names mean there.
    pub fn set_asker(
        &self,
        pool: PoolId,
        server: ServerId,
        dbname: &str,
        query: &AuthQuery,
        label: &str,
    ) {
        let login = Login {
            server,
            label: label.to_owned(),
            dbname: dbname.to_owned(),
            user: query.user.clone(),
            password: query.password.clone(),
            fitting: Rc::default(),
            more: &ASKERS,
        };
        self.pools.borrow_mut().insert(pool, Rc::new(login));
    }

    /// Logs in for a pool.
    ///
    /// # Errors
    /// [`ConnectError`], which the log has been told.
    pub async fn dial(&self, pool: PoolId) -> Result<ServerConn, ConnectError> {
        let login = Rc::clone(&self.pools.borrow()[&pool]);
        let mut entry = self.treasury.begin(login.server, &login.dbname, &login.user);
        let target = Rc::clone(&self.targets.borrow()[&login.server]);
        let to = target.borrow().clone();
        let credentials = self.credentials(&login);
        match self.log_in(&login, to, &credentials).await {
            Ok(connected) => {
                self.metrics.database(&login.label).server_connects.add(1);
                self.treasury.note_trouble(login.server, None);
                entry.opened(Key::of(&connected));
                let listed = self.treasury.list(login.server, connected.process_id, entry);
                let fitting = Rc::clone(&login.fitting);
                let mut conn =
                    ServerConn::new(target, connected, self.statements.get(), listed, fitting);
                conn.number = self.logins.replace(self.logins.get() + 1);
                self.fit_out(conn, &login).await
            }
            Err(mut error) => {
                match error.lingering.take() {
                    Some(lingering) => self.outlive(login.server, lingering, entry),
                    None => entry.end(),
                }
                if error.is_wrong_password() {
                    self.unlearn(&login, &credentials);
                }
                self.metrics.server_disconnected(error.kind.label());
                match error.kind {
                    // It answers, to others.
                    Kind::Refused => self.treasury.note_trouble(login.server, None),
                    Kind::LocalLimit => {}
                    _ => self.treasury.note_trouble(login.server, Some(error.to_string())),
                }
                warn!(database = login.label, %error, "server login failed");
                Err(error)
            }
        }
    }

    /// The backend of a login that was given up counts until it is gone.
    fn outlive(&self, server: ServerId, lingering: Lingering, mut entry: Entry) {
        let treasury = Arc::clone(&self.treasury);
        treasury.inherit(server, None);
        spawn_local(async move {
            lingering.gone().await;
            treasury.forget(server, None);
            entry.end();
        });
    }

    fn fitting(&self, database: &Database) -> Fitting {
        let sql = |sql: &Option<String>| sql.as_deref().map(Rc::from);
        let upkeep = self.upkeep.borrow();
        Fitting {
            connect: sql(&database.connect_query),
            reset: upkeep.as_ref().and_then(|upkeep| sql(&upkeep.reset_query)),
            check: upkeep.as_ref().and_then(|upkeep| sql(&upkeep.check_query)),
        }
    }

    /// Has the connection run what it must before clients do; one that fails at it is closed.
    async fn fit_out(
        &self,
        mut conn: ServerConn,
        login: &Login,
    ) -> Result<ServerConn, ConnectError> {
        let patience = self.targets.borrow()[&login.server].borrow().connect_timeout;
        let message = match timeout(patience, conn.fit_out()).await {
            Ok(Ok(())) => return Ok(conn),
            Ok(Err(error)) => format!("connectQuery failed: {error}"),
            Err(_) => format!("connectQuery took longer than {patience:?}"),
        };
        self.metrics.server_disconnected("connect_query");
        warn!(database = login.label, message, "server connection not fit for use");
        Box::new(conn).close().await;
        Err(ConnectError::new(Kind::Refused, message))
    }

    /// Speaks protocol 3.2 with servers that have shown to know it, for the longer cancel keys.
    async fn log_in(
        &self,
        login: &Login,
        mut target: ServerTarget,
        credentials: &[Credential],
    ) -> Result<Connected, ConnectError> {
        let known = self.protocols.borrow().get(&login.server).copied();
        target.protocol = known.unwrap_or(PROTOCOL_3_0);
        let mut done = self.prove(login, &target, credentials).await;
        if target.protocol > PROTOCOL_3_0
            && done.as_ref().is_err_and(ConnectError::another_protocol_may_do)
        {
            self.protocols.borrow_mut().insert(login.server, PROTOCOL_3_0);
            target.protocol = PROTOCOL_3_0;
            done = self.prove(login, &target, credentials).await;
        } else if known.is_none() && done.as_ref().is_ok_and(|it| speaks_3_2(&it.parameters)) {
            self.protocols.borrow_mut().insert(login.server, PROTOCOL_3_2);
        }
        done
    }

    async fn prove(
        &self,
        login: &Login,
        to: &ServerTarget,
        credentials: &[Credential],
    ) -> Result<Connected, ConnectError> {
        let Login { dbname, user, more, .. } = login;
        let who = Identity { database: dbname, user, credential: None, more };
        self.desk.connect(to, who, credentials).await
    }
}

/// Whether a user is checked against this secret.
fn is_checked_by(user: &User, secret: &Secret) -> bool {
    let (Proof::Password(now) | Proof::Md5(now) | Proof::ScramVerifier(now)) = &user.proof;
    now == secret || user.previous_verifier.as_ref() == Some(secret)
}

/// Whether a server that reports this speaks protocol 3.2: PostgreSQL 18 is the first.
fn speaks_3_2(parameters: &[(String, String)]) -> bool {
    let version = parameters.iter().find(|(name, _)| name == "server_version");
    let major = version.and_then(|(_, text)| text.split(|it: char| !it.is_ascii_digit()).next());
    major.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|major| major >= 18)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use poolwright_pool::{PoolId, ServerId};
    use poolwright_settings::{Secret, ServerTlsMode};

    use super::{Dialer, speaks_3_2};
    use crate::credential::{Credential, Learned};
    use crate::desk::Desk;
    use crate::journal::Journal;
    use crate::server::{ConnectError, Kind};
    use crate::tls::ServerTls;
    use crate::treasury::Treasury;

    const SERVER: ServerId = ServerId(0);
    const POOL: PoolId = PoolId(0);

    /// Of ann, whom only the server knows.
    fn dialer(desk: Desk) -> Dialer {
        let settings = "servers: [{name: main, host: 127.0.0.1, maxConnections: 10}]
databases: [{name: shop}]
authQuery: {user: asker}
";
        let settings = poolwright_settings::parse(settings, None).unwrap();
        let tls = ServerTls::new(ServerTlsMode::Disable, None, None).unwrap();
        let dialer = Dialer::new(desk, Treasury::new(Vec::new(), Journal::none()), Rc::default());
        dialer.set_target(SERVER, &settings.servers[0], &tls, &settings.limits);
        dialer.set_pool(POOL, SERVER, &settings.databases["shop"], "shop", "ann");
        dialer
    }

    fn password(text: &str) -> Credential {
        Credential::Password(Secret::new(text))
    }

    fn learn(dialer: &Dialer, text: &str) {
        let learned = Learned { credential: password(text), of: Secret::new(text) };
        dialer.learn(SERVER, "ann", learned, false);
    }

    #[tokio::test]
    async fn what_is_learned_while_an_old_password_is_refused_stays() {
        let (desk, mut jobs) = Desk::new();
        let dialer = dialer(desk);
        learn(&dialer, "old");
        let server = async {
            let job = jobs.recv().await.unwrap();
            assert_eq!(job.credential, Some(password("old")));
            learn(&dialer, "new");
            let refused = ConnectError::new(Kind::Refused, "wrong password");
            let refused = ConnectError { sqlstate: Some("28P01".to_owned()), ..refused };
            assert!(job.reply.send(Err(refused)).is_ok());
        };
        let (dialed, ()) = tokio::join!(dialer.dial(POOL), server);
        assert!(dialed.is_err());
        let login = Rc::clone(&dialer.pools.borrow()[&POOL]);
        assert_eq!(dialer.credentials(&login), [password("new")]);
    }

    #[test]
    fn a_server_speaks_3_2_from_18_on() {
        for (version, expect) in [
            ("9.6.24", false),
            ("17.5 (Debian 17.5-1)", false),
            ("18.1", true),
            ("18beta1", true),
            ("20devel", true),
            ("", false),
            ("a fork of 18", false),
        ] {
            let told = [("server_version".to_owned(), version.to_owned())];
            assert_eq!(speaks_3_2(&told), expect, "{version}");
        }
        assert!(!speaks_3_2(&[]));
    }
}
