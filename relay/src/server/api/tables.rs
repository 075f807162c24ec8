//! Usage and the ledger as tables (CSV), which are written a page of the store at a time while the client reads them.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use jiff::civil::Date;
use protocol::HttpCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::caller::{Admin, User};
use super::export::{self, PAGE, Pages, harmless};
use super::extract::{Query, bad_request, is_id, maybe_name};
use super::responses::Usual;
use super::time::Days;
use super::{Problem, time};
use crate::App;
use crate::money::meter::SAMPLE;
use crate::records::store::{
    BilledCursor, LedgerEntry, LedgerFilter, SUMS_MAX, SumBy, SumCursor, SumFilter, SumPer, SumRow, unix_ms,
};

const CSV: &str = "text/csv; charset=utf-8";
/// How many samples are a thousandth of a second.
const SAMPLES_PER_MS: u64 = 16;
/// How many samples are a ten-thousandth of a minute.
const SAMPLES_PER_TEN_THOUSANDTH: u64 = 96;

/// Which of the user's own usage to add up, and what for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnTable {
    /// How long the periods are that usage is added up for. Days by default.
    #[param(inline, nullable = false)]
    per: Option<Per>,
    /// What usage is added up for in each account. Accounts by default.
    #[param(inline, nullable = false)]
    by: Option<TableBy>,
    /// The first day (UTC). By default it is 30 days in all, and they may be 3700 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
}

/// Whose usage to add up, and what for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageTable {
    /// How long the periods are that usage is added up for. Days by default.
    #[param(inline, nullable = false)]
    per: Option<Per>,
    /// What usage is added up for in each account. Accounts by default.
    #[param(inline, nullable = false)]
    by: Option<TableBy>,
    /// Only usage of this user. The usage of erased sessions belongs to no user, and is left out then.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only usage of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// The first day (UTC). By default it is 30 days in all, and they may be 3700 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
}

/// Which rows of the ledger to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LedgerTable {
    /// Only rows of this user.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only rows of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// Only rows of this session.
    #[param(min_length = 1, max_length = 64, nullable = false)]
    session_id: Option<String>,
    /// The first day (UTC). By default it is 30 days in all, and they may be 3700 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
}

/// How long a period is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Per {
    /// Days (UTC).
    Day,
    /// Calendar months (UTC).
    Month,
}

/// What usage is added up for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TableBy {
    /// Each account.
    Account,
    /// Each user of each account.
    User,
    /// Each plan of each account.
    Plan,
    /// Each agent of each account.
    Agent,
    /// Each session.
    Session,
}

