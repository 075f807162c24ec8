//! What happens, for the addresses that want to hear of it. A message is written when it is sent, so that it says what is known by then.

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::{BATCH, CLAIM, Message, Webhook, time};
use crate::records::store::{
    Attempted, Claimed, Delivery, HookEvent, SaidRow, SessionRow, Store, StoreError, Transcript,
};

/// The longest transcript in a message, in turns: more are read from the API.
const TURNS: u32 = 500;

/// A session, under the names that the API has for its parts.
#[derive(Serialize)]
struct Session<'a> {
    id: &'a str,
    conversation_id: &'a str,
    user_sub: &'a str,
    account: &'a str,
    plan: Option<&'a str>,
    client: &'a str,
    agent: &'a str,
    state: &'static str,
    started_at: String,
    ended_at: Option<String>,
    end_reason: Option<&'a str>,
    reconnects: u32,
    rtt_avg_us: u32,
    rtt_max_us: u32,
    lost_samples: u64,
    audio_samples: u64,
    tokens: u64,
    characters: u64,
    cost_nano_usd: u64,
    /// The address of the recording at any relay, if there is one.
    recording: Option<String>,
}

/// What somebody said, in the same way.
#[derive(Serialize)]
struct Turn {
    turn: u32,
    role: &'static str,
    text: String,
    start_position: u32,
    end_position: u32,
    heard_position: Option<u32>,
    created_at: String,
    stt_ms: Option<u32>,
    llm_ms: Option<u32>,
    tts_ms: Option<u32>,
    send_ms: Option<u32>,
    heard_ms: Option<u32>,
    total_ms: Option<u32>,
}

impl Webhook {
    /// Sends the events that are due for this address, which is called `name`. Says how many were tried: as long as there are any, there
    /// may be more.
    ///
    /// # Errors
    /// When the database does not answer. What was sent and could not be noted is sent again when the claim is over.
    pub async fn deliver_events(&self, name: &str, store: &dyn Store) -> Result<usize, StoreError> {
        let claimed = store.claim_deliveries(name, CLAIM, BATCH).await?;
        // Of one session one after another, so that a receiver hears of the beginning before it hears of the end.
        let mut sessions: Vec<Vec<&Delivery>> = Vec::new();
        for delivery in &claimed {
            let mut known = sessions.iter_mut().filter(|_| delivery.session_id.is_some());
            match known.find(|events| events[0].session_id == delivery.session_id) {
                Some(events) => events.push(delivery),
                None => sessions.push(vec![delivery]),
            }
        }
        let noted = join_all(sessions.into_iter().map(|events| self.deliver_each(store, events)));
        noted.await.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(claimed.len())
    }

    async fn deliver_each(&self, store: &dyn Store, events: Vec<&Delivery>) -> Result<(), StoreError> {
        for event in events {
            let Claimed { id, attempts, due_since_ms } = event.claimed();
            let message = |body| Message { what: "an event", id, body, attempts, due_since_ms };
            let (attempted, answer) = match body(store, event).await {
                Ok(Some(body)) => {
                    let (attempted, answer) = self.deliver(message(body)).await;
                    (attempted, answer.in_full())
                }
                // Its session was erased since it was claimed, and the delivery with it.
                Ok(None) => (Attempted::GivenUp, String::new()),
                // What stands in its row may be mended meanwhile. It is no fault of the database, which would say nothing of this event.
                Err(error) if error.is_damage() => {
                    let failure = error.to_string();
                    (self.cannot_write(&message(String::new()), &failure), failure)
                }
                Err(error) => return Err(error),
            };
            store.finish_delivery(event.claimed(), attempted, &answer).await?;
        }
        Ok(())
    }
}

/// The message of an event. `None` if what it tells of is not there any more.
async fn body(store: &dyn Store, delivery: &Delivery) -> Result<Option<String>, StoreError> {
    let data = match HookEvent::named(&delivery.event) {
        Some(HookEvent::UserErased) => {
            delivery.user_sub.as_ref().map(|user_sub| json!({ "user_sub": user_sub }))
        }
        Some(event) => match &delivery.session_id {
            Some(id) => of_session(store, event, id).await?,
            None => None,
        },
        None => None,
    };
    let envelope = |data: Value| {
        json!({ "type": delivery.event, "timestamp": time(delivery.created_at_ms), "data": data }).to_string()
    };
    Ok(data.map(envelope))
}

async fn of_session(store: &dyn Store, event: HookEvent, id: &str) -> Result<Option<Value>, StoreError> {
    let Some(row) = store.session(id).await? else { return Ok(None) };
    let session = Session::from(&row);
    if event != HookEvent::CallEnded {
        return Ok(Some(json!({ "session": session })));
    }
    let said = store.transcript(Transcript::Session(id), None, TURNS).await?;
    let (more_turns, damaged) = (said.next.is_some(), said.damaged);
    let turns: Vec<Turn> = said.rows.into_iter().map(Turn::from).collect();
    let mut data = json!({ "session": session, "turns": turns, "more_turns": more_turns });
    // As in the API: how many turns are left out, since what is stored of them cannot be read.
    if damaged > 0 {
        data["damaged"] = json!(damaged);
    }
    Ok(Some(data))
}

impl<'a> From<&'a SessionRow> for Session<'a> {
    fn from(row: &'a SessionRow) -> Session<'a> {
        Session {
            id: &row.id,
            conversation_id: &row.conversation_id,
            user_sub: &row.user_sub,
            account: &row.account,
            plan: row.plan.as_deref(),
            client: &row.client,
            agent: &row.agent,
            state: row.state.name(),
            started_at: time(row.started_at_ms),
            ended_at: row.ended_at_ms.map(time),
            end_reason: row.end_reason.as_deref(),
            reconnects: row.reconnects,
            rtt_avg_us: row.quality.rtt_avg_us,
            rtt_max_us: row.quality.rtt_max_us,
            lost_samples: row.quality.lost_samples,
            audio_samples: row.audio_samples,
            tokens: row.tokens,
            characters: row.characters,
            cost_nano_usd: row.cost.get(),
            recording: row.recording.as_ref().map(|_| format!("/v1/admin/sessions/{}/recording", row.id)),
        }
    }
}

impl From<SaidRow> for Turn {
    fn from(said: SaidRow) -> Turn {
        let turn = said.row.turn;
        Turn {
            turn: turn.turn,
            role: match turn.role {
                protocol::Role::User => "user",
                protocol::Role::Agent | protocol::Role::Unknown => "agent",
            },
            text: turn.text,
            start_position: turn.start,
            end_position: turn.end,
            heard_position: turn.heard,
            created_at: time(said.row.created_at_ms),
            stt_ms: turn.latency.stt_ms,
            llm_ms: turn.latency.llm_ms,
            tts_ms: turn.latency.tts_ms,
            send_ms: turn.latency.send_ms,
            heard_ms: turn.latency.heard_ms,
            total_ms: turn.latency.total_ms,
        }
    }
}
