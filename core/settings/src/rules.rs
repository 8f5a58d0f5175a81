//! Which rule holds for a connection, and whom a certificate stands for: the first line that fits, as
//! in pg_hba.conf and pg_ident.conf. It proves nothing about anybody.

use std::net::IpAddr;

use crate::{Channel, Listen, ListenAuth, MapLine, Rule};

/// Any name, in a rule's databases and users.
pub const ALL: &str = "all";
/// The database that has the user's name.
pub const SAME_USER: &str = "sameuser";
/// Physical replication, which has no database; `all` does not name it.
pub const REPLICATION: &str = "replication";
/// In a map, what stands for itself: once in a certificate's name, and so in the user's.
pub const ANY: char = '*';

/// A connection that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    pub database: &'a str,
    pub user: &'a str,
    pub address: IpAddr,
    pub is_tls: bool,
    /// It asks for physical replication.
    pub is_replication: bool,
}

/// How a connection must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand<'a> {
    pub method: ListenAuth,
    /// A password may be sent in clear over a connection in clear.
    pub in_clear: bool,
    /// The map of the certificate's name; none: it must be the user's.
    pub map: Option<&'a str>,
}

impl Listen {
    /// What is demanded of a connection; `None`: no rule is for it, so that it is refused.
    pub fn demand(&self, visitor: &Visitor<'_>) -> Option<Demand<'_>> {
        if self.rules.is_empty() {
            return Some(Demand { method: self.auth, in_clear: false, map: None });
        }
        let rule = self.rules.iter().find(|rule| rule.is_for(visitor))?;
        let in_clear = rule.channel == Channel::Hostnossl;
        Some(Demand { method: rule.method, in_clear, map: rule.map.as_deref() })
    }

    /// Whether a certificate of this name stands for the user.
    pub fn allows(&self, map: Option<&str>, certificate: &str, user: &str) -> bool {
        let Some(map) = map else { return certificate == user };
        let lines = self.maps.iter().filter(|line| line.name == map);
        lines.into_iter().any(|line| line.allows(certificate, user))
    }
}

impl Rule {
    fn is_for(&self, visitor: &Visitor<'_>) -> bool {
        let channel = match self.channel {
            Channel::Host => true,
            Channel::Hostssl => visitor.is_tls,
            Channel::Hostnossl => !visitor.is_tls,
        };
        let address = self.addresses.is_empty()
            || self.addresses.iter().any(|network| network.contains(visitor.address));
        let database = |name: &String| match name.as_str() {
            REPLICATION => visitor.is_replication,
            _ if visitor.is_replication => false,
            ALL => true,
            SAME_USER => visitor.database == visitor.user,
            name => name == visitor.database,
        };
        let user = |name: &String| name == ALL || name == visitor.user;
        channel && address && self.databases.iter().any(database) && self.users.iter().any(user)
    }
}

impl MapLine {
    fn allows(&self, certificate: &str, user: &str) -> bool {
        let Some((before, after)) = self.certificate.split_once(ANY) else {
            return self.certificate == certificate && (self.user == ALL || self.user == user);
        };
        let inner = certificate.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        let stands_for = |inner: &str| self.user.replacen(ANY, inner, 1) == user;
        inner.is_some_and(|inner| !inner.is_empty() && (self.user == ALL || stands_for(inner)))
    }
}

#[cfg(test)]
mod tests;
