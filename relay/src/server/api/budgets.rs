//! Budgets: what may be spent, what is, and what administrators set.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use protocol::HttpCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::{Admin, User};
use super::extract::{self, Path, Query, bad_request, maybe_name, name, reason};
use super::responses::{OrNone, Usual, WithBody};
use super::{Problem, cursor};
use crate::App;
use crate::money::NanoUsd;
use crate::money::budget::Scope;
use crate::records::store::{BudgetFilter, BudgetRow, BudgetUse, NewCap, unix_ms};

/// The largest cap that can be set, in nano-dollars: a thousand million dollars.
const CAP_MAX: u64 = 1_000_000_000_000_000_000;
/// The largest share of a cap that can be asked for, in percent.
const PERCENT_MAX: u32 = 10_000;

/// Whose budget it is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BudgetKind {
    /// A user's, for a day (UTC).
    User,
    /// An account's, for a calendar month (UTC).
    Account,
}

/// A budget as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BudgetEntry {
    /// Whose budget it is.
    scope: BudgetKind,
    /// The user, if it is a user's.
    user_sub: Option<String>,
    /// The account, if it is an account's.
    account: Option<String>,
    /// The day or the month (UTC).
    period: String,
    /// What may be spent in all, in nano-dollars.
    cap_nano_usd: u64,
    /// What an administrator has set in the place of configuration and plan, in nano-dollars. A token that allows less holds nevertheless.
    set_nano_usd: Option<u64>,
    /// What is spent, in nano-dollars.
    spent_nano_usd: u64,
    /// What is set aside for calls that go on, in nano-dollars.
    reserved_nano_usd: u64,
    /// What is neither spent nor set aside, in nano-dollars.
    left_nano_usd: u64,
}

/// The budgets of the user and of their account.
#[derive(Serialize, ToSchema)]
pub(super) struct OwnBudgets {
    budgets: Vec<BudgetEntry>,
}

/// A page of budgets, those of accounts first, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct Budgets {
    budgets: Vec<BudgetEntry>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Which budgets to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BudgetsAsked {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only budgets of users, or of accounts.
    #[param(inline, nullable = false)]
    kind: Option<BudgetKind>,
    /// Only the budget of this user, or of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    subject: Option<String>,
    /// Only budgets of which more than so many percent are spent or set aside.
    #[param(minimum = 0, maximum = 10000, nullable = false)]
    above_percent: Option<u32>,
}

/// What a user or an account may spend.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBudget {
    /// What may be spent in each period from now on, in nano-dollars.
    #[schema(minimum = 0)]
    cap_nano_usd: u64,
    /// Why, for administrators.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Reads the budgets of the user and of their account: what may be spent, what is, and what is left. The caps are those of the token that asks.
#[utoipa::path(
    get, path = "/v1/budgets", operation_id = "read_budgets", tag = "own",
    responses((status = 200, description = "The user's and the account's", body = OwnBudgets), Usual),
)]
pub(super) async fn own(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
) -> Result<Json<OwnBudgets>, Problem> {
    let of = app.records.store.budgets_of(&identity.sub, &identity.account, unix_ms()).await?;
    let limits = app.config.limits_for(identity.plan.as_deref(), &identity.limits);
    let (user_day, account_month) = limits.caps().with(&of.overrides);
    let user = BudgetRow {
        scope: Scope::User,
        name: identity.sub,
        used: of.user,
        cap: user_day,
        set: of.overrides.user_day,
    };
    let account = BudgetRow {
        scope: Scope::Account,
        name: identity.account,
        used: of.account,
        cap: account_month,
        set: of.overrides.account_month,
    };
    Ok(Json(OwnBudgets { budgets: [user, account].map(BudgetEntry::from).into() }))
}

/// Lists the budgets of this day and month of which calls have set money aside, and those that are set, used or not. The cap of each is by the last
/// call that did. One of which nothing is used has what is set.
#[utoipa::path(
    get, path = "/v1/admin/budgets", operation_id = "list_budgets", tag = "admin", params(BudgetsAsked),
    responses((status = 200, description = "A page, accounts first, by name", body = Budgets), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<BudgetsAsked>,
) -> Result<Json<Budgets>, Problem> {
    if asked.above_percent.is_some_and(|percent| percent > PERCENT_MAX) {
        let detail = format!("`above_percent` has to be a whole number, 0 to {PERCENT_MAX}.");
        return Err(bad_request(detail).code(HttpCode::BadQuery));
    }
    let filter = BudgetFilter {
        scope: asked.kind.map(Scope::from),
        subject: maybe_name("subject", asked.subject)?,
        above_percent: asked.above_percent,
        at_ms: unix_ms(),
    };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.list_budgets(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Budgets {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        budgets: page.rows.into_iter().map(BudgetEntry::from).collect(),
    }))
}

