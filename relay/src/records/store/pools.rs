//! How many connections to the database are open, for whoever watches the relay.

/// The connections of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// What they are for, as metrics name it: `writes`, `reads`, both (`shared`), `prompt` or `lease`.
    pub name: &'static str,
    /// How many are in use.
    pub in_use: u32,
    /// How many wait to be used.
    pub idle: u32,
}
