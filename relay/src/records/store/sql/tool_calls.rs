//! Calls of tools, while their session is live.

use sqlx::any::AnyRow;

use super::super::unix_ms;
use super::read::{Reading, named};
use super::{Sql, SqlStore, StoreError, damage, found, sql};
use crate::agent::tool::{Called, Runs, StoredCall, ToolNote, ToolOutput};

/// A call that is made again changes nothing.
const CALLED: Sql = sql!(
    "INSERT INTO tool_calls (session_id, call_id, turn, model_id, name, arguments, runs, created_at)
    SELECT id, $1, $2, $3, $4, $5, $6, $7 FROM sessions WHERE id = $8 AND epoch = $9 AND state = 'live'
    ON CONFLICT (session_id, call_id) DO UPDATE SET name = tool_calls.name"
);

const OUTPUT: Sql = sql!(
    "UPDATE tool_calls SET
        is_error = CASE WHEN output IS NULL THEN $1 ELSE is_error END, output = COALESCE(output, $2)
    WHERE call_id = $3 AND session_id IN (SELECT id FROM sessions WHERE id = $4 AND epoch = $5 AND state = 'live')"
);

/// Names of calls end in their number.
const CALLS: Sql = sql!(
    "SELECT call_id, turn, model_id, name, arguments, runs, output, is_error FROM tool_calls
    WHERE session_id = $1 ORDER BY created_at, LENGTH(call_id), call_id"
);

impl SqlStore {
    pub(in crate::records::store) async fn note_tool(
        &self,
        id: &str,
        epoch: u32,
        note: &ToolNote,
    ) -> Result<(), StoreError> {
        let noted = match note {
            ToolNote::Called { called, turn } => self
                .statement(CALLED)
                .bind(&called.call_id)
                .bind(i64::from(*turn))
                .bind(&called.model_id)
                .bind(&called.name)
                .bind(&called.arguments)
                .bind(called.runs.name())
                .bind(unix_ms()),
            ToolNote::Output { call_id, output } => {
                self.statement(OUTPUT).bind(i64::from(output.is_error)).bind(&output.output).bind(call_id)
            }
        };
        found(id, noted.bind(id).bind(i64::from(epoch)).execute(&self.writer).await?.rows_affected())
    }

    pub(in crate::records::store) async fn tool_calls(
        &self,
        id: &str,
    ) -> Result<Vec<StoredCall>, StoreError> {
        let rows = self.statement(CALLS).bind(id).fetch_each(&self.readers).await?;
        damage::TOOL_CALLS.readable(&format!("a tool call of session {id}"), rows, |row| call(id, row))
    }
}

fn call(session_id: &str, row: &AnyRow) -> Result<StoredCall, StoreError> {
    let name = format!("{} of session {session_id}", named(row, "tool call", "call_id"));
    let row = Reading::new(row, &name);
    let output = row.maybe_text("output")?;
    let is_error = row.signed("is_error")? == 1;
    Ok(StoredCall {
        called: Called {
            call_id: row.text("call_id")?,
            model_id: row.text("model_id")?,
            name: row.text("name")?,
            arguments: row.text("arguments")?,
            runs: if row.text("runs")? == Runs::Page.name() { Runs::Page } else { Runs::Webhook },
        },
        turn: u32::try_from(row.signed("turn")?).unwrap_or(u32::MAX),
        output: output.map(|output| ToolOutput { output, is_error }),
    })
}
