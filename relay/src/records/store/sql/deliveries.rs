//! The outbox of events: triggers of `sessions` write what begins and ends, the rest is written here. Each is sent to its address by whichever
//! relay claims it. Alerts and incidents have outboxes of their own, and are listed and repeated here with the rest.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::any::AnyRow;

use super::super::audit::DeedKind;
use super::super::delivery::{
    ALERTS_WEBHOOK, Delivery, DeliveryFilter, DeliveryState, HookEvent, MessageKind, Replayed, Subscription,
};
use super::super::query::{Cursor, Page};
use super::super::types::{Attempted, Claimed};
use super::audit::{self, Done};
use super::page::Select;
use super::read::{Reading, named};
use super::{Dialect, Durability, Sql, SqlStore, StoreError, Tx, damage, millis, sql};

const ANNOUNCE: Sql = sql!(
    "INSERT INTO webhooks (name, events, seen_at) VALUES ($1, $2, " NOW ")
    ON CONFLICT (name) DO UPDATE SET events = excluded.events, seen_at = excluded.seen_at"
);

/// Forgets the addresses that no relay has named for two hours, since the clock of a database may jump by one.
const FORGET_UNNAMED: Sql = sql!("DELETE FROM webhooks WHERE seen_at < " NOW " - 7200000");

/// Claims deliveries as alerts are claimed: by moving the time of their next attempt into the future before anything is sent. Events of newer
/// versions are left to the relays that know them.
const CLAIM: Sql = sql!(
    "UPDATE deliveries SET attempts = attempts + 1, next_attempt_at = " NOW " + $1
    WHERE id IN (
        SELECT id FROM deliveries
        WHERE webhook = $2 AND next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW "
            AND event IN ('call.started', 'call.ended', 'recording.ready', 'user.erased')
        ORDER BY next_attempt_at, id LIMIT $3" LOCK_FREE_ONES ")
    RETURNING " DELIVERY
);

