//! Budgets: what a session, its user and its account may spend, how they stand, and money that is set aside.

use super::NanoUsd;

/// Of a budget, in percent: when page and operators are told.
pub const THRESHOLDS: [u32; 3] = [50, 80, 100];

/// What a session, its user and its account may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The session, in all.
    pub session: NanoUsd,
    /// The user, a day (UTC).
    pub user_day: NanoUsd,
    /// The account, a calendar month (UTC).
    pub account_month: NanoUsd,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The session's.
    Session,
    /// The user's, for a day.
    User,
    /// The account's, for a month.
    Account,
}

/// A budget as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What may be spent in all.
    pub limit: NanoUsd,
    /// What was spent.
    pub spent: NanoUsd,
    /// What is set aside for what is going on.
    pub reserved: NanoUsd,
}

/// The three budgets that apply to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The session's.
    pub session: Balance,
    /// The user's of the day.
    pub user: Balance,
    /// The account's of the month.
    pub account: Balance,
}

/// As much as there is, but not less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Less would not help.
    pub at_least: NanoUsd,
    /// More is not needed.
    pub at_most: NanoUsd,
}

/// Money that is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Up to here the session may spend in all, since its beginning.
    pub authorised: NanoUsd,
    /// The budgets after it.
    pub standing: Standing,
}

/// Too little money is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The budget that has the least room.
    pub scope: Scope,
    /// That budget.
    pub balance: Balance,
    /// What is missing there is set aside for others, who may give some of it back.
    pub contended: bool,
    /// The session may spend up to here. It is what it had, or less if it was contended, so that those who wait do not wait for each other.
    pub authorised: NanoUsd,
}

/// What became of a wish to set money aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The money is set aside.
    Granted(Grant),
    /// It is not there.
    Short(Shortage),
}

impl Balance {
    /// What is neither spent nor set aside.
    #[must_use]
    pub fn room(&self) -> NanoUsd {
        self.limit.saturating_sub(self.spent).saturating_sub(self.reserved)
    }

    /// Whether so many percent of it are spent. Of a budget of nothing, nothing is.
    #[must_use]
    pub fn has_reached(&self, percent: u32) -> bool {
        let limit = u128::from(self.limit.get());
        limit > 0 && u128::from(self.spent.get()) * 100 >= limit * u128::from(percent)
    }

    /// What is not spent.
    #[must_use]
    pub fn left(&self) -> NanoUsd {
        self.limit.saturating_sub(self.spent)
    }
}

impl Standing {
    /// Budgets of which nothing is spent, as far as is known.
    #[must_use]
    pub fn unused(caps: Caps) -> Standing {
        let balance = |limit| Balance { limit, ..Balance::default() };
        Standing {
            session: balance(caps.session),
            user: balance(caps.user_day),
            account: balance(caps.account_month),
        }
    }

    /// What is left of the tightest budget.
    #[must_use]
    pub fn left(&self) -> NanoUsd {
        self.session.left().min(self.user.left()).min(self.account.left())
    }

    /// Each budget with its scope.
    #[must_use]
    pub fn each(&self) -> [(Scope, Balance); 3] {
        [(Scope::Session, self.session), (Scope::User, self.user), (Scope::Account, self.account)]
    }
}

impl Scope {
    /// The word in messages and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Session => "session",
            Scope::User => "user",
            Scope::Account => "account",
        }
    }

    /// As `budget` tells it.
    #[must_use]
    pub const fn to_message(self) -> protocol::BudgetScope {
        match self {
            Scope::Session => protocol::BudgetScope::Session,
            Scope::User => protocol::BudgetScope::User,
            Scope::Account => protocol::BudgetScope::Account,
        }
    }
}
