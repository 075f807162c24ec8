//! What administrators have the agent of a live session told, whichever relay has it, and what has become of that.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use protocol::{HttpCode, TEXT_MAX_CHARS};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::caller::Admin;
use super::extract::{self, Path, bad_request, is_id};
use super::idempotency::Act;
use super::responses::{ForLive, OrNone};
use super::sessions::no_session;
use crate::App;
use crate::call::CommandKind;
use crate::records::store::{COMMANDS_MAX, CommandOutcome, Given, NewCommand};

/// When another command may be given where too many wait, in seconds: a relay looks for them every second.
const AGAIN_AFTER: u32 = 1;

/// What an agent is to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToSay {
    /// The words, which are said as they are.
    #[schema(min_length = 1, max_length = 4000)]
    text: String,
    /// Whether what the agent is saying is cut off for them. Otherwise they come when it is said.
    #[serde(default)]
    interrupt: bool,
}

/// What an agent is to know.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToKnow {
    /// The words, which are not answered.
    #[schema(min_length = 1, max_length = 4000)]
    text: String,
}

/// What has become of a command.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Nothing yet.
    Waiting,
    /// The agent was told.
    Done,
    /// The agent was not told.
    Refused,
    /// A relay has taken it and said nothing since. The agent may have been told, and nobody tells it again.
    Unknown,
}

/// A command to a live session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandEntry {
    /// What it is known by.
    id: String,
    /// What has become of it.
    outcome: Outcome,
    /// Why it was refused: `call_ended`, `call_moved`, `agent_cannot`, `queue_full` or `too_long`. Newer versions may have more words.
    reason: Option<String>,
}

/// Has the agent of a live session say something, word by word: at once, or when what it is saying is said. The relay that has the session
/// looks for it within a second. The agent says it once or not at all.
#[utoipa::path(
    post, path = "/v1/admin/sessions/{id}/say", operation_id = "say_in_session", tag = "admin", request_body = ToSay,
    params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It waits for the relay that has the session", body = CommandEntry), ForLive),
)]
pub(super) async fn say(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path(id): Path<String>,
    Act(command): Act,
    extract::Json(ToSay { text, interrupt }): extract::Json<ToSay>,
) -> Result<(StatusCode, Json<CommandEntry>), Problem> {
    let kind = CommandKind::Say { interrupt };
    give(&app, &id, NewCommand { id: command, kind, text, by: identity.sub }).await
}

/// Has the agent of a live session know something, which it does not answer. The relay that has the session looks for it within a second.
#[utoipa::path(
    post, path = "/v1/admin/sessions/{id}/context", operation_id = "add_context_to_session", tag = "admin",
    request_body = ToKnow, params(("id" = String, Path, description = "The session")),
    responses((status = 202, description = "It waits for the relay that has the session", body = CommandEntry), ForLive),
)]
pub(super) async fn context(
    Shared(app): Shared<Arc<App>>,
    Admin(identity): Admin,
    Path(id): Path<String>,
    Act(command): Act,
    extract::Json(ToKnow { text }): extract::Json<ToKnow>,
) -> Result<(StatusCode, Json<CommandEntry>), Problem> {
    let kind = CommandKind::Context;
    give(&app, &id, NewCommand { id: command, kind, text, by: identity.sub }).await
}

/// Says what has become of a command. It is known for a day.
#[utoipa::path(
    get, path = "/v1/admin/sessions/{id}/commands/{command}", operation_id = "read_command", tag = "admin",
    params(
        ("id" = String, Path, description = "The session"),
        ("command" = String, Path, description = "The command"),
    ),
    responses((status = 200, description = "What has become of it", body = CommandEntry), OrNone),
)]
pub(super) async fn read(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Path((id, command)): Path<(String, String)>,
) -> Result<Json<CommandEntry>, Problem> {
    let is_known = is_id(&id) && is_id(&command);
    let outcome = if is_known { app.records.store.command(&id, &command).await? } else { None };
    let none = || Problem::new(StatusCode::NOT_FOUND, "There is no such command to this session.");
    Ok(Json(CommandEntry::new(command, outcome.ok_or_else(none)?)))
}

/// Gives a command. If the session is here, it need not look for it.
async fn give(app: &App, id: &str, command: NewCommand) -> Result<(StatusCode, Json<CommandEntry>), Problem> {
    if command.text.trim().is_empty() || command.text.chars().count() > TEXT_MAX_CHARS {
        let detail = format!("`text` has to be 1 to {TEXT_MAX_CHARS} characters, and more than white space.");
        return Err(bad_request(detail).code(HttpCode::BadBody));
    }
    if !is_id(id) {
        return Err(no_session());
    }
    match app.records.store.give_command(id, &command).await? {
        Given::Waits(command_id) => {
            let (what, by) = (command.kind.name(), &command.by);
            tracing::info!(session = %id, command = %command_id, what, %by, "a command is given");
            app.live.sessions.look_for_commands(id);
            let entry = CommandEntry::new(command_id, CommandOutcome::Waiting);
            Ok((StatusCode::ACCEPTED, Json(entry)))
        }
        Given::Full => {
            let detail = format!("{COMMANDS_MAX} commands wait for this session, and no more may.");
            let problem = Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::CommandsFull);
            Err(problem.retry_after(AGAIN_AFTER))
        }
        Given::Ended => {
            let detail = "This session has ended: its agent is told nothing more.";
            Err(Problem::new(StatusCode::CONFLICT, detail).code(HttpCode::SessionEnded))
        }
        Given::NoSession => Err(no_session()),
    }
}

impl CommandEntry {
    fn new(id: String, outcome: CommandOutcome) -> CommandEntry {
        let (outcome, reason) = match outcome {
            CommandOutcome::Waiting => (Outcome::Waiting, None),
            CommandOutcome::Done => (Outcome::Done, None),
            CommandOutcome::Refused(reason) => (Outcome::Refused, Some(reason)),
            CommandOutcome::Unknown => (Outcome::Unknown, None),
        };
        CommandEntry { id, outcome, reason }
    }
}
