//! What is left of a session that was deleted: enough to tell what is still owed for it.

use std::collections::BTreeMap;

use relay::NanoUsd;
use relay::money::budget::Scope;
use relay::records::store::{Settle, StoreError};

use super::periods::Periods;
use super::{Model, money};

/// A session that was deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Erased {
    epoch: u32,
    /// Item and quantity, by key.
    rows: BTreeMap<String, (String, u64)>,
}

impl Model {
    /// See [`relay::records::store::Store::delete_session`].
    pub fn delete_session(&mut self, now: i64, id: &str) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        if session.is_live() {
            self.write_off(now, id);
        }
        let Some(session) = self.sessions.remove(id) else { return false };
        let epoch = session.row.epoch;
        let erased =
            self.erased.entry(id.to_owned()).or_insert_with(|| Erased { epoch, ..Erased::default() });
        for (row, at_ms) in session.ledger.values() {
            let day = Periods::at(*at_ms).day;
            *self.erased_cost.entry((session.row.account.clone(), day)).or_default() += row.cost;
            erased.rows.entry(row.key.clone()).or_insert_with(|| (row.item.clone(), row.quantity));
        }
        let of_session = |key: &str| key.strip_prefix(id).is_some_and(|rest| rest.starts_with('/'));
        for (_, given) in self.credits.iter_mut().filter(|(key, _)| of_session(key)) {
            given.is_erased = true;
        }
        self.forget_in_alerts(id, &session.row.user_sub);
        true
    }

    /// What is about the budget of a session that was deleted goes with it. What else it has reached stays, and does not name it, nor whoever has no
    /// session left.
    fn forget_in_alerts(&mut self, id: &str, user_sub: &str) {
        self.told.remove(&(Scope::Session.name(), id.to_owned(), String::new()));
        self.alerts.retain(|alert| alert.scope != Scope::Session || alert.session_id != id);
        let is_gone = !self.sessions.values().any(|session| session.row.user_sub == user_sub);
        for alert in &mut self.alerts {
            let is_of_session = alert.session_id == id;
            if is_of_session {
                alert.session_id.clear();
            }
            if is_of_session && alert.scope == Scope::Account || is_gone && alert.user_sub == user_sub {
                alert.user_sub.clear();
            }
        }
    }

    /// Charges the account for a session that is not there any more.
    pub(super) fn settle_erased(&mut self, settle: &Settle) -> Result<(), StoreError> {
        let id = &settle.session_id;
        let (Some(payer), Some(first)) = (&settle.payer, money::decisive(&settle.rows)) else {
            return Err(StoreError::NoSession { id: id.clone() });
        };
        let erased = self
            .erased
            .entry(id.clone())
            .or_insert_with(|| Erased { epoch: settle.epoch, ..Erased::default() });
        let of_item = erased.rows.values().filter(|(item, _)| *item == first.item);
        let samples: u64 = of_item.map(|(_, quantity)| quantity).sum();
        let goes_on = money::goes_on(first, samples) || erased.rows.contains_key(&first.key);
        let charged = erased.rows.contains_key(&format!("lost@{}", settle.epoch));
        if erased.epoch > settle.epoch && (!goes_on || charged) {
            return Err(StoreError::Fenced { id: id.clone() });
        }
        let mut cost = NanoUsd::ZERO;
        for row in &settle.rows {
            if !erased.rows.contains_key(&row.key) {
                erased.rows.insert(row.key.clone(), (row.item.clone(), row.quantity));
                cost += row.cost;
            }
        }
        let day = Periods::at(settle.at_ms).day;
        *self.erased_cost.entry((payer.account.clone(), day)).or_default() += cost;
        let (user, account) = (payer.user_sub.clone(), payer.account.clone());
        let periods = Periods::at(settle.at_ms);
        self.change_budgets(&user, &account, periods, cost, 0);
        self.add_unasked(&user, &account, periods, cost);
        self.reached_by_erased(payer, periods, settle.caps, settle.at_ms);
        Ok(())
    }

    /// What sessions that were deleted have cost.
    #[must_use]
    pub fn erased_cost(&self, account: &str) -> NanoUsd {
        let of_account = self.erased_cost.iter().filter(|((of, _), _)| of == account);
        of_account.fold(NanoUsd::ZERO, |sum, (_, cost)| sum + *cost)
    }
}