/// What stands before the tables of the list, one branch of a `UNION ALL` for each.
///
/// Each table is read by an index that is in the order of the list, and what comes out of them is merged row by row: a page reads no more of each than
/// it shows. PostgreSQL does so only where no branch of several has a condition or an order of its own, so what the list is narrowed by stands outside,
/// and SQLite only where a column is of one type in all of them, so what is no column of a table is cast.
const MESSAGES: &str = "SELECT id, webhook, event, about, session_id, user_sub, created_at, due_since, attempts, next_attempt_at, delivered_at,
        answer FROM (";
const EVENTS: Sql = sql!("SELECT " DELIVERY " FROM deliveries");

/// Alerts in the columns of deliveries. They are told to [`ALERTS_WEBHOOK`].
const ALERTS: Sql = sql!(
    "SELECT id, CAST('webhook' AS TEXT) AS webhook,
        CAST(CASE scope WHEN 'provider' THEN 'provider.excess' ELSE 'budget.threshold' END AS TEXT) AS event,
        CAST(CASE scope WHEN 'provider' THEN owner ELSE scope || ', ' || percent || ' %' END AS TEXT) AS about,
        session_id, CAST(NULL AS TEXT) AS user_sub, created_at, CAST(COALESCE(due_since, created_at) AS BIGINT) AS due_since, attempts,
        next_attempt_at, delivered_at, answer
    FROM alerts"
);

/// Incidents in the columns of deliveries. They are told to [`ALERTS_WEBHOOK`], too.
const INCIDENTS: Sql = sql!(
    "SELECT id, CAST('webhook' AS TEXT) AS webhook, kind AS event,
        CAST(CASE subject WHEN '' THEN state ELSE subject || ', ' || state END AS TEXT) AS about,
        CAST(NULL AS TEXT) AS session_id, CAST(NULL AS TEXT) AS user_sub, created_at,
        CAST(COALESCE(due_since, created_at) AS BIGINT) AS due_since, attempts, next_attempt_at, delivered_at, answer
    FROM incidents"
);

/// Notes that the receiver has it. Whom an event named that is erased is forgotten then. If it was repeated meanwhile, it is sent once more, and this says
/// nothing of that.
const DELIVERED: Sql = sql!(
    "UPDATE deliveries SET delivered_at = " NOW ", next_attempt_at = NULL, user_sub = NULL, answer = $1
    WHERE id = $2 AND due_since = $3 AND delivered_at IS NULL"
);

/// Sets the time of the next attempt, unless the delivery was claimed again since, was repeated, or is done.
const AGAIN: Sql = sql!(
    "UPDATE deliveries SET next_attempt_at = " NOW " + $1, answer = $2
    WHERE id = $3 AND attempts = $4 AND due_since = $5 AND delivered_at IS NULL"
);

const GIVE_UP: Sql = sql!(
    "UPDATE deliveries SET next_attempt_at = NULL, answer = $1
    WHERE id = $2 AND attempts = $3 AND due_since = $4 AND delivered_at IS NULL"
);

/// $1 is what the id begins with, before the name of the address.
const RECORDING_READY: Sql = sql!(
    "INSERT INTO deliveries (id, webhook, event, session_id, created_at, due_since, next_attempt_at)
    SELECT $1 || webhooks.name, webhooks.name, 'recording.ready', sessions.id, " NOW ", " NOW ", " NOW "
    FROM webhooks CROSS JOIN sessions
    WHERE sessions.id = $2 AND webhooks.events LIKE '%,recording.ready,%'
    ON CONFLICT (id) DO NOTHING"
);

const USER_ERASED: Sql = sql!(
    "INSERT INTO deliveries (id, webhook, event, user_sub, created_at, due_since, next_attempt_at)
    SELECT $1 || name, name, 'user.erased', $2, " NOW ", " NOW ", " NOW "
    FROM webhooks WHERE events LIKE '%,user.erased,%'
    ON CONFLICT (id) DO NOTHING"
);

const FIND: Sql = sql!(
    "SELECT event, user_sub,
        (SELECT sessions.user_sub FROM sessions WHERE sessions.id = deliveries.session_id) AS owner
    FROM deliveries WHERE id = $1" LOCK
);

const REPLAY: Sql = sql!(
    "UPDATE deliveries SET attempts = 0, due_since = " NOW ", next_attempt_at = " NOW ", delivered_at = NULL, answer = NULL
    WHERE id = $1"
);

/// An alert about an account names the user whose call has raised it, and is not about that user.
const REPLAY_ALERT: Sql = sql!(
    "UPDATE alerts SET attempts = 0, due_since = " NOW ", next_attempt_at = " NOW ", delivered_at = NULL, answer = NULL
    WHERE id = $1 RETURNING CASE WHEN scope IN ('session', 'user') THEN NULLIF(user_sub, '') END AS owner"
);

const REPLAY_INCIDENT: Sql = sql!(
    "UPDATE incidents SET attempts = 0, due_since = " NOW ", next_attempt_at = " NOW ", delivered_at = NULL, answer = NULL
    WHERE id = $1"
);

impl SqlStore {
    pub(in crate::records::store) async fn keep_webhooks(
        &self,
        webhooks: &[Subscription],
    ) -> Result<(), StoreError> {
        for Subscription { name, events } in webhooks {
            let words: String = events.iter().map(|event| format!("{},", event.name())).collect();
            self.statement(ANNOUNCE).bind(name).bind(format!(",{words}")).execute(&self.writer).await?;
        }
        self.statement(FORGET_UNNAMED).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn claim_deliveries(
        &self,
        webhook: &str,
        claim: Duration,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let claimed = self.statement(CLAIM).bind(millis(claim)).bind(webhook).bind(i64::from(limit));
        let rows = claimed.fetch_each(&self.writer).await?;
        let mut deliveries = damage::DELIVERIES.readable("a delivery that is due", rows, read)?;
        // A database returns the rows of an UPDATE in any order.
        deliveries.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        Ok(deliveries)
    }

    pub(in crate::records::store) async fn finish_delivery(
        &self,
        Claimed { id, attempts, due_since_ms }: Claimed<'_>,
        attempted: Attempted,
        answer: &str,
    ) -> Result<(), StoreError> {
        let attempts = i64::from(attempts);
        let query = match attempted {
            Attempted::Delivered => self.statement(DELIVERED).bind(answer).bind(id),
            Attempted::Again(wait) => {
                self.statement(AGAIN).bind(millis(wait)).bind(answer).bind(id).bind(attempts)
            }
            Attempted::GivenUp => self.statement(GIVE_UP).bind(answer).bind(id).bind(attempts),
        };
        query.bind(due_since_ms).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn recording_ready(
        &self,
        id: &str,
        part: &str,
    ) -> Result<(), StoreError> {
        let query = self.statement(RECORDING_READY).bind(format!("recording_{id}_{part}_")).bind(id);
        query.execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Delivery, Cursor>, StoreError> {
        let select = deliveries(self.dialect, filter, after);
        let cursor = |row: &Delivery| Cursor { at_ms: row.created_at_ms, id: row.id.clone() };
        select.page(&self.readers, damage::DELIVERIES, limit, read, cursor).await
    }

    pub(in crate::records::store) async fn replay_delivery(
        &self,
        id: &str,
        by: &str,
    ) -> Result<Replayed, StoreError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let found = tx.query(FIND).bind(&*id).fetch_optional(&mut *tx.connection).await?;
                let owner = if let Some(found) = found {
                    let row = Reading::new(&found, &id);
                    let is_erasing = row.text("event")? == HookEvent::UserErased.name();
                    if is_erasing && row.maybe_text("user_sub")?.is_none() {
                        return Ok(Replayed::Forgotten);
                    }
                    let owner = row.maybe_text("owner")?;
                    tx.query(REPLAY).bind(&*id).execute(&mut *tx.connection).await?;
                    owner
                } else {
                    let Some(owner) = replay_alert(&mut tx, &id).await? else {
                        return Ok(Replayed::Unknown);
                    };
                    owner
                };
                let (what, user_sub) = (DeedKind::ReplayWebhook, owner.as_deref());
                audit::write(&mut tx, Done { by: &by, what, user_sub, subject: &id, reason: "" }).await?;
                Ok(Replayed::Yes)
            }
            .boxed()
        })
        .await
    }
}

