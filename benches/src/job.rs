//! The order that a load is given and the report that it gives back, as JSON between processes.
//! Never holds a measurement of somebody else's process.

use serde::{Deserialize, Serialize};

/// What each client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// The query of `pgbench -S` as one Query.
    Simple,
    /// The same as unnamed Parse, Bind, Describe, Execute, Sync.
    Extended,
    /// The same as Bind, Describe, Execute, Sync of a statement that is prepared once.
    Prepared,
    /// Ten megabytes: a thousand rows of ten thousand bytes, as one Query.
    Rows,
    /// Connect, log in, one Query, leave.
    Connect,
}

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tls {
    No,
    /// A full handshake each time, as libpq does it.
    Full,
    /// A session is taken up again where the other side lets us.
    Resumed,
}

/// One load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub port: u16,
    /// Addresses that clients come from, 127.0.0.1 and up: one address has 28,000 ports.
    pub sources: u8,
    /// Clients that work.
    pub clients: u32,
    /// Clients that ask one query each and then only stay.
    pub idle: u32,
    /// Logins under way at once: more would only queue in the other side's backlog.
    pub logins: u32,
    pub seconds: f64,
    pub work: Work,
    pub databases: Vec<String>,
    pub users: Vec<String>,
    /// (database, user) pairs, spread over all, that the working clients use.
    pub active_pools: u32,
    /// Of all users.
    pub password: String,
    /// Each client with an application_name and a search_path of its own.
    pub parameters: bool,
    pub tls: Tls,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub transactions: u64,
    /// From the start to the end of the last transaction.
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// The names of `count` databases or users: the bare name, or numbered ones.
pub fn names(base: &str, count: u32) -> Vec<String> {
    match count {
        1 => vec![base.to_owned()],
        _ => (0..count).map(|number| format!("{base}_{number}")).collect(),
    }
}

impl Job {
    /// Database and user of the pool with this number.
    pub fn pool(&self, number: usize) -> (&str, &str) {
        let users = self.users.len();
        (&self.databases[number / users % self.databases.len()], &self.users[number % users])
    }

    pub fn pools(&self) -> usize {
        self.databases.len() * self.users.len()
    }

    /// The pool of a working client: the active ones lie evenly among all.
    pub fn pool_of_client(&self, client: usize) -> usize {
        let active = (self.active_pools as usize).clamp(1, self.pools());
        client % active * self.pools() / active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_pools_lie_evenly_among_all_databases() {
        let names = |base: &str, count| (0..count).map(|n| format!("{base}{n}")).collect();
        let job = Job {
            port: 1,
            sources: 1,
            clients: 200,
            idle: 0,
            logins: 1,
            seconds: 1.0,
            work: Work::Simple,
            databases: names("d", 10),
            users: names("u", 1000),
            active_pools: 100,
            password: String::new(),
            parameters: false,
            tls: Tls::No,
        };
        let mut used: Vec<_> = (0..200).map(|client| job.pool_of_client(client)).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 100);
        assert_eq!(job.pool(used[0]), ("d0", "u0"));
        assert_eq!(job.pool(used[99]), ("d9", "u900"));
    }
}
