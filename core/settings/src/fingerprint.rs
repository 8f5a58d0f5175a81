//! What tells one push from another though both have one generation: SHA-256 of all that was pushed.
//! It covers passwords, and short ones could be guessed from it, so it is never printed.

use std::fmt;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::control::{Push, Totals};

/// Of one push, in 64 hexadecimal digits. Debug prints a placeholder, and there is no Display.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Operator and poolers of other versions compute it too: a field that comes later is no part
    /// of it.
    pub fn of(push: &Push) -> Fingerprint {
        let Push { settings, files, totals: Totals { servers, databases } } = push;
        let mut sum = Sum(Context::new(&SHA256));
        sum.text(settings);
        sum.number(files.len());
        for (name, text) in files {
            sum.text(name);
            sum.text(text);
        }
        for caps in [servers, databases] {
            sum.number(caps.len());
            for (name, cap) in caps {
                sum.text(name);
                sum.number(*cap as usize);
            }
        }
        let digest = sum.0.finish();
        Fingerprint(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Fingerprint(…)")
    }
}

/// Lengths go before texts and lists, so that no two pushes are the same bytes.
struct Sum(Context);

impl Sum {
    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: usize) {
        self.0.update(&(number as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push() -> Push {
        let totals = Totals { servers: [("main".to_owned(), 50)].into(), ..Totals::default() };
        let files = [("users.yaml".to_owned(), "hunter2".to_owned())].into();
        Push { settings: "generation: 1".to_owned(), files, totals }
    }

    #[test]
    fn every_part_of_a_push_changes_it() {
        let change = |change: &dyn Fn(&mut Push)| {
            let mut other = push();
            change(&mut other);
            assert_ne!(Fingerprint::of(&other), Fingerprint::of(&push()));
        };
        change(&|it| it.settings.push(' '));
        change(&|it| it.files = [("users.yaml".to_owned(), "hunter3".to_owned())].into());
        change(&|it| it.files = [("users.yamlh".to_owned(), "unter2".to_owned())].into());
        change(&|it| it.totals.servers.clear());
        change(&|it| it.totals.databases = std::mem::take(&mut it.totals.servers));
    }

    #[test]
    fn it_is_the_same_in_every_version_and_is_not_shown() {
        let text = serde_json::to_string(&Fingerprint::of(&push())).unwrap();
        let known = "97174106f249523c6bb228bced8f2bfb2b25b777ae958c7f366745cf7bd26320";
        assert_eq!(text, format!("{known:?}"));
        assert_eq!(format!("{:?}", Fingerprint::of(&push())), "Fingerprint(…)");
    }
}
