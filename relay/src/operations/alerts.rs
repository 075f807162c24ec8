//! A budget reached one of its thresholds: operators hear of it in the log, in a metric and through a webhook.

use crate::operations::telemetry;
use crate::records::store::Alert;

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
    telemetry::budget_alert(alert.scope.name(), alert.percent);
}
