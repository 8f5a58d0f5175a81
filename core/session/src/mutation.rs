//! Faults that a test may ask for, so that the checks of the invariants are seen to bite. Only a build
//! with the feature `mutations` can commit them; no build that ships has it.

/// A fault, named by what goes wrong. The letters are those of `docs/invariants.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// I1: after an error the rest of the flight is still owed replies.
    NoDiscardToSync,
    /// I2: a server that owes replies counts as free.
    ReleaseWithRepliesOwed,
    /// I3: what answers the pooler's own messages reaches the client.
    InjectedRepliesShown,
    /// I3: the pooler's own messages are owed nothing.
    InjectedWithoutSlot,
    /// I3b: settings that the server refuses do not end its session.
    SettingsFailOpen,
    /// I4: what a failed flight was to prepare counts as prepared.
    EditsNotTakenBack,
    /// I5: a server goes on while a cancel for it is under way.
    CancelNotAwaited,
    /// I6: a request in the queue cannot be cancelled.
    CancelIgnoresQueue,
    /// I7: a server inside a transaction counts as free.
    ReleaseInTransaction,
    /// I7: a server that has got half a message is kept.
    HalfMessageKept,
    /// I8: a session that may have been changed is not reset.
    NoReset,
    /// I8: settings of one client are left to the next.
    SettingsLeak,
    /// I8: a search_path is left to the next client.
    SearchPathLeaks,
    /// I8: a role is left to the next client.
    RoleLeaks,
    /// I8: SET SESSION AUTHORIZATION does not pin.
    AuthorizationLeaks,
    /// I8: temporary tables do not pin.
    TemporaryLeaks,
    /// I8: session advisory locks do not pin.
    LocksLeak,
    /// I8: LISTEN does not pin.
    ChannelsLeak,
    /// I8: cursors WITH HOLD do not pin.
    CursorsLeak,
    /// I8: PREPARE does not pin.
    PreparedLeaks,
    /// I8: currval and lastval answer what another client's nextval gave.
    SequencesLeak,
    /// I9: users of one database share a pool.
    PoolsKeyedByDatabase,
    /// I9: a user's databases share a pool.
    PoolsKeyedByUser,
    /// I10: statements are the same when their texts are.
    StatementsKeyedByText,
    /// I10: statements are the same whatever the search_path.
    StatementsWithoutPath,
    /// Pacing: a client that pipelines is read on while others wait.
    NotPaced,
}

impl Mutation {
    pub const ALL: [Mutation; 26] = [
        Mutation::NoDiscardToSync,
        Mutation::ReleaseWithRepliesOwed,
        Mutation::InjectedRepliesShown,
        Mutation::InjectedWithoutSlot,
        Mutation::SettingsFailOpen,
        Mutation::EditsNotTakenBack,
        Mutation::CancelNotAwaited,
        Mutation::CancelIgnoresQueue,
        Mutation::ReleaseInTransaction,
        Mutation::HalfMessageKept,
        Mutation::NoReset,
        Mutation::SettingsLeak,
        Mutation::SearchPathLeaks,
        Mutation::RoleLeaks,
        Mutation::AuthorizationLeaks,
        Mutation::TemporaryLeaks,
        Mutation::LocksLeak,
        Mutation::ChannelsLeak,
        Mutation::CursorsLeak,
        Mutation::PreparedLeaks,
        Mutation::SequencesLeak,
        Mutation::PoolsKeyedByDatabase,
        Mutation::PoolsKeyedByUser,
        Mutation::StatementsKeyedByText,
        Mutation::StatementsWithoutPath,
        Mutation::NotPaced,
    ];

    /// The invariant that it breaks.
    pub fn invariant(self) -> &'static str {
        match self {
            Mutation::NoDiscardToSync => "I1",
            Mutation::ReleaseWithRepliesOwed => "I2",
            Mutation::InjectedRepliesShown | Mutation::InjectedWithoutSlot => "I3",
            Mutation::SettingsFailOpen => "I3b",
            Mutation::EditsNotTakenBack => "I4",
            Mutation::CancelNotAwaited => "I5",
            Mutation::CancelIgnoresQueue => "I6",
            Mutation::ReleaseInTransaction | Mutation::HalfMessageKept => "I7",
            Mutation::NoReset
            | Mutation::SettingsLeak
            | Mutation::SearchPathLeaks
            | Mutation::RoleLeaks
            | Mutation::AuthorizationLeaks
            | Mutation::TemporaryLeaks
            | Mutation::LocksLeak
            | Mutation::ChannelsLeak
            | Mutation::CursorsLeak
            | Mutation::PreparedLeaks
            | Mutation::SequencesLeak => "I8",
            Mutation::PoolsKeyedByDatabase | Mutation::PoolsKeyedByUser => "I9",
            Mutation::StatementsKeyedByText | Mutation::StatementsWithoutPath => "I10",
            Mutation::NotPaced => "P",
        }
    }
}

impl std::str::FromStr for Mutation {
    type Err = String;

    /// By the name of the variant.
    fn from_str(name: &str) -> Result<Mutation, String> {
        let mut all = Mutation::ALL.into_iter();
        let found = all.find(|known| format!("{known:?}") == name);
        found.ok_or_else(|| format!("no fault is called {name:?}"))
    }
}

#[cfg(feature = "mutations")]
static CHOSEN: std::sync::OnceLock<Mutation> = std::sync::OnceLock::new();

/// This process commits the fault from now on; the first choice holds.
#[cfg(feature = "mutations")]
pub fn choose(mutation: Mutation) {
    let _ = CHOSEN.set(mutation);
}

/// Whether this process is to commit the fault.
#[cfg(feature = "mutations")]
pub fn is(mutation: Mutation) -> bool {
    CHOSEN.get() == Some(&mutation)
}

/// Never.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub const fn is(_: Mutation) -> bool {
    false
}
