//! What operators hear of in the log, in a metric and through a webhook: a budget that has reached one of its thresholds, and a provider that
//! has reported more than its request may use. What the ledger's rows cost is counted on the way.

use crate::money::NanoUsd;
use crate::money::ledger::LedgerRow;
use crate::operations::{telemetry, tracker};
use crate::records::store::{Alert, Settle, Settled, StoreError};

/// Says it in the log and counts it. The webhook is sent from the database, so that none is lost.
pub(crate) fn raised(alert: &Alert) {
    tracing::warn!(
        alert = %alert.id,
        scope = alert.scope.name(),
        percent = alert.percent,
        account = %alert.account,
        sub = %alert.user_sub,
        session = %alert.session_id,
        limit = %alert.limit,
        spent = %alert.spent,
        period = %alert.period,
        "budget reached"
    );
    tracker::budget_reached(alert);
    telemetry::budget_alert(alert.scope.name(), alert.percent);
}

/// What a settlement has written is counted and told, also where its session was erased meanwhile, so that it stands on the account's bill alone.
pub(crate) fn settled(settle: &Settle, answer: &Result<Settled, StoreError>) {
    if matches!(answer, Ok(_) | Err(StoreError::Erased { .. })) {
        settle.rows.iter().for_each(|row| written(&settle.session_id, row));
    }
}

/// A row is in the ledger: its cost is counted, and what was reported too much of is told.
pub(crate) fn written(session: &str, row: &LedgerRow) {
    telemetry::cost(row);
    exceeded(session, row);
}

/// Says in the log and counts what an operator pays because a provider reported more than was set aside for its request, if this row is that.
/// The webhook is sent from the database, once an hour for each item.
fn exceeded(session: &str, row: &LedgerRow) {
    let excess = row.excess();
    if excess > NanoUsd::ZERO {
        telemetry::excess(excess);
        tracing::error!(
            %session, item = %row.item, unit = %row.unit, quantity = row.quantity, %excess, request = row.request_id.as_deref(),
            "a provider reported more than its request may use; nobody is charged for the rest"
        );
    }
}
