//! What is allowed but probably not meant: limits that another limit makes unreachable.
//! Never refuses: settings with hints are used as they are.

use crate::{Channel, Database, ListenTlsMode, Problem, Server, Settings};

impl Settings {
    /// Remarks in the form of problems; empty for settings that add up.
    pub fn hints(&self) -> Vec<Problem> {
        let mut hints = Vec::new();
        for database in self.databases.values() {
            let path = format!("databases[{}]", database.name);
            hints.extend(beyond_server(&path, database, &self.servers[database.server]));
            hints.extend(beyond_database(&path, database));
        }
        hints.extend(self.rules_without_tls());
        if self.users.is_empty() && self.auth_query.is_none() {
            let remedy = "add users, or fill the users file";
            hints.push(Problem::new("users", "none", "someone who may log in", remedy));
        }
        hints
    }

    /// As PostgreSQL warns where `ssl` is off.
    fn rules_without_tls(&self) -> Vec<Problem> {
        let is_off = self.listen.tls.mode == ListenTlsMode::Disable;
        let rules = self.listen.rules.iter().enumerate().filter(|_| is_off);
        let for_tls = rules.filter(|(_, rule)| rule.channel == Channel::Hostssl);
        let hint = |(index, _)| {
            let path = format!("listen.rules[{index}].type");
            let expected = "host or hostnossl while listen.tls.mode is disable";
            Problem::new(path, "hostssl", expected, "the rule fits no connection")
        };
        for_tls.map(hint).collect()
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