/// Sets what a user may spend in a day or an account in a month, in the place of configuration and plan: in this period and every later one,
/// until it is taken back. Calls that go on feel it when they next set money aside. Nothing more is spent of a budget that is set below what is
/// spent already. A token that allows less holds nevertheless.
#[utoipa::path(
    put, path = "/v1/admin/budgets/{kind}/{subject}", operation_id = "set_budget", tag = "admin",
    params(
        ("kind" = inline(BudgetKind), Path, description = "Whose budget it is"),
        ("subject" = String, Path, description = "The user or the account", min_length = 1, max_length = 255),
    ),
    request_body = NewBudget,
    responses((status = 204, description = "It is set"), WithBody),
)]
pub(super) async fn set(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path((kind, subject)): Path<(BudgetKind, String)>,
    extract::Json(new): extract::Json<NewBudget>,
) -> Result<StatusCode, Problem> {
    let in_body = |problem: Problem| problem.code(HttpCode::BadBody);
    if new.cap_nano_usd > CAP_MAX {
        return Err(in_body(bad_request(format!(
            "`cap_nano_usd` has to be a whole number, 0 to {CAP_MAX}."
        ))));
    }
    if new.reason.trim().is_empty() {
        return Err(in_body(bad_request("`reason` has to say why.")));
    }
    let new = NewCap {
        scope: kind.into(),
        subject: subject_of(subject)?,
        cap: NanoUsd::new(new.cap_nano_usd),
        reason: reason(new.reason).map_err(in_body)?,
        by: identity.sub,
    };
    app.records.store.set_cap(&new).await?;
    tracing::info!(scope = new.scope.name(), subject = %new.subject, cap = %new.cap, by = %new.by, "a budget is set");
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back what was set: configuration and plan apply again.
#[utoipa::path(
    delete, path = "/v1/admin/budgets/{kind}/{subject}", operation_id = "reset_budget", tag = "admin",
    params(
        ("kind" = inline(BudgetKind), Path, description = "Whose budget it is"),
        ("subject" = String, Path, description = "The user or the account", min_length = 1, max_length = 255),
    ),
    responses((status = 204, description = "Configuration and plan apply again"), OrNone),
)]
pub(super) async fn reset(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path((kind, subject)): Path<(BudgetKind, String)>,
) -> Result<StatusCode, Problem> {
    let subject = subject_of(subject)?;
    let scope = Scope::from(kind);
    if !app.records.store.take_back_cap(scope, &subject, &identity.sub).await? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "Nothing is set for this budget."));
    }
    tracing::info!(scope = scope.name(), %subject, by = %identity.sub, "a budget is by configuration and plan again");
    Ok(StatusCode::NO_CONTENT)
}

fn subject_of(given: String) -> Result<String, Problem> {
    name("subject", given).map_err(|problem| problem.code(HttpCode::BadPath))
}

impl From<BudgetKind> for Scope {
    fn from(kind: BudgetKind) -> Scope {
        match kind {
            BudgetKind::User => Scope::User,
            BudgetKind::Account => Scope::Account,
        }
    }
}

impl From<BudgetRow> for BudgetEntry {
    fn from(row: BudgetRow) -> BudgetEntry {
        let BudgetUse { period, spent, reserved } = row.used;
        let (scope, user_sub, account) = match row.scope {
            Scope::Account => (BudgetKind::Account, None, Some(row.name)),
            Scope::User | Scope::Session => (BudgetKind::User, Some(row.name), None),
        };
        BudgetEntry {
            scope,
            user_sub,
            account,
            period,
            cap_nano_usd: row.cap.get(),
            set_nano_usd: row.set.map(NanoUsd::get),
            spent_nano_usd: spent.get(),
            reserved_nano_usd: reserved.get(),
            left_nano_usd: row.cap.saturating_sub(spent).saturating_sub(reserved).get(),
        }
    }
}