/// Messages for which all of it holds, the newest first.
pub(super) fn deliveries(dialect: Dialect, filter: &DeliveryFilter, after: Option<&Cursor>) -> Select {
    let is_told_alerts = filter.webhook.as_deref().is_none_or(|name| name == ALERTS_WEBHOOK);
    // All of a kind are in one table, which is read alone.
    let (tables, of_kind): (&[Sql], &str) = match filter.event {
        _ if !is_told_alerts => (&[EVENTS], ""),
        None => (&[EVENTS, ALERTS, INCIDENTS], ""),
        Some(MessageKind::Event(_)) => (&[EVENTS], ""),
        Some(MessageKind::BudgetThreshold) => (&[ALERTS], " WHERE scope <> 'provider'"),
        Some(MessageKind::ProviderExcess) => (&[ALERTS], " WHERE scope = 'provider'"),
        Some(MessageKind::Incident(_)) => (&[INCIDENTS], ""),
    };
    let mut select = Select::new(MESSAGES);
    for (at, table) in tables.iter().enumerate() {
        if at > 0 {
            select.push(" UNION ALL ", []);
        }
        select.push(dialect.pick(*table), []);
    }
    select.push(of_kind, []);
    select.push(") AS messages WHERE 1 = 1", []);
    // Few wait or were given up, which have indexes of their own, and there are few incidents. SQLite would walk all that the webhook was told, or all of
    // the event, or sort the incidents of the kind: no index has an expression in it.
    let are_few = matches!(filter.state, Some(DeliveryState::Waiting | DeliveryState::GivenUp))
        || is_told_alerts && matches!(filter.event, Some(MessageKind::Incident(_)));
    let (by_webhook, by_event) = match are_few {
        true => (" AND webhook || '' = ?", " AND event || '' = ?"),
        false => (" AND webhook = ?", " AND event = ?"),
    };
    select.push_if(by_webhook, filter.webhook.as_ref());
    select.push_if(by_event, filter.event.filter(|_| of_kind.is_empty()).map(MessageKind::name));
    let state = match filter.state {
        Some(DeliveryState::Waiting) => " AND next_attempt_at IS NOT NULL",
        Some(DeliveryState::Delivered) => " AND next_attempt_at IS NULL AND delivered_at IS NOT NULL",
        Some(DeliveryState::GivenUp) => " AND next_attempt_at IS NULL AND delivered_at IS NULL",
        None => "",
    };
    select.push(state, []);
    if let Some(Cursor { at_ms, id }) = after {
        select.push(" AND (created_at, id) < (?, ?)", [(*at_ms).into(), id.into()]);
    }
    select.push(" ORDER BY created_at DESC, id DESC", []);
    select
}

/// Has an alert or an incident sent once more. Says whom it is about, if it is about a user, or nothing if there is none of this id.
async fn replay_alert(tx: &mut Tx<'_>, id: &str) -> Result<Option<Option<String>>, StoreError> {
    let alert = tx.query(REPLAY_ALERT).bind(id).fetch_optional(&mut *tx.connection).await?;
    if let Some(alert) = alert {
        return Reading::new(&alert, id).maybe_text("owner").map(Some);
    }
    let incidents = tx.query(REPLAY_INCIDENT).bind(id).execute(&mut *tx.connection).await?;
    Ok((incidents.rows_affected() > 0).then_some(None))
}

/// Tells whoever wants to hear of it that a user is erased, in the transaction in which the last of them is. It is told once for each `act`,
/// however often that is begun.
pub(super) async fn user_erased(tx: &mut Tx<'_>, sub: &str, act: &str) -> Result<(), StoreError> {
    let id = format!("erased_{act}_");
    tx.query(USER_ERASED).bind(id).bind(sub).execute(&mut *tx.connection).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Delivery, StoreError> {
    let name = named(row, "message", "id");
    let row = Reading::new(row, &name);
    let delivered_at_ms = row.maybe_signed("delivered_at")?;
    // A relay of an earlier version that has an alert delivered leaves what was answered to the attempt before.
    let is_its_own = |answer: &String| delivered_at_ms.is_none() || answer.starts_with('2');
    Ok(Delivery {
        id: row.text("id")?,
        webhook: row.text("webhook")?,
        event: row.text("event")?,
        about: row.maybe_text("about")?,
        // An alert whose call was erased has none.
        session_id: row.maybe_text("session_id")?.filter(|id| !id.is_empty()),
        user_sub: row.maybe_text("user_sub")?,
        created_at_ms: row.signed("created_at")?,
        due_since_ms: row.signed("due_since")?,
        attempts: row.small("attempts")?,
        next_attempt_at_ms: row.maybe_signed("next_attempt_at")?,
        delivered_at_ms,
        answer: row.maybe_text("answer")?.filter(is_its_own),
    })
}
