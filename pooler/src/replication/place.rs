//! Which server a replication connection is for. It only reads settings.

use poolwright_settings::{ANY, Server, Settings};

/// What the startup parameter `replication` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole instance; clients name a database that need not exist, mostly `replication`.
    Physical,
    /// One database.
    Logical,
}

impl Kind {
    /// The value of `replication` that asks for it.
    pub fn value(self) -> &'static str {
        match self {
            Kind::Physical => "true",
            Kind::Logical => "database",
        }
    }
}

/// Where a replication connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Index into [`Settings::servers`].
    pub index: usize,
    pub server: &'a Server,
    /// The name of the database there.
    pub dbname: &'a str,
}

/// The place that `database`, as the client named it, stands for; `None` if it is none of the
/// settings' and there is more than one server to choose from.
pub fn place<'a>(settings: &'a Settings, kind: Kind, database: &'a str) -> Option<Place<'a>> {
    let at = |index: usize, dbname| Place { index, server: &settings.servers[index], dbname };
    let listed = settings.databases.get(database).filter(|_| database != ANY);
    match (listed, kind) {
        (Some(listed), _) => Some(at(listed.server, &listed.dbname)),
        (None, Kind::Physical) if settings.servers.len() == 1 => Some(at(0, database)),
        (None, _) => {
            let any = settings.databases.get(ANY)?;
            let dbname = if any.dbname == ANY { database } else { &any.dbname };
            Some(at(any.server, dbname))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, place};

    const ONE: &str = r"
servers: [{name: main, host: 127.0.0.1, maxConnections: 10}]
databases: [{name: shop, dbname: shop_v2}]
users: [{name: ann, password: pencil}]
";
    const TWO: &str = r"
servers:
- {name: main, host: 127.0.0.1, maxConnections: 10}
- {name: other, host: 127.0.0.2, maxConnections: 10}
databases: [{name: shop, server: main}, {name: replication, server: other}]
users: [{name: ann, password: pencil}]
";

    #[track_caller]
    fn check(settings: &str, kind: Kind, database: &str, expect: Option<(&str, &str)>) {
        let settings = poolwright_settings::parse(settings, None).unwrap();
        let found = place(&settings, kind, database);
        assert_eq!(found.map(|it| (it.server.name.as_str(), it.dbname)), expect, "{database}");
    }

    #[test]
    fn a_database_of_the_settings_names_its_server() {
        for kind in [Kind::Physical, Kind::Logical] {
            check(ONE, kind, "shop", Some(("main", "shop_v2")));
            check(TWO, kind, "shop", Some(("main", "shop")));
            check(TWO, kind, "replication", Some(("other", "replication")));
        }
    }

    #[test]
    fn the_only_server_is_meant_by_any_other_name_where_no_database_is() {
        check(ONE, Kind::Physical, "replication", Some(("main", "replication")));
        check(ONE, Kind::Logical, "replication", None);
        check(TWO, Kind::Physical, "ann", None);
    }
}
