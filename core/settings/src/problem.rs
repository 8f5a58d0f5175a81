//! What is wrong with a settings file, said so that its writer can repair it.
//! Never holds the content of a secret.

use std::fmt;

/// One thing wrong in a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `databases[1].pool.size`; in the users file `usersFile:users[0].password`.
    pub path: String,
    /// The value as written, or a description of it.
    pub found: String,
    /// What would be right there.
    pub expected: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    pub fn new(
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into(),
            found: found.into(),
            expected: expected.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, found, expected, remedy } = self;
        write!(out, "{path}: found {found}, expected {expected}; {remedy}")
    }
}

/// All that is wrong with a settings file: what does not fit the table, then what does not add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(out, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
