//! What is allowed but probably not meant: limits that another limit makes unreachable.
//! Never refuses: settings with hints are used as they are.

use crate::{Database, Problem, Proof, Server, Settings};

impl Settings {
    /// Remarks in the form of problems; empty for settings that add up.
    pub fn hints(&self) -> Vec<Problem> {
        let mut hints = Vec::new();
        for database in self.databases.values() {
            let path = format!("databases[{}]", database.name);
            hints.extend(beyond_server(&path, database, &self.servers[database.server]));
            hints.extend(beyond_database(&path, database));
        }
        if self.users.is_empty() {
            let remedy = "add users, or fill the users file";
            hints.push(Problem::new("users", "none", "someone who may log in", remedy));
        }
        hints.extend(self.without_server_password());
        hints
    }

    /// One hint for all users, however many they are.
    fn without_server_password(&self) -> Option<Problem> {
        let is_bare = |proof: &Proof| matches!(proof, Proof::ScramVerifier(_));
        let mut bare = self
            .users
            .values()
            .filter(|user| is_bare(&user.proof) && user.server_password.is_none());
        let first = bare.next()?;
        let path = format!("users[{}].serverPassword", first.name);
        let found = format!("nothing (and for {} more users with a verifier)", bare.count());
        let expected = "what the pooler logs in to Postgres with";
        Some(Problem::new(path, found, expected, "add it unless the server trusts this host"))
    }
}

fn beyond_server(path: &str, database: &Database, server: &Server) -> Option<Problem> {
    (database.max_connections > server.max_connections).then(|| {
        Problem::new(
            format!("{path}.maxConnections"),
            database.max_connections.to_string(),
            format!("at most the server's maxConnections, {}", server.max_connections),
            "the server's limit holds",
        )
    })
}

fn beyond_database(path: &str, database: &Database) -> Option<Problem> {
    let size = database.pool.size;
    (size > database.max_connections).then(|| {
        Problem::new(
            format!("{path}.pool.size"),
            size.to_string(),
            format!("at most the database's maxConnections, {}", database.max_connections),
            "the database's limit holds",
        )
    })
}
