//! Which check finds which fault, see `poolwright_session::mutation`. A fault without a check does not
//! compile.

use poolwright_session::mutation::Mutation;

/// What plays against a pooler that commits a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Seeds, from this one.
    Seeds(u64),
    Trials,
}

impl Check {
    /// The arguments of `poolwright-differential`.
    pub fn arguments(self) -> String {
        match self {
            Check::Seeds(first) => format!("--seed {first} --seeds 3000 --failures 1 --shrink 0"),
            Check::Trials => "--trials".to_owned(),
        }
    }
}

/// The first seed behind the directed ones.
const RANDOM: u64 = 1040;

pub fn check(mutation: Mutation) -> Check {
    match mutation {
        Mutation::NoDiscardToSync
        | Mutation::ReleaseWithRepliesOwed
        | Mutation::CancelIgnoresQueue
        | Mutation::ReleaseInTransaction
        | Mutation::HalfMessageKept => Check::Seeds(0),
        Mutation::InjectedRepliesShown
        | Mutation::InjectedWithoutSlot
        | Mutation::EditsNotTakenBack
        | Mutation::NoReset
        | Mutation::PoolsKeyedByDatabase
        | Mutation::StatementsKeyedByText => Check::Seeds(RANDOM),
        Mutation::SettingsFailOpen | Mutation::CancelNotAwaited => Check::Trials,
    }
}

/// Found within a second or two, so that every run of all tests can do it.
pub fn is_quick(mutation: Mutation) -> bool {
    matches!(
        mutation,
        Mutation::NoDiscardToSync | Mutation::ReleaseInTransaction | Mutation::CancelNotAwaited
    )
}
