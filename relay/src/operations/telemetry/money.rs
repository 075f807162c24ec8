//! Money: what was spent, and whom it was told. Alerts of the service as a whole.

use metrics::counter;

use super::names::{ALERTS, BUDGET_ALERTS, COST, CREDITS_CUT, EXCESS, REPEATED, SETTLED, WEBHOOKS};
use crate::NanoUsd;
use crate::money::budget::{Scope, THRESHOLDS};
use crate::money::ledger::LedgerRow;
use crate::operations::outage::STORE_DOWN;
use crate::records::store::{IncidentKind, IncidentState};

/// What becomes of a try to deliver an alert or an event.
const DELIVERIES: &[&str] = &["delivered", "failed", "given_up"];

/// See [`begin`](super::begin).
pub(super) fn begin() {
    counter!(SETTLED).increment(0);
    counter!(EXCESS).increment(0);
    counter!(REPEATED).increment(0);
    counter!(CREDITS_CUT).increment(0);
    for scope in [Scope::Session, Scope::User, Scope::Account] {
        for percent in THRESHOLDS {
            counter!(BUDGET_ALERTS, "scope" => scope.name(), "percent" => percent.to_string()).increment(0);
        }
    }
    for alert in IncidentKind::ALL.map(IncidentKind::name).into_iter().chain([STORE_DOWN]) {
        for state in [IncidentState::Firing, IncidentState::Resolved] {
            counter!(ALERTS, "type" => alert, "state" => state.name()).increment(0);
        }
    }
    for outcome in DELIVERIES {
        counter!(WEBHOOKS, "outcome" => *outcome).increment(0);
    }
}

pub(crate) fn budget_alert(scope: &'static str, percent: u32) {
    counter!(BUDGET_ALERTS, "scope" => scope, "percent" => percent.to_string()).increment(1);
}

/// An alert of the service as a whole, by its type.
pub(crate) fn alert(alert: &'static str, state: IncidentState) {
    counter!(ALERTS, "type" => alert, "state" => state.name()).increment(1);
}

pub(crate) fn settled(cost: NanoUsd) {
    counter!(SETTLED).increment(cost.get());
}

/// A row is in the ledger.
pub(crate) fn cost(row: &LedgerRow) {
    let LedgerRow { provider, unit, cost, estimated, .. } = row;
    let estimated = if *estimated { "true" } else { "false" };
    counter!(COST, "provider" => provider.clone(), "unit" => unit.clone(), "estimated" => estimated)
        .increment(cost.get());
    counter!(REPEATED).increment(row.repeated().get());
}

/// A provider reported more than was set aside for its request.
pub(crate) fn excess(cost: NanoUsd) {
    counter!(EXCESS).increment(cost.get());
}

/// So much of a credit could not be given.
pub(crate) fn credit_cut(amount: NanoUsd) {
    counter!(CREDITS_CUT).increment(amount.get());
}

pub(crate) fn webhook(outcome: &'static str) {
    counter!(WEBHOOKS, "outcome" => outcome).increment(1);
}
