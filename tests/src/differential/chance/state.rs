//! Texts that change what a session has, and texts that show it: a theme for each row of the table
//! "Session state" in `docs/compatibility.md`, which a test compares. Never what is listed there as
//! different: that is left to the tests that expect it.

use crate::random::Random;

/// What of a session's state a client plays with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Of the client's profile, see `Profile::Tuned`.
    Startup,
    Settings,
    Paths,
    Roles,
    Customs,
    Characteristics,
    Resets,
    Authorization,
    /// Settings too long to be replayed.
    Heavy,
    Locks,
    Channels,
    Temporary,
    Cursors,
    Statements,
    Sequences,
}

impl Theme {
    pub const ALL: [Theme; 15] = [
        Theme::Startup,
        Theme::Settings,
        Theme::Paths,
        Theme::Roles,
        Theme::Customs,
        Theme::Characteristics,
        Theme::Resets,
        Theme::Authorization,
        Theme::Heavy,
        Theme::Locks,
        Theme::Channels,
        Theme::Temporary,
        Theme::Cursors,
        Theme::Statements,
        Theme::Sequences,
    ];

    /// The row's first cell.
    pub fn row(self) -> &'static str {
        match self {
            Theme::Startup => "startup parameters, `options=-c …`",
            Theme::Settings => "`SET`, `set_config`",
            Theme::Paths => "`SET search_path`",
            Theme::Roles => "`SET ROLE`",
            Theme::Customs => "`SET my.var`",
            Theme::Characteristics => "`SET SESSION CHARACTERISTICS`",
            Theme::Resets => "`RESET`, `SET … TO DEFAULT`, `RESET ALL`, `DISCARD ALL`",
            Theme::Authorization => "`SET SESSION AUTHORIZATION`",
            Theme::Heavy => "settings that cannot be replayed",
            Theme::Locks => "session advisory locks",
            Theme::Channels => "`LISTEN`",
            Theme::Temporary => "temporary tables",
            Theme::Cursors => "cursors `WITH HOLD`",
            Theme::Statements => "`PREPARE`",
            Theme::Sequences => "`currval`, `lastval`",
        }
    }

    /// What it does may pin.
    pub fn pins(self) -> bool {
        matches!(
            self,
            Theme::Authorization
                | Theme::Heavy
                | Theme::Locks
                | Theme::Channels
                | Theme::Temporary
                | Theme::Cursors
                | Theme::Statements
        )
    }

    /// A statement of the theme, without parameters, that may stand among others. `mark` is the
    /// client's, `client` its number.
    pub fn text(self, mark: &str, client: usize, random: &mut Random) -> String {
        let texts = self.texts();
        let text = texts[random.below(texts.len())];
        let size = format!("{}MB", 1 + 3 * client + random.below(3));
        text.replace("{m}", mark).replace("{size}", &size).replace("{c}", &client.to_string())
    }

    /// `{m}`: the client's mark; `{size}`: a size of the client's own; `{c}`: its number.
    fn texts(self) -> &'static [&'static str] {
        match self {
            Theme::Startup | Theme::Settings => SETTINGS,
            Theme::Paths => PATHS,
            Theme::Roles => ROLES,
            Theme::Customs => CUSTOMS,
            Theme::Characteristics => CHARACTERISTICS,
            Theme::Resets => RESETS,
            Theme::Authorization => AUTHORIZATION,
            Theme::Heavy => HEAVY,
            Theme::Locks => LOCKS,
            Theme::Channels => CHANNELS,
            Theme::Temporary => TEMPORARY,
            Theme::Cursors => CURSORS,
            Theme::Statements => STATEMENTS,
            Theme::Sequences => SEQUENCES,
        }
    }
}

const SETTINGS: &[&str] = &[
    "SET work_mem = '{size}'",
    "SET SESSION work_mem TO '{size}'",
    "SET LOCAL work_mem = '{size}'",
    "SELECT '{m}', set_config('work_mem', '{size}', false)",
    "SELECT '{m}', set_config('work_mem', '{size}', true)",
    "DO $$ BEGIN PERFORM set_config('work_mem', '{size}', false); END $$",
    "DO $$ BEGIN SET LOCAL work_mem = '{size}'; END $$",
    "DO $$ BEGIN SET work_mem = '{size}'; PERFORM 1/i FROM zero; END $$",
    "SELECT '{m}', sets('{size}')",
    "UPDATE pg_settings SET setting = '{c}111' WHERE name = 'work_mem'",
    "SET work_mem = 'a lot'",
    "SAVEPOINT s; SET work_mem = '{size}'",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
];

