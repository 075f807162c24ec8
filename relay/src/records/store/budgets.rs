//! Budgets as they are listed, and what administrators set.

use serde::{Deserialize, Serialize};

use crate::money::NanoUsd;
use crate::money::budget::{Overrides, Scope};

/// What is spent and set aside of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetUse {
    /// The day, as `2026-12-31`, or the month, as `2026-12` (UTC).
    pub period: String,
    /// What is spent.
    pub spent: NanoUsd,
    /// What is set aside for calls that go on.
    pub reserved: NanoUsd,
}

/// The budgets of a user and their account, as they stand now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetsOf {
    /// The user's of the day.
    pub user: BudgetUse,
    /// The account's of the month.
    pub account: BudgetUse,
    /// What an administrator has set.
    pub overrides: Overrides,
}

/// A budget of which a call has set money aside in the period that is, or that an administrator has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// Whether it is a user's or an account's.
    pub scope: Scope,
    /// The user or the account.
    pub name: String,
    /// What is spent and set aside.
    pub used: BudgetUse,
    /// What may be spent in all: by an administrator, or by configuration and plan of the last call that set money aside, and at most what the
    /// token of that call allows.
    pub cap: NanoUsd,
    /// What an administrator has set, if any has.
    pub set: Option<NanoUsd>,
}

/// Which budgets to list: those for which everything holds that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFilter {
    /// Budgets of users, or of accounts.
    pub scope: Option<Scope>,
    /// Budgets of whoever has this name.
    pub subject: Option<String>,
    /// Budgets of which more than so many percent are spent or set aside.
    pub above_percent: Option<u32>,
    /// The time whose day and month it is about, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Where a page of budgets ends: at its last row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetCursor {
    /// Whose budget it is: `account` or `user`.
    pub scope: String,
    /// The account or the user.
    pub name: String,
}

/// What an administrator lets a user spend in a day, or an account in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCap {
    /// Whether it is a user's or an account's.
    pub scope: Scope,
    /// The user or the account.
    pub subject: String,
    /// What may be spent, in the place of what configuration and plan say.
    pub cap: NanoUsd,
    /// Why, for administrators.
    pub reason: String,
    /// The administrator.
    pub by: String,
}
