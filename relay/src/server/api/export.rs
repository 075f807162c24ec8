//! Call detail records as one file, which is written a page of the store at a time while the client reads it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::Problem;
use super::admin::Filter;
use super::caller::{Admin, User};
use super::cursor;
use super::extract::Query;
use super::responses::Usual;
use super::schema::{AdminSession, Session, Turn};
use crate::App;
use crate::records::store::{Cursor, SessionFilter, SessionRow, Transcript};

/// How many rows are in memory at the same time.
pub(super) const PAGE: u32 = 500;

/// A long body that is written page by page.
pub(super) trait Pages: Send + 'static {
    /// Where a page begins.
    type Cursor: Send + 'static;

    /// Writes the page that begins after the cursor, and says where the next page begins.
    fn page(
        &mut self,
        after: Option<Self::Cursor>,
    ) -> impl Future<Output = Result<(Vec<u8>, Option<Self::Cursor>), Problem>> + Send;
}

/// Streams all pages as a body. The first page is read at once, so that a problem can be answered if that fails. Later the body can only
/// break off, which the client sees because its end is missing.
pub(super) async fn stream<P: Pages>(mut pages: P, after: Option<P::Cursor>) -> Result<Body, Problem> {
    let (first, next) = pages.page(after).await?;
    let rest = stream::try_unfold((pages, next), |(mut pages, next)| async move {
        let Some(next) = next else { return Ok(None) };
        match pages.page(Some(next)).await {
            Ok((bytes, next)) => Ok(Some((Bytes::from(bytes), (pages, next)))),
            Err(_) => Err(std::io::Error::other("the store failed")),
        }
    });
    let first = stream::once(async move { Ok(Bytes::from(first)) });
    Ok(Body::from_stream(futures_util::StreamExt::chain(first, rest)))
}

/// Exports the sessions of all users as NDJSON: a session a line, the newest first.
#[utoipa::path(
    get, path = "/v1/admin/export/sessions.ndjson", operation_id = "export_ndjson", tag = "admin", params(Filter),
    responses((status = 200, description = "A session a line", content_type = "application/x-ndjson", body = String), Usual),
)]
pub(super) async fn ndjson(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let body = stream(Export { app, filter: filter.read()?, write: json_lines }, None).await?;
    Ok(file("application/x-ndjson", "sessions.ndjson", body))
}

/// Exports the sessions of all users as CSV with a header, the newest first. A cell that a spreadsheet would take for a formula begins with
/// an apostrophe.
#[utoipa::path(
    get, path = "/v1/admin/export/sessions.csv", operation_id = "export_csv", tag = "admin", params(Filter),
    responses((status = 200, description = "A session a line", content_type = "text/csv", body = String), Usual),
)]
pub(super) async fn csv(
    Shared(app): Shared<Arc<App>>,
    _: Admin,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let body = stream(Export { app, filter: filter.read()?, write: table }, None).await?;
    Ok(file("text/csv; charset=utf-8", "sessions.csv", body))
}

/// Exports what is kept of the user's own sessions as NDJSON: a session a line with what was said in it, the newest first. Recordings are at
/// addresses of their own.
#[utoipa::path(
    get, path = "/v1/export/sessions.ndjson", operation_id = "export_own_sessions", tag = "own",
    responses(
        (status = 200, description = "A session a line, with its turns in order", content_type = "application/x-ndjson",
            body = String),
        Usual,
    ),
)]
pub(super) async fn own(Shared(app): Shared<Arc<App>>, User(identity): User) -> Result<Response, Problem> {
    let filter = SessionFilter { user_sub: Some(identity.sub), ..SessionFilter::default() };
    let body = stream(Own { app, filter }, None).await?;
    Ok(file("application/x-ndjson", "sessions.ndjson", body))
}

pub(super) fn file(content_type: &'static str, name: &str, body: Body) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body)
        .into_response()
}

/// A line of JSON in the place of a row that cannot be read.
const DAMAGED_LINE: &str = "{\"damaged\":1}\n";

struct Export {
    app: Arc<App>,
    filter: SessionFilter,
    /// Writes rows, so many more that cannot be read, and what stands above the first one.
    write: fn(Vec<SessionRow>, u32, bool) -> Vec<u8>,
}

impl Pages for Export {
    type Cursor = Cursor;

    async fn page(&mut self, after: Option<Cursor>) -> Result<(Vec<u8>, Option<Cursor>), Problem> {
        let page = self.app.records.store.list_sessions(&self.filter, after.as_ref(), PAGE).await?;
        Ok(((self.write)(page.rows, page.damaged, after.is_none()), page.next))
    }
}