const PATHS: &[&str] = &[
    "SET search_path = other, public",
    "SET search_path = public",
    "SET LOCAL search_path = other",
    "SELECT '{m}', set_config('search_path', 'other', false)",
    "RESET search_path",
    "SELECT '{m}', t FROM three",
    "SAVEPOINT s",
    "ROLLBACK TO s",
];

const ROLES: &[&str] = &[
    "SET ROLE shared",
    "SET SESSION ROLE shared",
    "SET LOCAL ROLE shared",
    "SELECT '{m}', set_config('role', 'shared', false)",
    "DO $$ BEGIN SET ROLE shared; END $$",
    "RESET ROLE",
    "SET ROLE NONE",
    "SET ROLE secret",
    "SELECT '{m}', current_user",
    "SELECT '{m}', hidden FROM hidden",
    "SAVEPOINT s; SET ROLE shared",
    "ROLLBACK TO s",
];

const CUSTOMS: &[&str] = &[
    "SET my.var = '{m}'",
    "SET LOCAL my.var = '{m}!'",
    "SELECT set_config('my.var', '{m}?', false)",
    "SET my.var TO DEFAULT",
    "RESET my.var",
    "SELECT '{m}', COALESCE(current_setting('my.var', true), '')",
    "SAVEPOINT s; SET my.var = '{m}.'",
    "ROLLBACK TO s",
];

const CHARACTERISTICS: &[&str] = &[
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET TRANSACTION READ ONLY",
    "SELECT '{m}', current_setting('transaction_isolation')",
    "INSERT INTO sink VALUES ('{m}')",
];

/// Of settings with which no client begins: inside a transaction RESET goes back to the server's.
const RESETS: &[&str] = &[
    "SET maintenance_work_mem = '{size}'",
    "RESET maintenance_work_mem",
    "SET maintenance_work_mem TO DEFAULT",
    "SET LOCAL maintenance_work_mem = DEFAULT",
    "SELECT '{m}', current_setting('maintenance_work_mem')",
];

const AUTHORIZATION: &[&str] = &[
    "SET SESSION AUTHORIZATION shared",
    "SET LOCAL SESSION AUTHORIZATION shared",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION",
    "SELECT '{m}', session_user, current_user",
    "SET ROLE shared",
    "RESET ROLE",
];

const HEAVY: &[&str] = &[
    "SELECT '{m}', length(set_config('my.var', repeat('{c}', 40000), false))",
    "SET my.var = '{m}'",
    "SET work_mem = '{size}'",
    "SELECT '{m}', length(COALESCE(current_setting('my.var', true), ''))",
];

const LOCKS: &[&str] = &[
    "SELECT '{m}', pg_advisory_lock(hashtext('{m}'))",
    "SELECT '{m}', pg_try_advisory_lock(hashtext('{m}'), {c})",
    "SELECT '{m}', pg_advisory_lock_shared(hashtext('{m}'))",
    "SELECT '{m}', pg_advisory_unlock(hashtext('{m}'))",
    "SELECT '{m}', pg_advisory_unlock(hashtext('{m}'), {c})",
    "SELECT '{m}', pg_advisory_unlock_all()",
    "SELECT '{m}', pg_advisory_xact_lock(hashtext('{m}'))",
    "SELECT '{m}', pg_try_advisory_xact_lock(hashtext('{m}'))",
    "DO $$ BEGIN PERFORM pg_advisory_lock(hashtext('{m}')); END $$",
];

const CHANNELS: &[&str] = &[
    "LISTEN \"{m}\"",
    "LISTEN \"{m}\"",
    "LISTEN \"{m}!\"",
    "NOTIFY \"{m}\", 'one'",
    "NOTIFY \"{m}!\"",
    "SELECT '{m}', pg_notify('{m}', 'two')",
    "DO $$ BEGIN NOTIFY \"{m}\"; END $$",
    "DO $$ BEGIN LISTEN \"{m}\"; END $$",
    "UNLISTEN \"{m}\"",
    "UNLISTEN *",
];

const TEMPORARY: &[&str] = &[
    "CREATE TEMP TABLE own (t text)",
    "CREATE TEMP TABLE IF NOT EXISTS own (t text)",
    "CREATE TEMPORARY TABLE brief (t text) ON COMMIT DROP",
    "CREATE TEMP TABLE emptied ON COMMIT DELETE ROWS AS SELECT '{m}' AS t",
    "SELECT '{m}' AS t INTO TEMP own",
    "INSERT INTO own VALUES ('{m}')",
    "SELECT '{m}', t || '' FROM own",
    "SELECT '{m}', t || '' FROM emptied",
    "CREATE TEMP VIEW seen AS SELECT '{m}' AS t",
    "SELECT t || '' FROM seen",
    "DROP VIEW IF EXISTS seen",
    "DROP TABLE own",
    "DROP TABLE IF EXISTS own, emptied",
    "CREATE TEMP TABLE zero (i int)",
    "SELECT '{m}', 1/i FROM zero",
    "DISCARD TEMP",
    "DO $$ BEGIN CREATE TEMP TABLE own (t text); END $$",
];

