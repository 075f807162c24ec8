//! The one port: the wires, the script and the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::log::{Ended, Entry, Log};
use crate::provider::{Key, Provider};
use crate::script::{Act, Script, Wire};
use crate::{anthropic, deepgram, elevenlabs, openai};

/// The largest body: as large as the largest file that a transcription takes.
const BODY_BYTES: usize = 25 * 1024 * 1024;

/// Every wire on one router, all with the same key.
pub fn router(key: String) -> Router {
    let fakes = Arc::new(Fakes { key, log: Log::new(), desk: Mutex::default() });
    Router::new()
        .route("/script", post(set_script).delete(clear_script))
        .route("/log", get(tell_log).delete(clear_log))
        .route("/v1/listen", any(deepgram::listen))
        .route("/v2/listen", any(deepgram::flux))
        .route("/v1/speak", get(deepgram::speak).post(deepgram::speak_once))
        .route("/v1/messages", post(anthropic::messages))
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/audio/transcriptions", post(openai::transcriptions))
        .route("/v1/audio/speech", post(openai::speech))
        .route("/v1/text-to-speech/{voice}/stream-input", any(elevenlabs::stream_input))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(fakes)
}

pub(crate) struct Fakes {
    key: String,
    log: Arc<Log>,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    script: Script,
    /// How many requests each wire has had.
    counts: BTreeMap<Wire, u64>,
}

/// A request that was let in.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    pub(crate) act: Act,
    /// The number of the request on its wire.
    pub(crate) index: u64,
    pub(crate) entry: Entry,
}

impl Fakes {
    /// Lets a request in: logs it, takes its act, waits before the head, checks the key.
    pub(crate) async fn open(
        &self,
        wire: Wire,
        uri: &Uri,
        headers: &HeaderMap,
        body: Value,
    ) -> Result<Opened, Response> {
        let provider = Provider::of(wire);
        let key = provider.judge(headers, &self.key);
        let entry = self.log.open(wire, uri, headers, key);
        entry.body(body);
        let (act, index) = {
            let mut desk = self.desk();
            let count = desk.counts.entry(wire).or_default();
            let index = *count;
            *count += 1;
            (desk.script.next(wire), index)
        };
        let head_ms = act.pace.head_ms.ms(index);
        if head_ms > 0 {
            sleep(Duration::from_millis(head_ms)).await;
        }
        let refused = match (&act.refuse, key) {
            (Some(refusal), _) => Some(provider.refusal(refusal, None)),
            (None, Key::Right) => None,
            (None, Key::Wrong | Key::Missing) => {
                let message = match provider {
                    Provider::Deepgram => "Invalid credentials.",
                    Provider::Anthropic => "invalid x-api-key",
                    Provider::OpenAi => "Incorrect API key provided.",
                    Provider::ElevenLabs => "Invalid API key",
                };
                Some(provider.refuse(401, message))
            }
        };
        match refused {
            None => Ok(Opened { wire, act, index, entry }),
            Some(response) => {
                entry.end(Ended::Refused);
                Err(response)
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opened {
    /// Refuses the request for what it asks.
    pub(crate) fn refuse(&self, status: u16, message: &str) -> Response {
        self.entry.end(Ended::Refused);
        Provider::of(self.wire).refuse(status, message)
    }
}

async fn set_script(
    State(fakes): State<Arc<Fakes>>,
    Json(acts): Json<BTreeMap<Wire, VecDeque<Act>>>,
) -> Json<Value> {
    fakes.desk().script.set(acts);
    Json(json!({}))
}

async fn clear_script(State(fakes): State<Arc<Fakes>>) -> Json<Value> {
    fakes.desk().script.clear();
    Json(json!({}))
}

async fn tell_log(State(fakes): State<Arc<Fakes>>) -> Json<Value> {
    let mut told = fakes.log.told();
    told["now_ms"] = json!(fakes.log.now_ms());
    Json(told)
}

async fn clear_log(State(fakes): State<Arc<Fakes>>) -> Json<Value> {
    fakes.log.clear();
    Json(json!({}))
}