/// Exports the user's own usage as CSV with a header, by period, item and unit, and by what is asked for. Audio is told in seconds and minutes
/// as well, cut off after their last digit. A cell that a spreadsheet would take for a formula begins with an apostrophe.
#[utoipa::path(
    get, path = "/v1/export/usage.csv", operation_id = "export_usage", tag = "own", params(OwnTable),
    responses((status = 200, description = "A line for each sum", content_type = "text/csv", body = String), Usual),
)]
pub(super) async fn own_usage(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Query(asked): Query<OwnTable>,
) -> Result<Response, Problem> {
    let days = Days::long(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    usage(app, filter(days, asked.per, asked.by, Some(identity.sub), None), days).await
}

/// Exports the usage of all users as CSV with a header, by period, item and unit, and by what is asked for. Audio is told in seconds and
/// minutes as well, cut off after their last digit. What erased sessions have used stands in it without a name and counts as reported. A cell
/// that a spreadsheet would take for a formula begins with an apostrophe.
#[utoipa::path(
    get, path = "/v1/admin/export/usage.csv", operation_id = "export_all_usage", tag = "admin", params(UsageTable),
    responses((status = 200, description = "A line for each sum", content_type = "text/csv", body = String), Usual),
)]
pub(super) async fn all_usage(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<UsageTable>,
) -> Result<Response, Problem> {
    let days = Days::long(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    let user_sub = maybe_name("user_sub", asked.user_sub)?;
    let account = maybe_name("account", asked.account)?;
    usage(app, filter(days, asked.per, asked.by, user_sub, account), days).await
}

/// Exports the ledger as CSV with a header, the oldest row first. Credits and what erased sessions have used are no rows of it: usage has them.
/// A cell that a spreadsheet would take for a formula begins with an apostrophe.
#[utoipa::path(
    get, path = "/v1/admin/export/ledger.csv", operation_id = "export_ledger", tag = "admin", params(LedgerTable),
    responses((status = 200, description = "A line for each row", content_type = "text/csv", body = String), Usual),
)]
pub(super) async fn ledger(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<LedgerTable>,
) -> Result<Response, Problem> {
    let days = Days::long(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    if asked.session_id.as_deref().is_some_and(|id| !is_id(id)) {
        let detail = "`session_id` has to be the id of a session.";
        return Err(bad_request(detail).code(HttpCode::BadQuery));
    }
    let filter = LedgerFilter {
        user_sub: maybe_name("user_sub", asked.user_sub)?,
        account: maybe_name("account", asked.account)?,
        session_id: asked.session_id,
        from_ms: days.begin_ms(),
        to_ms: days.end_ms(),
    };
    let body = export::stream(Ledger { app, filter }, None).await?;
    Ok(export::file(CSV, "ledger.csv", body))
}

async fn usage(app: Arc<App>, filter: SumFilter, days: Days) -> Result<Response, Problem> {
    let body = export::stream(Sums { app, filter, days }, None).await?;
    Ok(export::file(CSV, "usage.csv", body))
}

fn filter(
    days: Days,
    per: Option<Per>,
    by: Option<TableBy>,
    user_sub: Option<String>,
    account: Option<String>,
) -> SumFilter {
    let per = match per {
        Some(Per::Day) | None => SumPer::Day,
        Some(Per::Month) => SumPer::Month,
    };
    let by = match by {
        Some(TableBy::Account) | None => SumBy::Account,
        Some(TableBy::User) => SumBy::User,
        Some(TableBy::Plan) => SumBy::Plan,
        Some(TableBy::Agent) => SumBy::Agent,
        Some(TableBy::Session) => SumBy::Session,
    };
    SumFilter { user_sub, account, from_ms: days.begin_ms(), to_ms: days.end_ms(), per, by }
}

/// A table of usage. Each of its periods is read by itself, so that no page makes the database add up more than one of them. What one user has
/// used is little, and is read at once.
struct Sums {
    app: Arc<App>,
    filter: SumFilter,
    days: Days,
}

/// Where a page of usage begins.
struct At {
    /// The first day of the page's period that is asked for.
    from: Date,
    /// The last row of the page before, if it is of the same period.
    after: Option<SumCursor>,
}

impl Sums {
    /// The days of the period that this day is in, as far as they are asked for and from this day on.
    fn period(&self, from: Date) -> Days {
        let to = match self.filter.per {
            _ if self.filter.user_sub.is_some() => self.days.to,
            SumPer::Day => from,
            SumPer::Month => from.last_of_month(),
        };
        Days { from, to: to.min(self.days.to) }
    }
}

impl Pages for Sums {
    type Cursor = At;

    async fn page(&mut self, at: Option<At>) -> Result<(Vec<u8>, Option<At>), Problem> {
        let columns = at.is_none().then_some(SUM_COLUMNS);
        let mut at = at.unwrap_or(At { from: self.days.from, after: None });
        loop {
            let period = self.period(at.from);
            let filter =
                SumFilter { from_ms: period.begin_ms(), to_ms: period.end_ms(), ..self.filter.clone() };
            let page = self.app.records.store.sum_usage(&filter, at.after.as_ref(), SUMS_MAX).await?;
            let next = match page.next {
                Some(after) => Some(At { from: at.from, after: Some(after) }),
                None => {
                    let next = period.to.tomorrow().ok().filter(|next| *next <= self.days.to);
                    next.map(|from| At { from, after: None })
                }
            };
            match next {
                Some(next) if page.rows.is_empty() => at = next,
                next => return Ok((export::lines(columns, page.rows.into_iter().map(sum)), next)),
            }
        }
    }
}

const SUM_COLUMNS: [&str; 16] = [
    "period",
    "account",
    "user_sub",
    "plan",
    "agent",
    "session_id",
    "item",
    "unit",
    "quantity",
    "estimated_quantity",
    "reported_quantity",
    "seconds",
    "minutes",
    "cost_nano_usd",
    "estimated_nano_usd",
    "reported_nano_usd",
];

fn sum(row: SumRow) -> [String; 16] {
    let SumCursor { period, account, user_sub, plan, agent, session_id, item, unit } = row.of;
    let [seconds, minutes] = length(&unit, row.quantity);
    [
        period,
        harmless(account),
        harmless(user_sub),
        harmless(plan),
        harmless(agent),
        harmless(session_id),
        harmless(item),
        harmless(unit),
        row.quantity.to_string(),
        row.estimated.to_string(),
        row.quantity.saturating_sub(row.estimated).to_string(),
        seconds,
        minutes,
        row.cost_nano_usd.to_string(),
        row.estimated_nano_usd.to_string(),
        row.cost_nano_usd.saturating_sub(row.estimated_nano_usd).to_string(),
    ]
}

/// How long so much audio is, in seconds and in minutes; two empty texts for what is no audio.
fn length(unit: &str, quantity: u64) -> [String; 2] {
    if !unit.ends_with(SAMPLE) {
        return [String::new(), String::new()];
    }
    let (ms, parts) = (quantity / SAMPLES_PER_MS, quantity / SAMPLES_PER_TEN_THOUSANDTH);
    [format!("{}.{:03}", ms / 1_000, ms % 1_000), format!("{}.{:04}", parts / 10_000, parts % 10_000)]
}

/// A table of the ledger.
struct Ledger {
    app: Arc<App>,
    filter: LedgerFilter,
}

impl Pages for Ledger {
    type Cursor = BilledCursor;

    async fn page(
        &mut self,
        after: Option<BilledCursor>,
    ) -> Result<(Vec<u8>, Option<BilledCursor>), Problem> {
        let columns = after.is_none().then_some(LEDGER_COLUMNS);
        let page = self.app.records.store.list_ledger(&self.filter, after.as_ref(), PAGE).await?;
        let rows = page.rows.into_iter().map(entry).chain(export::damaged_rows(page.damaged));
        Ok((export::lines(columns, rows), page.next))
    }
}

const LEDGER_COLUMNS: [&str; 20] = [
    "written_at",
    "session_id",
    "key",
    "account",
    "user_sub",
    "plan",
    "agent",
    "provider",
    "item",
    "unit",
    "quantity",
    "seconds",
    "minutes",
    "price_nano_usd",
    "per",
    "price_version",
    "cost_nano_usd",
    "estimated",
    "turn",
    "request_id",
];

fn entry(entry: LedgerEntry) -> [String; 20] {
    let LedgerEntry { billed, account, user_sub, plan, agent } = entry;
    let row = billed.row;
    let [seconds, minutes] = length(&row.unit, row.quantity);
    [
        time::text(billed.at_ms),
        harmless(billed.session_id),
        harmless(row.key),
        harmless(account),
        harmless(user_sub),
        harmless(plan.unwrap_or_default()),
        harmless(agent),
        harmless(row.provider),
        harmless(row.item),
        harmless(row.unit),
        row.quantity.to_string(),
        seconds,
        minutes,
        row.price.get().to_string(),
        row.per.to_string(),
        harmless(row.price_version),
        row.cost.get().to_string(),
        row.estimated.to_string(),
        row.turn.map(|turn| turn.to_string()).unwrap_or_default(),
        harmless(row.request_id.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_of_every_kind_is_told_in_seconds_and_minutes_and_nothing_else_is() {
        for unit in
            ["sample", "utterance_sample", "repeated_sample", "unheard_sample", "excess_utterance_sample"]
        {
            assert_eq!(length(unit, 1_440_015), ["90.000", "1.5000"], "{unit}");
            assert_eq!(length(unit, 16), ["0.001", "0.0000"], "{unit}");
        }
        for unit in ["character", "input_token", "nano_usd"] {
            assert_eq!(length(unit, 1_440_000), ["", ""], "{unit}");
        }
    }
}
