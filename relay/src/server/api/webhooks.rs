//! What webhooks were told, for administrators, and telling it once more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::extract::{Path, Query, maybe_name};
use super::responses::{OrNone, Usual};
use super::{Problem, cursor, time};
use crate::App;
use crate::records::store::{
    self, DeliveryFilter, DeliveryState, HookEvent, IncidentKind, MessageKind, Replayed,
};

/// What happens, and what is an alert.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(super) enum Event {
    /// A call has begun.
    #[serde(rename = "call.started")]
    CallStarted,
    /// A call has ended.
    #[serde(rename = "call.ended")]
    CallEnded,
    /// A part of a recording is in its place.
    #[serde(rename = "recording.ready")]
    RecordingReady,
    /// A user was erased.
    #[serde(rename = "user.erased")]
    UserErased,
    /// An alert: a budget has reached a threshold.
    #[serde(rename = "budget.threshold")]
    BudgetThreshold,
    /// An alert: a provider has reported too much.
    #[serde(rename = "provider.excess")]
    ProviderExcess,
    /// An alert: a provider is not asked any more, or is again.
    #[serde(rename = "provider.down")]
    ProviderDown,
    /// An alert: too many calls fail, or do so no longer.
    #[serde(rename = "calls.failing")]
    CallsFailing,
    /// An alert: answers take too long, or do so no longer.
    #[serde(rename = "answers.slow")]
    AnswersSlow,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Progress {
    /// It is to be sent.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It was tried for long enough.
    GivenUp,
}

/// Which messages to list, a page at a time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesAsked {
    /// The `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
    /// How many rows the page may have. 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<u32>,
    /// Only messages to the webhook of this name. Alerts go to `webhook`.
    #[param(min_length = 1, max_length = 255, nullable = false)]
    name: Option<String>,
    /// Only messages of this event.
    #[param(inline, nullable = false)]
    event: Option<Event>,
    /// Only messages that are so far.
    #[param(inline, nullable = false)]
    state: Option<Progress>,
}

/// A message to a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Delivery {
    /// What it is known by: its `webhook-id`.
    id: String,
    /// The name of the webhook in the configuration; `webhook` for alerts, which go to the address of `[webhook]`.
    name: String,
    /// What happened: `call.started`, `call.ended`, `recording.ready` or `user.erased`; or the alert: `budget.threshold`, `provider.excess`, `provider.down`, `calls.failing` or `answers.slow`. Newer versions may have more words.
    event: String,
    /// Which of the alerts of its kind it is, in words such as `user, 80 %`, `openai/gpt-5`, `voice, firing` or `resolved`. None if it is no alert.
    about: Option<String>,
    /// The session that it is about, or that raised the alert. None if a user was erased, if the alert is about the service as a whole, and once the session that raised it is erased.
    session_id: Option<String>,
    /// How far it is.
    state: Progress,
    /// When it happened.
    #[schema(format = DateTime)]
    created_at: String,
    /// How often it was sent, since it happened or since it was last repeated.
    attempts: u32,
    /// When it is sent next.
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    /// When the receiver took it, if it did since it was last repeated.
    #[schema(format = DateTime)]
    delivered_at: Option<String>,
    /// What the receiver answered last, since it happened or since it was last repeated: a status, or in words why there was no answer. Of `budget.threshold` and `provider.excess` the words are always `no answer`: the log says why.
    answer: Option<String>,
}

/// A page of messages, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Deliveries {
    deliveries: Vec<Delivery>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
    /// How many rows are left out, since what is stored of them cannot be read. Not there if all of them can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    damaged: Option<u32>,
}

