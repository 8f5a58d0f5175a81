//! Names for the things that are counted. They carry no meaning of their own.

/// A Postgres instance. Chosen by the caller: small and dense, it is an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u32);

/// A logical database on a server. Chosen by the caller: small and dense, it is an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub u32);

/// A server user whose connections in all databases are counted together. Chosen by the caller:
/// small and dense, it is an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// The server connections of one (database, user). Given out by [`crate::Pools::pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u32);

/// One server connection, from [`crate::Effect::Open`] on. Never used twice. Ordered by the time
/// of its opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

/// One client's request for a connection. Chosen by the caller: small and dense, it is an index.
/// Free for another request once this one is answered or abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u32);

impl ConnId {
    /// Bits of the index: 16 million connections at once, and 2^40 in a process's life.
    const INDEX: u32 = 24;

    pub(crate) fn new(serial: u64, index: usize) -> ConnId {
        debug_assert!(index < 1 << ConnId::INDEX && serial < 1 << (64 - ConnId::INDEX));
        ConnId(serial << ConnId::INDEX | index as u64)
    }

    /// Its place in a table of connections: small and dense. A later connection takes it over
    /// when this one is closed.
    pub fn index(self) -> usize {
        (self.0 & ((1 << ConnId::INDEX) - 1)) as usize
    }

    /// How many were opened before it.
    pub fn serial(self) -> u64 {
        self.0 >> ConnId::INDEX
    }
}
