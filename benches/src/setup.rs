//! What a subject is set up for: the same words for every pooler, so that all are asked the same.
//! Never names a pooler; how each is told is in `subject`.

/// How clients show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The login is not measured: trust where the pooler knows it, else SCRAM.
    Whichever,
    Trust,
    Scram,
}

/// Who answers behind the pooler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Postgres,
    Stub,
}

/// What is done about what a client may have left in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tidying {
    /// What the pooler does by default.
    Usual,
    /// The session is reset before another client has it.
    Always,
    /// Nothing follows a client, and nothing keeps it on its connection.
    Never,
}

/// What one subject is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub backend: Backend,
    /// Threads that relay, or processes on one port where a pooler has but one thread.
    pub workers: u32,
    /// Server connections of one (database, user).
    pub pool: u32,
    /// Server connections of all.
    pub cap: u32,
    /// After so many seconds an idle server connection is closed.
    pub idle_timeout: u32,
    pub databases: u32,
    pub users: u32,
    pub login: Login,
    /// Whether clients come with TLS.
    pub tls: bool,
    /// Whether clients use named prepared statements.
    pub prepared: bool,
    /// Whether clients come with parameters of their own.
    pub parameters: bool,
    /// Whether there are more clients than server connections.
    pub crowded: bool,
    pub tidying: Tidying,
}

impl Default for Setup {
    /// One worker, one pool of twenty on PostgreSQL, plain text.
    fn default() -> Setup {
        Setup {
            backend: Backend::Postgres,
            workers: 1,
            pool: 20,
            cap: 20,
            idle_timeout: 600,
            databases: 1,
            users: 1,
            login: Login::Whichever,
            tls: false,
            prepared: false,
            parameters: false,
            crowded: false,
            tidying: Tidying::Usual,
        }
    }
}
