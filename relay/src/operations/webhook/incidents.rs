//! What is wrong with the service as a whole, for the address of alerts.

use serde_json::{Map, Value, json};

use super::{BATCH, CLAIM, Message, Webhook, time};
use crate::operations::outage::{OutageNews, STORE_DOWN};
use crate::records::store::{Attempted, Claimed, Incident, IncidentKind, IncidentState, Store, StoreError};

impl Webhook {
    /// Sends the incidents that are due, one after another. Says how many were tried: as long as there are any, there may be more.
    ///
    /// # Errors
    /// When the database does not answer. What was sent and could not be noted is sent again when the claim is over.
    pub async fn deliver_incidents(&self, store: &dyn Store) -> Result<usize, StoreError> {
        let claimed = store.claim_incidents(CLAIM, BATCH).await?;
        for incident in &claimed {
            let Claimed { id, attempts, due_since_ms } = incident.claimed();
            let message = Message { what: "an alert", id, body: body(incident), attempts, due_since_ms };
            let (attempted, answer) = self.deliver(message).await;
            store.finish_incident(incident.claimed(), attempted, &answer.in_full()).await?;
        }
        Ok(claimed.len())
    }

    /// Tells that this relay's database takes no writes, or takes them again. It is the same message for each of the attempts.
    pub(crate) async fn tell_outage(&self, relay: &str, news: &OutageNews, attempts: u32) -> Attempted {
        let OutageNews { state, since_ms, at_ms } = *news;
        let what = match state {
            IncidentState::Firing => "store_down",
            IncidentState::Resolved => "store_up",
        };
        let id = format!("{what}_{relay}_{since_ms}");
        let data = json!({ "alert_id": id, "state": state.name(), "relay": relay, "since": time(since_ms) });
        let body = json!({ "type": STORE_DOWN, "timestamp": time(at_ms), "data": data }).to_string();
        let message = Message { what: "an alert", id: &id, body, attempts, due_since_ms: at_ms };
        let (attempted, _) = self.deliver(message).await;
        attempted
    }
}

fn body(incident: &Incident) -> String {
    let Incident { id, kind, subject, state, value, threshold, created_at_ms, .. } = incident;
    let own = match kind {
        IncidentKind::ProviderDown => vec![("provider", json!(subject))],
        IncidentKind::CallsFailing => {
            vec![("failed_percent", json!(value)), ("threshold_percent", json!(threshold))]
        }
        IncidentKind::AnswersSlow => vec![("p95_ms", json!(value)), ("threshold_ms", json!(threshold))],
    };
    let same = [("alert_id", json!(id)), ("state", json!(state.name()))];
    let data: Map<String, Value> =
        same.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
    json!({ "type": kind.name(), "timestamp": time(*created_at_ms), "data": data }).to_string()
}
