//! Usage, by day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::{Admin, User};
use super::extract::{Query, maybe_name};
use super::responses::Usual;
use super::schema::Usage;
use super::time::Days;
use super::{Problem, cursor};
use crate::App;
use crate::records::store::{UsageBy, UsageFilter, unix_ms};

/// Which days of the user's own usage to read, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnUsage {
    /// The first day (UTC). By default it is 30 days in all, and they may be 100 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
}

/// Whose usage to read, and which days, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AllUsage {
    /// Whether usage is added up for accounts, or for each user of them. Accounts by default. The usage of erased sessions is only added up
    /// for accounts.
    #[param(inline, nullable = false)]
    by: Option<By>,
    /// Only usage of this user. The usage of erased sessions belongs to no user, and is left out then.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only usage of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
    /// The first day (UTC). By default it is 30 days in all, and they may be 100 at most.
    #[param(format = Date, nullable = false)]
    from: Option<String>,
    /// The last day (UTC). Today by default.
    #[param(format = Date, nullable = false)]
    to: Option<String>,
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
}

/// Whom usage is added up for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Accounts.
    Account,
    /// Each user of each account.
    User,
}

/// A page of usage, ordered by day, account, user, item and unit.
#[derive(Serialize, ToSchema)]
pub(super) struct UsagePage {
    /// The first day.
    #[schema(format = Date)]
    from: String,
    /// The last day.
    #[schema(format = Date)]
    to: String,
    usage: Vec<Usage>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Reads the user's own usage, by day.
#[utoipa::path(
    get, path = "/v1/usage", operation_id = "read_usage", tag = "own", params(OwnUsage),
    responses((status = 200, description = "A page, by day", body = UsagePage), Usual),
)]
pub(super) async fn own(
    Shared(app): Shared<Arc<App>>,
    User(identity): User,
    Query(asked): Query<OwnUsage>,
) -> Result<Json<UsagePage>, Problem> {
    let days = Days::read(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    let filter = filter(days, UsageBy::User, Some(identity.sub), None);
    page(&app, &filter, days, asked.cursor.as_deref(), asked.limit).await
}

/// Reads the usage of all users, by day.
#[utoipa::path(
    get, path = "/v1/admin/usage", operation_id = "read_all_usage", tag = "admin", params(AllUsage),
    responses((status = 200, description = "A page, by day", body = UsagePage), Usual),
)]
pub(super) async fn of_all(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<AllUsage>,
) -> Result<Json<UsagePage>, Problem> {
    let days = Days::read(asked.from.as_deref(), asked.to.as_deref(), unix_ms())?;
    let by = match asked.by {
        Some(By::User) => UsageBy::User,
        Some(By::Account) | None => UsageBy::Account,
    };
    let user_sub = maybe_name("user_sub", asked.user_sub)?;
    let filter = filter(days, by, user_sub, maybe_name("account", asked.account)?);
    page(&app, &filter, days, asked.cursor.as_deref(), asked.limit).await
}

fn filter(days: Days, by: UsageBy, user_sub: Option<String>, account: Option<String>) -> UsageFilter {
    UsageFilter { user_sub, account, from_ms: days.begin_ms(), to_ms: days.end_ms(), by }
}

async fn page(
    app: &App,
    filter: &UsageFilter,
    days: Days,
    after: Option<&str>,
    limit: Option<u32>,
) -> Result<Json<UsagePage>, Problem> {
    let after = cursor::read(after)?;
    let page = app.records.store.usage(filter, after.as_ref(), cursor::limit(limit)?).await?;
    Ok(Json(UsagePage {
        from: days.from.to_string(),
        to: days.to.to_string(),
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        usage: page.rows.into_iter().map(Usage::from).collect(),
    }))
}
