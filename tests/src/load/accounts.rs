//! Who the clients log in as.
//! Never invents users: a template is only a short way to write their names.

use anyhow::{Context, Result, bail};

/// A user, its password and the database it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: String,
    pub password: String,
    pub database: String,
}

/// `ws_{001..020}` over databases, in order and evenly; `{user}` in the password is the name.
pub fn from_template(users: &str, databases: &[String], password: &str) -> Result<Vec<Account>> {
    let users = expand(users)?;
    if databases.is_empty() {
        bail!("--databases: expected at least one name");
    }
    let share = users.len().div_ceil(databases.len());
    let account = |(number, user): (usize, String)| Account {
        password: password.replace("{user}", &user),
        database: databases[number / share].clone(),
        user,
    };
    Ok(users.into_iter().enumerate().map(account).collect())
}

/// Lines `user password database`; empty ones and those that begin with `#` are skipped.
pub fn from_lines(text: &str) -> Result<Vec<Account>> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let accounts: Result<Vec<_>> = lines.map(|(number, line)| account(number, line)).collect();
    let accounts = accounts?;
    if accounts.is_empty() {
        bail!("the file of users has no line `user password database`");
    }
    Ok(accounts)
}

fn account(number: usize, line: &str) -> Result<Account> {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let [user, password, database] = <[String; 3]>::try_from(words).map_err(|words| {
        anyhow::anyhow!("line {number}: expected `user password database`, found {words:?}")
    })?;
    Ok(Account { user, password, database })
}

fn expand(template: &str) -> Result<Vec<String>> {
    let Some((head, rest)) = template.split_once('{') else {
        return Ok(template.split(',').map(str::to_owned).collect());
    };
    let wrong = || format!("--users {template:?}: expected something like ws_{{001..020}}");
    let (range, tail) = rest.split_once('}').with_context(wrong)?;
    let (first, last) = range.split_once("..").with_context(wrong)?;
    let width = first.len();
    let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
    if first > last {
        bail!(wrong());
    }
    Ok((first..=last).map(|number| format!("{head}{number:0width$}{tail}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_split_evenly_and_in_order_over_the_databases() {
        let databases = ["one".to_owned(), "two".to_owned()];
        let accounts = from_template("ws_{08..11}", &databases, "pw-{user}").unwrap();
        let told: Vec<_> =
            accounts.iter().map(|a| [&*a.user, &*a.password, &*a.database].join(" ")).collect();
        assert_eq!(
            told,
            [
                "ws_08 pw-ws_08 one",
                "ws_09 pw-ws_09 one",
                "ws_10 pw-ws_10 two",
                "ws_11 pw-ws_11 two"
            ]
        );
    }

    #[test]
    fn a_line_that_is_not_three_words_is_named() {
        let error = from_lines("# users\na b c\n\na b\n").unwrap_err().to_string();
        assert!(error.contains("line 4"), "{error}");
    }
}
