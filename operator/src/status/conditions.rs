//! Conditions as lists of verdicts, merged so that a time changes only when a status does.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// What is to be said about one condition now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub type_: &'static str,
    /// None: not known.
    pub holds: Option<bool>,
    pub reason: &'static str,
    pub message: String,
}

impl Verdict {
    pub fn new(
        type_: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Verdict {
        Verdict { type_, holds: Some(holds), reason, message: message.into() }
    }

    fn status(&self) -> &'static str {
        match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// The most bytes of a message, well below the schema's limit.
const LONGEST: usize = 2000;

/// The conditions after these verdicts, in their order.
pub fn merge(
    last: &[Condition],
    verdicts: Vec<Verdict>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let merged = |verdict: Verdict| {
        let status = verdict.status();
        let before = last.iter().find(|it| it.type_ == verdict.type_ && it.status == status);
        Condition {
            last_transition_time: before
                .map_or(Time(whole(now)), |it| it.last_transition_time.clone()),
            message: cut(verdict.message),
            observed_generation: generation,
            reason: verdict.reason.into(),
            status: status.into(),
            type_: verdict.type_.into(),
        }
    };
    verdicts.into_iter().map(merged).collect()
}

/// The API keeps whole seconds.
fn whole(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn cut(mut message: String) -> String {
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    message
}