/// Lists what the webhooks of `[webhooks.NAME]` were told in the last 30 days, or are to be told, and the alerts among it: those about money of the
/// last 400 days, those about the service as a whole of the last 30. What erased sessions were is not in it, and `store.down` is not, which each relay
/// tells by itself.
#[utoipa::path(
    get, path = "/v1/admin/webhooks", operation_id = "list_deliveries", tag = "admin", params(DeliveriesAsked),
    responses((status = 200, description = "A page, the newest first", body = Deliveries), Usual),
)]
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(asked): Query<DeliveriesAsked>,
) -> Result<Json<Deliveries>, Problem> {
    let filter = DeliveryFilter {
        webhook: maybe_name("name", asked.name)?,
        event: asked.event.map(MessageKind::from),
        state: asked.state.map(DeliveryState::from),
    };
    let after = cursor::read(asked.cursor.as_deref())?;
    let page =
        app.records.store.list_deliveries(&filter, after.as_ref(), cursor::limit(asked.limit)?).await?;
    Ok(Json(Deliveries {
        next: cursor::write(page.next.as_ref()),
        damaged: cursor::damaged(page.damaged),
        deliveries: page.rows.into_iter().map(Delivery::from).collect(),
    }))
}

/// Sends a message once more, under the same `webhook-id`, whether or not the receiver has it. It says what is known now, and an alert what it said
/// before. That somebody was erased is not repeated once the receiver has heard it: nobody knows the name any more.
#[utoipa::path(
    post, path = "/v1/admin/webhooks/{id}/replay", operation_id = "replay_delivery", tag = "admin",
    params(("id" = String, Path, description = "The message")),
    responses((status = 204, description = "It is sent in a moment"), OrNone),
)]
pub(super) async fn replay(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let none = |detail: &str| Err(Problem::new(StatusCode::NOT_FOUND, detail));
    match app.records.store.replay_delivery(&id, &identity.sub).await? {
        Replayed::Yes => {
            tracing::info!(delivery = %id, by = %identity.sub, "a message to a webhook is repeated");
            Ok(StatusCode::NO_CONTENT)
        }
        Replayed::Unknown => none("There is no such message to a webhook."),
        Replayed::Forgotten => none(
            "The receiver has this message, and the name in it is forgotten since: it cannot be repeated.",
        ),
    }
}

impl From<store::Delivery> for Delivery {
    fn from(row: store::Delivery) -> Delivery {
        Delivery {
            state: row.state().into(),
            id: row.id,
            name: row.webhook,
            event: row.event,
            about: row.about,
            session_id: row.session_id,
            created_at: time::text(row.created_at_ms),
            attempts: row.attempts,
            next_attempt_at: time::maybe_text(row.next_attempt_at_ms),
            delivered_at: time::maybe_text(row.delivered_at_ms),
            answer: row.answer,
        }
    }
}

impl From<Event> for MessageKind {
    fn from(event: Event) -> MessageKind {
        match event {
            Event::CallStarted => MessageKind::Event(HookEvent::CallStarted),
            Event::CallEnded => MessageKind::Event(HookEvent::CallEnded),
            Event::RecordingReady => MessageKind::Event(HookEvent::RecordingReady),
            Event::UserErased => MessageKind::Event(HookEvent::UserErased),
            Event::BudgetThreshold => MessageKind::BudgetThreshold,
            Event::ProviderExcess => MessageKind::ProviderExcess,
            Event::ProviderDown => MessageKind::Incident(IncidentKind::ProviderDown),
            Event::CallsFailing => MessageKind::Incident(IncidentKind::CallsFailing),
            Event::AnswersSlow => MessageKind::Incident(IncidentKind::AnswersSlow),
        }
    }
}

impl From<Progress> for DeliveryState {
    fn from(progress: Progress) -> DeliveryState {
        match progress {
            Progress::Waiting => DeliveryState::Waiting,
            Progress::Delivered => DeliveryState::Delivered,
            Progress::GivenUp => DeliveryState::GivenUp,
        }
    }
}

impl From<DeliveryState> for Progress {
    fn from(state: DeliveryState) -> Progress {
        match state {
            DeliveryState::Waiting => Progress::Waiting,
            DeliveryState::Delivered => Progress::Delivered,
            DeliveryState::GivenUp => Progress::GivenUp,
        }
    }
}
