//! What ended sessions come to by the hour and by the day, for charts and lists that may not read every session.

use crate::money::NanoUsd;

/// The upper ends of the buckets in which turns are counted by how long a stage took, in milliseconds: those of the metric
/// `voxrelay_answer_seconds`. Behind the last one is one more bucket, for everything longer.
pub const STAGE_BUCKETS_MS: [u32; 14] =
    [25, 50, 100, 200, 300, 500, 750, 1_000, 1_250, 1_500, 2_000, 3_000, 5_000, 10_000];

/// How long the name of an agent is in the sums at most, in characters: as long as one may be configured.
pub const SUMMED_AGENT_MAX_CHARS: usize = 64;

/// An hour, in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// A day, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// What a step of [`Store::roll_up`](super::Store::roll_up) has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledUp {
    /// It has deleted so many sums, which are made anew. There is more to do.
    Emptied(u64),
    /// It has added so many sessions. If there were fewer than were asked for, those were all.
    Added(u64),
}

/// Which ended sessions to add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverviewFilter {
    /// What happened from this time on, a full hour in milliseconds since 1970.
    pub from_ms: i64,
    /// What happened before this time, a full hour in milliseconds since 1970.
    pub to_ms: i64,
    /// How much time each sum spans: [`HOUR_MS`] or [`DAY_MS`].
    pub step_ms: i64,
    /// Sessions of this account.
    pub account: Option<String>,
    /// Sessions with this agent, a name of at most [`SUMMED_AGENT_MAX_CHARS`].
    pub agent: Option<String>,
}

/// Ended sessions, added up by time. Each list is in the order of its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Sessions, by when they began.
    pub calls: Vec<CallsSum>,
    /// Money, by when it was spent.
    pub money: Vec<MoneySum>,
    /// Turns, by when they were first written.
    pub turns: Vec<TurnsSum>,
}

/// The sessions that began in one step of time and ended in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallsSum {
    /// When the step begins, in milliseconds since 1970.
    pub at_ms: i64,
    /// The name of the close code with which the sessions ended.
    pub reason: String,
    /// How many sessions there were.
    pub calls: u64,
    /// How long all of them were together, in milliseconds.
    pub milliseconds: u64,
    /// How often they were resumed.
    pub reconnects: u64,
}

/// What was spent in one step of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneySum {
    /// When the step begins, in milliseconds since 1970.
    pub at_ms: i64,
    /// The sum of the ledger rows.
    pub cost: NanoUsd,
}

/// The turns of one step of time whose stage took about as long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnsSum {
    /// When the step begins, in milliseconds since 1970.
    pub at_ms: i64,
    /// The stage: `stt`, `llm`, `tts`, `send`, `heard` or `total`. `answer` counts answers, and `interrupted` those that were not heard to
    /// their end; both of them have the bucket 0 only.
    pub stage: String,
    /// The bucket, counted from 0 in [`STAGE_BUCKETS_MS`].
    pub bucket: u32,
    /// How many turns there were.
    pub turns: u64,
}

/// Which spend to add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendFilter {
    /// Spend from this time on, a midnight (UTC) in milliseconds since 1970.
    pub from_ms: i64,
    /// Spend before this time, a midnight (UTC) in milliseconds since 1970.
    pub to_ms: i64,
    /// What spend is added up for.
    pub by: SpendBy,
    /// Spend of this account.
    pub account: Option<String>,
    /// How many rows there may be.
    pub limit: u32,
}

/// What spend is added up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendBy {
    /// Each day (UTC).
    Day,
    /// Each account.
    Account,
    /// Each user, whichever account pays.
    User,
    /// Each agent.
    Agent,
    /// Each provider.
    Provider,
    /// Each item of a provider.
    Item,
}

/// What ended sessions have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// The sums: days in their order, everything else from the largest sum on.
    pub rows: Vec<SpendSum>,
    /// What all of it comes to, rows that are left out included.
    pub total: NanoUsd,
    /// What sessions have cost that were erased since. It is in no row.
    pub erased: NanoUsd,
    /// What was given back of it. It is in no row.
    pub credited: NanoUsd,
}

/// What one day, account, user, agent, provider or item has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendSum {
    /// Its name. A day is written as `2026-12-31`.
    pub name: String,
    /// The sum.
    pub cost: NanoUsd,
}