const CURSORS: &[&str] = &[
    "DECLARE held CURSOR WITH HOLD FOR SELECT '{m}', t FROM three",
    "DECLARE held CURSOR WITH HOLD FOR SELECT '{m}', t FROM three",
    "DECLARE brief CURSOR FOR SELECT '{m}', t FROM three",
    "DECLARE brief NO SCROLL CURSOR WITHOUT HOLD FOR SELECT '{m}', t FROM three",
    "FETCH 1 FROM held",
    "FETCH ALL FROM held",
    "MOVE FIRST FROM held",
    "FETCH 2 FROM brief",
    "CLOSE held",
    "CLOSE brief",
    "CLOSE ALL",
];

/// Names that no message of the protocol uses.
const STATEMENTS: &[&str] = &[
    "PREPARE x AS SELECT '{m}', t FROM three",
    "PREPARE y(text) AS SELECT $1, '{m}'",
    "PREPARE z AS INSERT INTO sink VALUES ('{m}') RETURNING mark",
    "EXECUTE x",
    "EXECUTE y('{m}')",
    "EXECUTE z",
    "EXPLAIN (COSTS OFF) EXECUTE y('{m}')",
    "DEALLOCATE x",
    "DEALLOCATE PREPARE y",
    "SELECT '{m}', name FROM pg_prepared_statements WHERE from_sql ORDER BY name",
];

/// What they read is in [`reads`].
const SEQUENCES: &[&str] = &[
    "SELECT '{m}', nextval('number_{c}') > 0",
    "INSERT INTO counted_{c} (mark) VALUES ('{m}')",
    "DO $$ BEGIN PERFORM nextval('number_{c}'); END $$",
    "DISCARD SEQUENCES",
];

/// So far apart are the sequences of clients, whose numbers say whose they are.
pub const SEQUENCE_STEP: i64 = 1_000_000_000_000;

/// Within one transaction what a sequence gave may be read.
pub fn reads(mark: &str, client: usize, random: &mut Random) -> String {
    let calls = [
        format!("SELECT '{mark}', nextval('number_{client}') > 0"),
        format!("INSERT INTO counted_{client} (mark) VALUES ('{mark}')"),
        format!("DO $$ BEGIN PERFORM nextval('number_{client}'); END $$"),
    ];
    let call = &calls[random.below(calls.len())];
    format!("{call}; {}", reads_again(mark, client, random))
}

/// What a sequence gave before, perhaps in another transaction.
pub fn reads_again(mark: &str, client: usize, random: &mut Random) -> String {
    let function = match random.below(3) {
        0 => format!("currval('number_{client}')"),
        _ => "lastval()".to_owned(),
    };
    format!("SELECT '{mark}', {function} / {SEQUENCE_STEP}")
}

/// What shows one kind of state, whoever made it.
const SHOWN: [&str; 10] = [
    "current_user",
    "session_user",
    "current_setting('work_mem')",
    "current_setting('search_path')",
    "left(COALESCE(current_setting('my.var', true), ''), 20)",
    "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    "(SELECT count(*) FROM pg_cursors WHERE is_holdable)",
    "(SELECT count(*) FROM pg_prepared_statements WHERE from_sql)",
    "(SELECT count(*) FROM pg_listening_channels())",
    "(SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())",
];

/// A text that shows something of the session.
pub fn shows(mark: &str, random: &mut Random) -> String {
    format!("SELECT '{mark}', {}", random.pick(&SHOWN))
}

/// A text that shows all of the session.
pub fn shows_all(mark: &str) -> String {
    format!(
        "SELECT '{mark}', current_setting('TimeZone'), current_setting('application_name'), \
         current_setting('default_transaction_read_only'), {}",
        SHOWN.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::Theme;

    #[test]
    fn each_row_of_the_table_has_a_theme() {
        let docs = include_str!("../../../../docs/compatibility.md");
        let (_, table) = docs.split_once("| feature | behaviour | more |").unwrap();
        let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| "));
        let rows: Vec<_> = rows.filter_map(|row| row.split(" | ").next()).collect();
        assert_eq!(rows, Theme::ALL.map(Theme::row), "left: docs/compatibility.md");
    }
}
