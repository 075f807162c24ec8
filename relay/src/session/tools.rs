//! The calls of tools that the operator's backend runs for a session: a signed webhook each.
//!
//! The name of the call is the `webhook-id`. Whoever goes on with the session makes a call again of which nothing has come, under the same
//! name, so a backend that keeps the names does it once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::agent::tool::{Called, Tool, ToolOutput};
use crate::config::{ToolConfig, Webhook};
use crate::operations::outbound::http_client;
use crate::operations::webhook::{sign, why};
use crate::records::store::unix_ms;

/// A backend that cannot be reached is asked once more after this.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What asks the tools of all calls. It keeps connections alive, and follows nobody elsewhere, since what it sends is signed for one address.
///
/// # Errors
/// When the system's own certificates or threads are not to be had.
pub fn tool_client() -> Result<Client, reqwest::Error> {
    http_client().redirect(Policy::none()).tcp_nodelay(true).build()
}

/// For whom tools are run.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) session_id: String,
    pub(super) conversation_id: String,
    /// The agent's name.
    pub(super) agent: String,
    pub(super) user: String,
    pub(super) account: String,
}

/// The calls of one session. Dropping this gives them up.
#[derive(Debug)]
pub(super) struct Tools {
    tasks: TaskTracker,
    client: Option<Client>,
    caller: Caller,
    tools: BTreeMap<String, ToolConfig>,
    running: JoinSet<(String, ToolOutput)>,
    /// What gives up each call that runs, by the call's name.
    handles: Vec<(String, AbortHandle)>,
}

impl Tools {
    pub(super) fn new(
        tasks: TaskTracker,
        client: Option<Client>,
        caller: Caller,
        tools: Vec<ToolConfig>,
    ) -> Tools {
        let tools = tools.into_iter().map(|tool| (tool.tool.name.clone(), tool)).collect();
        Tools { tasks, client, caller, tools, running: JoinSet::new(), handles: Vec::new() }
    }

    /// Calls a webhook. How long it may take is the agent's to say.
    pub(super) fn run(&mut self, called: Called) {
        let backend =
            self.tools.get(&called.name).and_then(|tool| Some((tool.tool.clone(), tool.webhook.clone()?)));
        let (Some((tool, webhook)), Some(client)) = (backend, self.client.clone()) else {
            // An agent calls nothing that it has not, and there is a client if a tool has an address.
            tracing::error!(tool = %called.name, "there is no such tool");
            return;
        };
        let (call_id, caller) = (called.call_id.clone(), self.caller.clone());
        let work = async move {
            let backend = Backend { client, tool, webhook, caller };
            let output = backend.call(&called).await;
            (called.call_id, output)
        };
        let handle = self.running.spawn(self.tasks.track_future(work.in_current_span()));
        self.handles.push((call_id, handle));
    }

    /// Gives up a call.
    pub(super) fn cancel(&mut self, call_id: &str) {
        self.handles.retain(|(running, handle)| {
            let stays = running != call_id;
            if !stays {
                handle.abort();
            }
            stays
        });
    }

    /// The next result. It waits for ever without calls, and then looks at nothing: a session is asked this for every chunk. Dropping the
    /// future loses nothing.
    pub(super) async fn next(&mut self) -> (String, ToolOutput) {
        while !self.running.is_empty() {
            // A call that was given up ends without a result, even if it had one already.
            if let Some(Ok((call_id, output))) = self.running.join_next().await
                && let Some(place) = self.handles.iter().position(|(running, _)| *running == call_id)
            {
                self.handles.swap_remove(place);
                return (call_id, output);
            }
        }
        std::future::pending().await
    }
}

/// A tool that the operator's backend runs, for one session.
struct Backend {
    client: Client,
    tool: Tool,
    webhook: Webhook,
    caller: Caller,
}

impl Backend {
    /// Calls it, and says what came of it in words for the model: what went wrong on the way is for the log.
    async fn call(&self, called: &Called) -> ToolOutput {
        let name = &called.name;
        let sent = match self.send(called).await {
            Err(error) if error.is_connect() => {
                tracing::info!(tool = %name, why = %why(error), "a tool cannot be reached: it is tried once more");
                tokio::time::sleep(AGAIN_AFTER).await;
                self.send(called).await
            }
            sent => sent,
        };
        let read = match sent {
            Ok(response) => {
                let status = response.status();
                read(response, self.tool.max_result_bytes).await.map(|body| (status, body))
            }
            Err(error) => Err(error),
        };
        match read {
            Ok((status, Body::TooLong)) if status.is_success() => {
                let limit = self.tool.max_result_bytes;
                ToolOutput::error(format!("The tool's result is too long: at most {limit} bytes are taken."))
            }
            Ok((status, Body::Whole(output))) if status.is_success() => {
                ToolOutput { output, is_error: false }
            }
            Ok((status, body)) => {
                tracing::warn!(tool = %name, status = status.as_u16(), "a tool has failed");
                refused(status, body)
            }
            Err(error) => {
                tracing::warn!(tool = %name, why = %why(error), "a tool has failed");
                ToolOutput::error("The tool cannot be reached. Nobody knows whether it has done anything.")
            }
        }
    }

    async fn send(&self, called: &Called) -> Result<Response, reqwest::Error> {
        let Webhook { url, secrets } = &self.webhook;
        let body = body(&self.caller, called);
        let timestamp = unix_ms() / 1_000;
        self.client
            .post(url.clone())
            // Nobody waits for longer: the agent gives it up a moment before.
            .timeout(self.tool.deadline)
            .header("content-type", "application/json")
            .header("webhook-id", &called.call_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", sign(secrets, &called.call_id, timestamp, &body))
            .body(body)
            .send()
            .await
    }
}

/// What a model is told of an answer that is no success. A backend that refuses a call says why; of its own failures nothing is passed on.
fn refused(status: StatusCode, body: Body) -> ToolOutput {
    match body {
        Body::Whole(text) if status.is_client_error() && !text.trim().is_empty() => ToolOutput::error(text),
        _ => ToolOutput::error(format!("The tool has failed with status {}.", status.as_u16())),
    }
}

fn body(caller: &Caller, called: &Called) -> String {
    // The agent has checked them against the schema.
    let arguments: Value = serde_json::from_str(&called.arguments).unwrap_or_default();
    json!({
        "type": "tool.call",
        "timestamp": Timestamp::from_millisecond(unix_ms()).unwrap_or_default().to_string(),
        "data": {
            "call_id": called.call_id,
            "name": called.name,
            "arguments": arguments,
            "agent": caller.agent,
            "user": caller.user,
            "account": caller.account,
            "session_id": caller.session_id,
            "conversation_id": caller.conversation_id,
        },
    })
    .to_string()
}

enum Body {
    Whole(String),
    TooLong,
}

/// Reads no more of an answer than is taken of it.
async fn read(mut response: Response, limit: usize) -> Result<Body, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(Body::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Body::Whole(String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests;
