//! What a token is to the rules of the lexer, and the words that they name. It holds no rule.

use super::word::Table;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Any word, and a quoted identifier.
    Name,
    Dot,
    /// A closing parenthesis.
    Close,
    /// A statement that leaves a session as it was, as far as its first word tells.
    Harmless,
    /// A statement that may take a sequence's next value for a column.
    Advancing,
    /// A reserved word that a parenthesis may follow without a call: no function bears such a name
    /// unquoted, but for some that are built in.
    Keyword,
    /// Makes a relation temporary behind INTO.
    Temporary,
    /// What SET changes until the transaction ends, and no longer.
    Bounded,
    /// What EXPLAIN ANALYZE may run that leaves something.
    Explained,
    /// A relation's name comes behind it.
    BeforeRelation,
    /// BY follows it.
    BeforeBy,
    /// Reads what the session did to a sequence before.
    ReadsSequence,
    As,
    By,
    Conflict,
    Declare,
    Distinct,
    Explain,
    /// FILTER and OVER, which go on with a call that is closed.
    AfterCall,
    Hold,
    Into,
    Nextval,
    On,
    PgCatalog,
    PgSettings,
    Select,
    Set,
    With,
}

const LISTS: [(Role, &[&str]); 25] = [
    (
        Role::Harmless,
        &[
            "abort",
            "analyze",
            "begin",
            "checkpoint",
            "commit",
            "copy",
            "declare",
            "delete",
            "end",
            "explain",
            "fetch",
            "insert",
            "lock",
            "merge",
            "move",
            "notify",
            "release",
            "rollback",
            "savepoint",
            "select",
            "set",
            "show",
            "start",
            "table",
            "truncate",
            "update",
            "vacuum",
            "values",
            "with",
        ],
    ),
    (Role::Advancing, &["copy", "explain", "insert", "merge", "update", "with"]),
    (
        Role::Keyword,
        &[
            "all",
            "and",
            "any",
            "array",
            "as",
            "asc",
            "between",
            "case",
            "check",
            "desc",
            "distinct",
            "else",
            "except",
            "exists",
            "for",
            "from",
            "group",
            "having",
            "ilike",
            "in",
            "inner",
            "intersect",
            "is",
            "join",
            "lateral",
            "left",
            "like",
            "limit",
            "not",
            "offset",
            "on",
            "only",
            "or",
            "order",
            "returning",
            "right",
            "row",
            "select",
            "similar",
            "some",
            "table",
            "then",
            "to",
            "union",
            "using",
            "values",
            "when",
            "where",
            "window",
            "with",
        ],
    ),
    (Role::Temporary, &["temp", "temporary", "local", "global"]),
    (Role::Bounded, &["local", "transaction", "constraints"]),
    (Role::Explained, &["create", "declare", "execute", "refresh"]),
    (Role::BeforeRelation, &["into", "copy", "analyze", "vacuum"]),
    (Role::BeforeBy, &["order", "group", "partition"]),
    (Role::ReadsSequence, &["currval", "lastval"]),
    (Role::AfterCall, &["filter", "over"]),
    (Role::As, &["as"]),
    (Role::By, &["by"]),
    (Role::Conflict, &["conflict"]),
    (Role::Declare, &["declare"]),
    (Role::Distinct, &["distinct"]),
    (Role::Explain, &["explain"]),
    (Role::Hold, &["hold"]),
    (Role::Into, &["into"]),
    (Role::Nextval, &["nextval"]),
    (Role::On, &["on"]),
    (Role::PgCatalog, &["pg_catalog"]),
    (Role::PgSettings, &["pg_settings"]),
    (Role::Select, &["select"]),
    (Role::Set, &["set"]),
    (Role::With, &["with"]),
];

static WORDS: Table<128> = Table::new(&LISTS);

/// The roles that one token plays, a bit each, so that a rule costs an instruction or two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u32);

impl Roles {
    pub const NONE: Roles = Roles(0);
    pub const NAME: Roles = Roles::NONE.with(Role::Name);
    pub const DOT: Roles = Roles::NONE.with(Role::Dot);
    pub const CLOSE: Roles = Roles::NONE.with(Role::Close);

    /// Roles that a rule asks for in a word that is not called and does not begin a statement.
    pub const ASKED: Roles = Roles::NONE
        .with(Role::Temporary)
        .with(Role::Explained)
        .with(Role::Hold)
        .with(Role::On)
        .with(Role::PgCatalog)
        .with(Role::PgSettings);

    /// What says something of the name that follows, whatever it is.
    pub const BEFORE_NAMES: Roles =
        Roles::NONE.with(Role::Dot).with(Role::BeforeRelation).with(Role::Set);

    pub fn of_word(word: &[u8]) -> Roles {
        WORDS.roles(word).with(Role::Name)
    }

    pub const fn with(self, role: Role) -> Roles {
        Roles(self.0 | 1 << role as u32)
    }

    pub const fn and(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    pub const fn has(self, role: Role) -> bool {
        self.0 & 1 << role as u32 != 0
    }

    pub const fn is_any(self, roles: Roles) -> bool {
        self.0 & roles.0 != 0
    }

    pub fn is_none(self) -> bool {
        self == Roles::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_word_has_its_role_and_others_are_names_only() {
        for (role, words) in LISTS {
            for word in words {
                assert!(Roles::of_word(word.as_bytes()).has(role), "{word}");
            }
        }
        for word in ["a", "sets", "_", "t$1", "current_timestamp_or_so", "\u{e9}t\u{e9}"] {
            assert_eq!(Roles::of_word(word.as_bytes()), Roles::NAME, "{word}");
        }
    }
}
