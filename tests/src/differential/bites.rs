//! Which check finds which fault, see `poolwright_session::mutation`. A fault without a check does not
//! compile.

use poolwright_session::mutation::Mutation;

use super::trials::Trial;

/// What plays against a pooler that commits a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Seeds, from this one.
    Seeds(u64),
    Trial(Trial),
}

impl Check {
    /// The arguments of `poolwright-differential`.
    pub fn arguments(self) -> String {
        match self {
            Check::Seeds(first) => format!("--seed {first} --seeds 3000 --failures 1 --shrink 0"),
            Check::Trial(trial) => format!("--trial {trial:?}"),
        }
    }
}

const DIRECTED: Check = Check::Seeds(0);
/// From the first seed behind the directed ones.
const RANDOM: Check = Check::Seeds(1040);

/// Each of these finds it by itself.
pub fn checks(mutation: Mutation) -> &'static [Check] {
    match mutation {
        Mutation::NoDiscardToSync
        | Mutation::ReleaseWithRepliesOwed
        | Mutation::CancelIgnoresQueue
        | Mutation::HalfMessageKept => &[DIRECTED],
        Mutation::ReleaseInTransaction => &[DIRECTED, Check::Trial(Trial::EveryByte)],
        Mutation::InjectedRepliesShown
        | Mutation::InjectedWithoutSlot
        | Mutation::EditsNotTakenBack
        | Mutation::NoReset
        | Mutation::SettingsLeak
        | Mutation::SearchPathLeaks
        | Mutation::RoleLeaks
        | Mutation::AuthorizationLeaks
        | Mutation::TemporaryLeaks
        | Mutation::LocksLeak
        | Mutation::ChannelsLeak
        | Mutation::CursorsLeak
        | Mutation::PreparedLeaks
        | Mutation::SequencesLeak
        | Mutation::StatementsKeyedByText => &[RANDOM],
        Mutation::PoolsKeyedByDatabase => &[RANDOM, Check::Trial(Trial::Tenants)],
        Mutation::PoolsKeyedByUser => &[Check::Trial(Trial::Tenants)],
        Mutation::StatementsWithoutPath => &[Check::Trial(Trial::Paths)],
        Mutation::SettingsFailOpen => &[Check::Trial(Trial::RefusedSetting)],
        Mutation::CancelNotAwaited => &[Check::Trial(Trial::Cancels)],
        Mutation::NotPaced => &[Check::Trial(Trial::Pacing)],
    }
}

/// Found within a second or two, so that every run of all tests can do it.
pub fn is_quick(mutation: Mutation) -> bool {
    matches!(
        mutation,
        Mutation::NoDiscardToSync | Mutation::ReleaseInTransaction | Mutation::CancelNotAwaited
    )
}
