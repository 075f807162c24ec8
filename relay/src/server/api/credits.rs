//! Credits, for administrators: what an account gets back of what it was charged by mistake.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::{Extension, Json};
use protocol::HttpCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::extract::{self, Query, bad_request, maybe_name, name, reason};
use super::idempotency::Kept;
use super::responses::{Usual, WithKey};
use super::schema::CreditEntry;
use super::{Problem, cursor, time};
use crate::App;
use crate::money::NanoUsd;
use crate::records::store::{Credit, CreditFilter, Credited, unix_ms};

/// What is to be given back, to whom, for which day.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredit {
    /// What the credit is known by. The same credit with the same key is given once, however often it is sent: if an answer is lost, send it
    /// again.
    #[schema(min_length = 1, max_length = 255)]
    key: String,
    /// The account that was charged.
    #[schema(min_length = 1, max_length = 255)]
    account: String,
    /// The user whose charges they were. With it the user's day is lowered as well, otherwise the account's month alone.
    #[schema(min_length = 1, max_length = 255)]
    user_sub: Option<String>,
    /// The day (UTC) of the charges.
    #[schema(format = Date)]
    day: String,
    /// How much is given back, in nano-dollars: no more than was charged for that day and not given back yet.
    #[schema(minimum = 1)]
    amount_nano_usd: u64,
    /// Why, for administrators.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Which credits to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CreditsAsked {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only credits of this user.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    user_sub: Option<String>,
    /// Only credits of this account.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    account: Option<String>,
}

/// A credit that is given.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Given {
    credit: CreditEntry,
    /// What is spent now of the account's budget of that month, in nano-dollars.
    account_spent_nano_usd: u64,
    /// What is spent now of the user's budget of that day, in nano-dollars, if the credit is a user's.
    user_spent_nano_usd: Option<u64>,
}

/// A page of credits, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Credits {
    credits: Vec<CreditEntry>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Gives an account back what it was charged by mistake. What is spent of its month, and of the user's day if there is a user, is lowered,
/// and the credit stands in usage. A credit is never taken back.
#[utoipa::path(
    post, path = "/v1/admin/credits", operation_id = "give_credit", tag = "admin", request_body = NewCredit,
    responses(
        (status = 201, description = "It is given", body = Given),
        (status = 200, description = "It was given before, with the same key", body = Given),
        WithKey
    ),
)]
pub(super) async fn give(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    extract::Json(new): extract::Json<NewCredit>,
) -> Result<(StatusCode, Option<Extension<Kept>>, Json<Given>), Problem> {
    let now_ms = unix_ms();
    let by = identity.sub.clone();
    let credit = read(new, identity.sub, now_ms).map_err(|problem| problem.code(HttpCode::BadBody))?;
    match app.records.store.give_credit(&credit).await? {
        Credited::Yes { credit, new, account_spent, user_spent } => {
            if new {
                tracing::info!(
                    key = %credit.key, account = %credit.account, user = credit.user_sub.as_deref(), day = %credit.day,
                    amount = %credit.amount, by = %credit.created_by, "a credit is given"
                );
            }
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            let given = |credit: Credit| Given {
                credit: credit.into(),
                account_spent_nano_usd: account_spent.get(),
                user_spent_nano_usd: user_spent.map(NanoUsd::get),
            };
            // Another administrator gave it before. The stored answer is not found by their name, and so does not have it.
            let of_another =
                (credit.created_by != by).then(|| Credit { created_by: String::new(), ..credit.clone() });
            let kept = of_another.map(|credit| Extension(Kept::of(&given(credit))));
            Ok((status, kept, Json(given(credit))))
        }
        Credited::KeyInUse => {
            let detail = "Another credit has this `key`. Give this one a key of its own.";
            Err(Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::KeyInUse))
        }
        Credited::TooMuch { left } => {
            let whose = if credit.user_sub.is_some() { "the user in this account" } else { "the account" };
            let detail = format!(
                "Of what {whose} was charged for {}, {left} ({} nano-dollars) can be given back.",
                credit.day,
                left.get()
            );
            Err(Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::CreditTooLarge))
        }
    }
}

fn read(new: NewCredit, by: String, now_ms: i64) -> Result<Credit, Problem> {
    let day = time::day("day", &new.day)?;
    if day > time::today(now_ms) {
        return Err(bad_request("`day` has to be today (UTC) or a day before."));
    }
    if new.amount_nano_usd == 0 {
        return Err(bad_request("`amount_nano_usd` has to be a whole number, 1 or more."));
    }
    if new.reason.trim().is_empty() {
        return Err(bad_request("`reason` has to say why."));
    }
    Ok(Credit {
        key: name("key", new.key)?,
        account: name("account", new.account)?,
        user_sub: new.user_sub.map(|sub| name("user_sub", sub)).transpose()?,
        day: day.to_string(),
        amount: NanoUsd::new(new.amount_nano_usd),
        reason: reason(new.reason)?,
        created_by: by,
        created_at_ms: now_ms,
    })
}

/// Lists credits.
#[utoipa::path(
    get, path = "/v1/admin/credits", operation_id = "list_credits", tag = "admin", params(CreditsAsked),
    responses((status = 200, description = "A page, the newest first", body = Credits), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<CreditsAsked>,
) -> Result<Json<Credits>, Problem> {
    let filter = CreditFilter {
        user_sub: maybe_name("user_sub", asked.user_sub)?,
        account: maybe_name("account", asked.account)?,
    };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page = app.records.store.list_credits(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Credits {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        credits: page.rows.into_iter().map(CreditEntry::from).collect(),
    }))
}
