//! What of a session's state a text may have changed, as a set: what is in doubt is asked of the
//! server before anybody else gets the connection. It decides nothing.

/// A set of doubts.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubts(u16);

impl Doubts {
    pub const NONE: Doubts = Doubts(0);
    /// Settings, the role among them.
    pub const SETTINGS: Doubts = Doubts(1);
    /// Customized settings (`my.var`), which the server lists to nobody: the text has their names.
    pub const CUSTOMS: Doubts = Doubts(2);
    /// Session advisory locks.
    pub const LOCKS: Doubts = Doubts(4);
    /// Cursors WITH HOLD.
    pub const CURSORS: Doubts = Doubts(8);
    /// Statements by PREPARE.
    pub const STATEMENTS: Doubts = Doubts(16);
    /// LISTEN.
    pub const CHANNELS: Doubts = Doubts(32);
    /// Temporary tables and whatever else lives in the session's own schema.
    pub const TEMPORARY: Doubts = Doubts(64);
    /// Any of that, and customized settings whose names nobody knows.
    pub const ANYTHING: Doubts = Doubts(128);
    /// Something of that may have ended; nothing has begun.
    pub const ENDS: Doubts = Doubts(256);
    /// A call of set_config that has not been looked at yet.
    pub(crate) const SET_CONFIG: Doubts = Doubts(512);
    /// Settings, until the transaction ends; no doubt of a whole text, see [`crate::lexer::Look`].
    pub(crate) const LOCALLY: Doubts = Doubts(1024);

    /// What surely cannot follow a client to another connection.
    pub const PINS: Doubts = Doubts(4 | 8 | 16 | 32 | 64);

    /// Any of these changes state where there was none.
    const BEGINNINGS: Doubts = Doubts(255);

    pub const fn and(self, other: Doubts) -> Doubts {
        Doubts(self.0 | other.0)
    }

    pub const fn without(self, other: Doubts) -> Doubts {
        Doubts(self.0 & !other.0)
    }

    pub const fn is_any(self, of: Doubts) -> bool {
        self.0 & of.0 != 0
    }

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a session that had no state of its own may have some now.
    pub const fn begins(self) -> bool {
        self.is_any(Doubts::BEGINNINGS)
    }
}

impl std::ops::BitOrAssign for Doubts {
    fn bitor_assign(&mut self, other: Doubts) {
        self.0 |= other.0;
    }
}

impl std::fmt::Debug for Doubts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 11] = [
            "settings",
            "customs",
            "locks",
            "cursors",
            "statements",
            "channels",
            "temporary",
            "anything",
            "ends",
            "set_config",
            "locally",
        ];
        let held = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & 1 << bit != 0);
        f.debug_set().entries(held.map(|(_, name)| name)).finish()
    }
}
