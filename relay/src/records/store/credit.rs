//! Credits: what an account gets back of what it was charged.

use crate::money::NanoUsd;

/// The item of credits in usage.
pub const CREDIT_ITEM: &str = "operator/credit";

/// Who gave the credits that relays give by themselves, since a provider has said afterwards that it bills less than was charged.
pub const CREDITED_BY_RELAY: &str = "voxrelay";

/// What an account gets back of what it was charged for one day, in all or for one user. In usage its item is `operator/credit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// What the credit is known by: giving a credit of the same key again changes nothing.
    pub key: String,
    /// The account that was charged.
    pub account: String,
    /// The user whose charges they were. `None` is an account's credit that belongs to none of its users, or to one who is erased.
    pub user_sub: Option<String>,
    /// The day (UTC) of the charges, as `2026-12-31`.
    pub day: String,
    /// How much is given back.
    pub amount: NanoUsd,
    /// Why, for administrators. Empty once the user is erased.
    pub reason: String,
    /// The administrator who gave the credit, or [`CREDITED_BY_RELAY`]. Empty once that user is erased.
    pub created_by: String,
    /// When the credit was given, in milliseconds since 1970.
    pub created_at_ms: i64,
}

/// What became of a credit that was to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credited {
    /// The credit is given.
    Yes {
        /// The credit as it is stored.
        credit: Credit,
        /// Whether it was given just now, and not before.
        new: bool,
        /// What is spent now of the account's budget of that month.
        account_spent: NanoUsd,
        /// What is spent now of the user's budget of that day, if the credit is a user's.
        user_spent: Option<NanoUsd>,
    },
    /// Another credit has this key.
    KeyInUse,
    /// The account, or the user, was not charged so much for that day, or has most of it back already.
    TooMuch {
        /// How much may still be given back.
        left: NanoUsd,
    },
}

/// Which credits to list: those for which everything holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreditFilter {
    /// Credits of this user.
    pub user_sub: Option<String>,
    /// Credits of this account.
    pub account: Option<String>,
}