/// A user's own sessions. One is in memory at a time.
struct Own {
    app: Arc<App>,
    filter: SessionFilter,
}

/// A session with what was said in it.
#[derive(Serialize)]
struct Kept {
    session: Session,
    turns: Vec<Turn>,
    /// How many of its turns are left out, since they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<u32>,
}

impl Pages for Own {
    type Cursor = Cursor;

    async fn page(&mut self, after: Option<Cursor>) -> Result<(Vec<u8>, Option<Cursor>), Problem> {
        let store = &self.app.records.store;
        let page = store.list_sessions(&self.filter, after.as_ref(), 1).await?;
        let mut lines = Vec::new();
        for row in page.rows {
            let (mut turns, mut after, mut damaged) = (Vec::new(), None, 0);
            loop {
                let said = store.transcript(Transcript::Session(&row.id), after.as_ref(), PAGE).await?;
                turns.extend(said.rows.into_iter().map(Turn::from));
                damaged += said.damaged;
                after = said.next;
                if after.is_none() {
                    break;
                }
            }
            let kept = Kept { session: Session::from(row), turns, damaged: cursor::damaged(damaged) };
            serde_json::to_writer(&mut lines, &kept).expect("texts and numbers are JSON");
            lines.push(b'\n');
        }
        lines.extend(DAMAGED_LINE.repeat(page.damaged as usize).into_bytes());
        Ok((lines, page.next))
    }
}

fn json_lines(rows: Vec<SessionRow>, damaged: u32, _: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, &AdminSession::from(row)).expect("texts and numbers are JSON");
        lines.push(b'\n');
    }
    lines.extend(DAMAGED_LINE.repeat(damaged as usize).into_bytes());
    lines
}

fn table(rows: Vec<SessionRow>, damaged: u32, is_first: bool) -> Vec<u8> {
    let columns = is_first.then_some(AdminSession::COLUMNS);
    let rows = rows.into_iter().map(|row| AdminSession::from(row).cells().map(harmless));
    lines(columns, rows.chain(damaged_rows(damaged)))
}

/// Rows of a table in the place of so many that cannot be read: each has this word in its first cell, and nothing in the others.
pub(super) fn damaged_rows<const N: usize>(count: u32) -> impl Iterator<Item = [String; N]> {
    (0..count).map(|_| std::array::from_fn(|at| if at == 0 { "damaged".to_owned() } else { String::new() }))
}

/// Rows as lines of a table, after a line with the names of the columns where the table begins.
pub(super) fn lines<const N: usize>(
    columns: Option<[&str; N]>,
    rows: impl Iterator<Item = [String; N]>,
) -> Vec<u8> {
    const HOLDS: &str = "a row of texts into memory is always written";
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if let Some(columns) = columns {
        table.write_record(columns).expect(HOLDS);
    }
    for row in rows {
        table.write_record(row).expect(HOLDS);
    }
    table.into_inner().expect(HOLDS)
}

/// Puts an apostrophe before what a spreadsheet would take for a formula: at the beginning of a cell, and where a spreadsheet that parts
/// cells by something else than commas would see another one begin.
pub(crate) fn harmless(cell: String) -> String {
    const PARTS: [char; 4] = [';', '\t', '\r', '\n'];
    const SIGNS: [char; 4] = ['=', '+', '-', '@'];
    if !cell.contains(SIGNS) && !cell.starts_with(PARTS) {
        return cell;
    }
    let mut safe = String::with_capacity(cell.len() + 1);
    let mut before = None;
    for char in cell.chars() {
        let begins = before.is_none_or(|before| PARTS.contains(&before));
        let is_formula = SIGNS.contains(&char);
        let is_blank = before.is_none() && PARTS[1..].contains(&char);
        if begins && is_formula || is_blank {
            safe.push('\'');
        }
        safe.push(char);
        before = Some(char);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t1", "\r1", "\n1"] {
            assert_eq!(harmless(cell.to_owned()), format!("'{cell}"));
        }
        for (cell, safe) in
            [("x;=1", "x;'=1"), ("x\n@a", "x\n'@a"), ("\t=1", "'\t'=1"), ("x;-1;+2", "x;'-1;'+2")]
        {
            assert_eq!(harmless(cell.to_owned()), safe);
        }
        for cell in ["", "ada", "1", " =1", "a=1", "'=1"] {
            assert_eq!(harmless(cell.to_owned()), cell);
        }
    }
}
