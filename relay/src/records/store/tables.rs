//! What tables of usage and of the ledger are read by.

use super::query::Billed;

/// How long the periods are that usage is added up for. Both are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumPer {
    /// Days, as `2026-12-31`.
    Day,
    /// Calendar months, as `2026-12`.
    Month,
}

/// What usage is added up for in each account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumBy {
    /// The account itself.
    Account,
    /// Each of its users.
    User,
    /// Each plan.
    Plan,
    /// Each agent.
    Agent,
    /// Each session, with its user, plan and agent.
    Session,
}

/// Which usage to add up, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumFilter {
    /// Usage of this user. What deleted sessions have used belongs to no user, and is left out then.
    pub user_sub: Option<String>,
    /// Usage of this account.
    pub account: Option<String>,
    /// Usage from this time on, in milliseconds since 1970. What is known by its day alone (UTC), as credits are and what deleted sessions have used,
    /// counts at the end of that day.
    pub from_ms: i64,
    /// Usage before this time, in milliseconds since 1970.
    pub to_ms: i64,
    /// How long a period is.
    pub per: SumPer,
    /// What it is added up for.
    pub by: SumBy,
}

/// What was used of one item in one period. A name is empty where usage is not added up for it, or where it is not known: of deleted
/// sessions and of credits only the account is, and of a user's credit the user as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumRow {
    /// Which row it is.
    pub of: SumCursor,
    /// How many units were used.
    pub quantity: u64,
    /// How many of them are the relay's own estimate. What deleted sessions have used counts as reported: what is left of them does not say.
    pub estimated: u64,
    /// What all of them cost, in nano-dollars. Credits cost less than nothing: the sum of all rows is what is to be paid.
    pub cost_nano_usd: i64,
    /// What the estimated ones cost, in nano-dollars.
    pub estimated_nano_usd: i64,
}

/// Which row of a table of usage it is, and so where a page ends: tables are ordered by these fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumCursor {
    /// The day or the month.
    pub period: String,
    /// The account that paid.
    pub account: String,
    /// The user.
    pub user_sub: String,
    /// The plan that the session's limits came from.
    pub plan: String,
    /// The agent that the user talked to.
    pub agent: String,
    /// The session.
    pub session_id: String,
    /// The item, as `provider/model`.
    pub item: String,
    /// The unit in which the item is counted.
    pub unit: String,
}

/// Which rows of the ledger to list: those for which everything holds that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerFilter {
    /// Rows of this user.
    pub user_sub: Option<String>,
    /// Rows of this account.
    pub account: Option<String>,
    /// Rows of this session.
    pub session_id: Option<String>,
    /// Rows that were written at this time or later, in milliseconds since 1970.
    pub from_ms: i64,
    /// Rows that were written before this time, in milliseconds since 1970.
    pub to_ms: i64,
}

/// A row of the ledger, with whom it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The row.
    pub billed: Billed,
    /// The account that paid.
    pub account: String,
    /// The user.
    pub user_sub: String,
    /// The plan that the session's limits came from.
    pub plan: Option<String>,
    /// The agent that the user talked to.
    pub agent: String,
}
