//! Commands of administrators: given at any relay, taken once by the relay that has the session, and noted with what has become of them.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::audit::DeedKind;
use super::super::command::{COMMANDS_MAX, CommandOutcome, Given, NewCommand};
use super::audit::{self, Done};
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, damage, sql};
use crate::call::{Command, CommandKind, NotTold};

/// Locks the session, so that no more commands wait for it than may, and none is given while others are taken.
const SESSION_OF: Sql = sql!("SELECT user_sub, state FROM sessions WHERE id = $1" LOCK);

const IS_GIVEN: Sql = sql!("SELECT id FROM commands WHERE id = $1 AND session_id = $2");

const COUNT_WAITING: Sql =
    sql!("SELECT COUNT(*) AS number FROM commands WHERE session_id = $1 AND state = 'waiting'");

const GIVE: Sql = sql!(
    "INSERT INTO commands (id, session_id, kind, text, interrupts, created_at) VALUES ($1, $2, $3, $4, $5, " NOW ")"
);

/// Locks the session, if this relay has it and no other has taken it over since.
const HELD: Sql =
    sql!("SELECT id FROM sessions WHERE id = $1 AND relay = $2 AND epoch = $3 AND state = 'live'" LOCK);

const WAITING: Sql = sql!(
    "SELECT id, kind, text, interrupts FROM commands WHERE session_id = $1 AND state = 'waiting'
    ORDER BY created_at, id"
);

/// Nobody tells them again, so the words are not kept.
const TAKE: Sql = sql!(
    "UPDATE commands SET state = 'taken', text = '', taken_at = " NOW " WHERE session_id = $1 AND state = 'waiting'"
);

const FINISH: Sql = sql!("UPDATE commands SET state = $1, reason = $2 WHERE id = $3 AND state = 'taken'");

/// A relay says within moments what has become of what it has taken. One that has not after ten seconds is lost, or was cut off.
const OUTCOME: Sql = sql!(
    "SELECT CASE WHEN commands.state = 'waiting' AND sessions.state = 'ended' THEN 'ended'
            WHEN commands.state = 'taken' AND commands.taken_at < " NOW " - 10000 THEN 'unknown'
            ELSE commands.state END AS outcome, commands.reason AS reason
    FROM commands JOIN sessions ON sessions.id = commands.session_id
    WHERE commands.id = $1 AND commands.session_id = $2"
);

impl SqlStore {
    pub(in crate::records::store) async fn give_command(
        &self,
        id: &str,
        command: &NewCommand,
    ) -> Result<Given, StoreError> {
        let (session, command) = (id.to_owned(), command.clone());
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let found = tx.query(SESSION_OF).bind(&session).fetch_optional(&mut *tx.connection).await?;
                let Some(found) = found else { return Ok(Given::NoSession) };
                let (owner, state): (String, String) = (found.try_get("user_sub")?, found.try_get("state")?);
                let given = tx.query(IS_GIVEN).bind(&command.id).bind(&session);
                if given.fetch_optional(&mut *tx.connection).await?.is_some() {
                    return Ok(Given::Waits(command.id));
                }
                if state != "live" {
                    return Ok(Given::Ended);
                }
                let counted = tx.query(COUNT_WAITING).bind(&session).fetch_one(&mut *tx.connection).await?;
                let waiting: i64 = counted.try_get("number")?;
                if waiting >= i64::from(COMMANDS_MAX) {
                    return Ok(Given::Full);
                }
                let (interrupts, what) = match command.kind {
                    CommandKind::Say { interrupt } => (interrupt, DeedKind::Say),
                    CommandKind::Context => (false, DeedKind::AddContext),
                };
                tx.query(GIVE)
                    .bind(&command.id)
                    .bind(&session)
                    .bind(command.kind.name())
                    .bind(&command.text)
                    .bind(i64::from(interrupts))
                    .execute(&mut *tx.connection)
                    .await?;
                let done =
                    Done { by: &command.by, what, user_sub: Some(&owner), subject: &session, reason: "" };
                audit::write(&mut tx, done).await?;
                Ok(Given::Waits(command.id))
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn claim_commands(
        &self,
        id: &str,
        relay: &str,
        epoch: u32,
    ) -> Result<Vec<Command>, StoreError> {
        let (session, relay) = (id.to_owned(), relay.to_owned());
        self.transaction(Durability::PowerCut, move |tx| {
            async move {
                let held = tx.query(HELD).bind(&session).bind(&relay).bind(i64::from(epoch));
                if held.fetch_optional(&mut *tx.connection).await?.is_none() {
                    return Ok(Vec::new());
                }
                let rows = tx.query(WAITING).bind(&session).fetch_each(&mut *tx.connection).await?;
                // One that cannot be read is taken like the others, and nobody knows what has become of it.
                let is_any = !rows.is_empty();
                let of = format!("a command of session {session}");
                let commands = damage::COMMANDS.readable(&of, rows, command)?;
                if is_any {
                    tx.query(TAKE).bind(&session).execute(&mut *tx.connection).await?;
                }
                Ok(commands)
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn finish_command(
        &self,
        id: &str,
        told: Result<(), NotTold>,
    ) -> Result<(), StoreError> {
        let (state, reason) = match told {
            Ok(()) => ("done", None),
            Err(why) => ("refused", Some(why.name())),
        };
        self.statement(FINISH).bind(state).bind(reason).bind(id).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn command(
        &self,
        session: &str,
        id: &str,
    ) -> Result<Option<CommandOutcome>, StoreError> {
        let row = self.statement(OUTCOME).bind(id).bind(session).fetch_optional(&self.readers).await?;
        row.map(|row| outcome(&row)).transpose()
    }
}

fn command(row: &AnyRow) -> Result<Command, StoreError> {
    let name = named(row, "command", "id");
    let row = Reading::new(row, &name);
    let kind = match row.text("kind")?.as_str() {
        "say" => CommandKind::Say { interrupt: row.signed("interrupts")? == 1 },
        "context" => CommandKind::Context,
        _ => return Err(row.corrupt("kind")),
    };
    Ok(Command { id: row.text("id")?, kind, text: row.text("text")? })
}

fn outcome(row: &AnyRow) -> Result<CommandOutcome, StoreError> {
    let row = Reading::new(row, "a command");
    Ok(match row.text("outcome")?.as_str() {
        "waiting" | "taken" => CommandOutcome::Waiting,
        "done" => CommandOutcome::Done,
        "refused" => CommandOutcome::Refused(row.maybe_text("reason")?.unwrap_or_default()),
        "ended" => CommandOutcome::of_ended(),
        "unknown" => CommandOutcome::Unknown,
        _ => return Err(row.corrupt("outcome")),
    })
}
