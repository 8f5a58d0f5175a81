//! The `options` parameter of a startup message: a command line of `-c name=value`. It is split as
//! Postgres splits it and never interpreted further.

/// An `options` value that is not understood. The client is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A switch other than `-c` and `--name`.
    #[error("options: switch \"{0}\" is not supported, use -c name=value")]
    Switch(String),
    /// A setting without a name, or without `=`.
    #[error("options: \"{0}\" is not name=value")]
    Setting(String),
    /// `-c` at the end.
    #[error("options: -c is followed by nothing, expected name=value")]
    Missing,
}

/// Splits `options` into names and values. Names are lower-cased as Postgres compares them, with
/// `_` for `-`.
///
/// # Errors
/// [`OptionsError`], with the word that is not understood.
pub fn options(text: &str) -> Result<Vec<(String, String)>, OptionsError> {
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let text = if word == "-c" {
            words.next().ok_or(OptionsError::Missing)?
        } else if let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            rest.to_owned()
        } else {
            return Err(OptionsError::Switch(word));
        };
        settings.push(setting(text)?);
    }
    Ok(settings)
}

fn setting(text: String) -> Result<(String, String), OptionsError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_ascii_lowercase().replace('-', "_"), value.to_owned()))
        }
        _ => Err(OptionsError::Setting(text)),
    }
}

/// Words between white space; a backslash takes the next character as it is.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            c if c.is_ascii_whitespace() || c == '\x0b' => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests;
