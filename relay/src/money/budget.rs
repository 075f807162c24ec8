//! Budgets: what a session, its user and its account may spend, how they stand, and money that is set aside.

use super::NanoUsd;

/// Of a budget, in percent: when page and operators are told.
pub const THRESHOLDS: [u32; 3] = [50, 80, 100];

/// What a session, its user and its account may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The session, in all.
    pub session: NanoUsd,
    /// The user, a day (UTC), by the configuration and the plan.
    pub user_day: NanoUsd,
    /// The account, a calendar month (UTC), by the configuration and the plan.
    pub account_month: NanoUsd,
    /// What the token allows of the two at most.
    pub token: TokenCaps,
}

/// What a token allows at most, of what configuration, plan or an administrator allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCaps {
    /// The user, a day (UTC).
    pub user_day: Option<NanoUsd>,
    /// The account, a calendar month (UTC).
    pub account_month: Option<NanoUsd>,
}

/// What an administrator has set in the place of what configuration and plan allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The user, a day (UTC).
    pub user_day: Option<NanoUsd>,
    /// The account, a calendar month (UTC).
    pub account_month: Option<NanoUsd>,
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

impl TokenCaps {
    /// Those of a token that says nothing of it.
    pub const NONE: TokenCaps = TokenCaps { user_day: None, account_month: None };
}

impl Caps {
    /// What the user may spend in a day, and the account in a month.
    #[must_use]
    pub fn with(&self, overrides: &Overrides) -> (NanoUsd, NanoUsd) {
        let applies = |plan: NanoUsd, set: Option<NanoUsd>, token: Option<NanoUsd>| {
            let cap = set.unwrap_or(plan);
            token.map_or(cap, |token| cap.min(token))
        };
        (
            applies(self.user_day, overrides.user_day, self.token.user_day),
            applies(self.account_month, overrides.account_month, self.token.account_month),
        )
    }
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
        let (user_day, account_month) = caps.with(&Overrides::default());
        Standing { session: balance(caps.session), user: balance(user_day), account: balance(account_month) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_administrator_sets_takes_the_place_of_the_plan_and_a_token_only_tightens_it() {
        let usd = NanoUsd::new;
        let caps = |token| Caps { session: usd(1), user_day: usd(5), account_month: usd(50), token };
        let raised = Overrides { user_day: Some(usd(9)), account_month: None };
        let lowered = Overrides { user_day: Some(usd(2)), account_month: Some(usd(0)) };
        let none = caps(TokenCaps::NONE);
        assert_eq!(none.with(&Overrides::default()), (usd(5), usd(50)));
        assert_eq!(none.with(&raised), (usd(9), usd(50)));
        assert_eq!(none.with(&lowered), (usd(2), usd(0)));
        let tight = caps(TokenCaps { user_day: Some(usd(7)), account_month: Some(usd(80)) });
        assert_eq!(tight.with(&Overrides::default()), (usd(5), usd(50)));
        assert_eq!(tight.with(&raised), (usd(7), usd(50)));
        assert_eq!(tight.with(&lowered), (usd(2), usd(0)));
    }
}
