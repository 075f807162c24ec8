//! A statement with its values. Every value goes through [`Value`], the one place where U+0000 is removed from texts. PostgreSQL refuses it
//! and SQLite takes it, and a client's text is not to decide whether a session can be stored.

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};
use tokio::time::timeout;

use super::super::error::is_about_a_row;
use super::StoreError;

/// How long a single statement may take. PostgreSQL gives up a little earlier by itself (`statement_timeout`), so that it says why.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(12);

/// A statement. Its text consists of constants of this code, and everything from outside is bound to a parameter.
#[derive(Debug)]
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

/// The value of a parameter. `None` is `NULL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// Where a statement runs: on a connection that the caller has, or on any that is free.
pub(super) trait Place: Send {
    fn execute(self, query: Ready) -> impl Future<Output = Result<AnyQueryResult, StoreError>> + Send;
    fn all(self, query: Ready) -> impl Future<Output = Result<Vec<AnyRow>, StoreError>> + Send;
    fn each(self, query: Ready) -> impl Future<Output = Result<Vec<FoundRow>, StoreError>> + Send;
    fn optional(self, query: Ready) -> impl Future<Output = Result<Option<AnyRow>, StoreError>> + Send;
}

/// A row, or why it cannot be read while others can.
pub(super) type FoundRow = Result<AnyRow, StoreError>;

/// A statement as sqlx takes it.
pub(super) type Ready = Query<'static, Any, AnyArguments>;

impl Statement {
    pub(super) fn new(sql: impl Into<String>) -> Statement {
        Statement { sql: sql.into(), values: Vec::new() }
    }

    /// Binds the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Statement {
        self.values.push(value.into());
        self
    }

    pub(super) async fn execute(self, on: impl Place) -> Result<AnyQueryResult, StoreError> {
        on.execute(self.ready()).await
    }

    pub(super) async fn fetch_all(self, on: impl Place) -> Result<Vec<AnyRow>, StoreError> {
        on.all(self.ready()).await
    }

    /// Reads all rows. SQLite has no text that is not UTF-8 refused, so a row may not even come: such a row is an error of its own among them.
    pub(super) async fn fetch_each(self, on: impl Place) -> Result<Vec<FoundRow>, StoreError> {
        on.each(self.ready()).await
    }

    pub(super) async fn fetch_optional(self, on: impl Place) -> Result<Option<AnyRow>, StoreError> {
        on.optional(self.ready()).await
    }

    pub(super) async fn fetch_one(self, on: impl Place) -> Result<AnyRow, StoreError> {
        Ok(self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)?)
    }

    fn ready(self) -> Ready {
        let query = sqlx::query(AssertSqlSafe(self.sql));
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    }
}

impl Place for &mut AnyConnection {
    async fn execute(self, query: Ready) -> Result<AnyQueryResult, StoreError> {
        Ok(in_time(query.execute(self)).await??)
    }

    async fn all(self, query: Ready) -> Result<Vec<AnyRow>, StoreError> {
        Ok(in_time(query.fetch_all(self)).await??)
    }

    async fn each(self, query: Ready) -> Result<Vec<FoundRow>, StoreError> {
        Ok(in_time(each(query, self)).await??)
    }

    async fn optional(self, query: Ready) -> Result<Option<AnyRow>, StoreError> {
        Ok(in_time(query.fetch_optional(self)).await??)
    }
}

/// Reads all rows of a statement to the end, also behind one that cannot be read.
pub(super) async fn each(query: Ready, connection: &mut AnyConnection) -> Result<Vec<FoundRow>, sqlx::Error> {
    let mut rows = Vec::new();
    let mut found = query.fetch(connection);
    while let Some(row) = found.next().await {
        match row {
            Err(error) if !is_about_a_row(&error) => return Err(error),
            row => rows.push(row.map_err(StoreError::Database)),
        }
    }
    Ok(rows)
}

/// Waits for a statement for [`STATEMENT_TIMEOUT`] at most. After a time-out its connection may be in the middle of it, and has to be thrown
/// away.
pub(super) async fn in_time<T>(statement: impl Future<Output = T>) -> Result<T, StoreError> {
    let done = timeout(STATEMENT_TIMEOUT, statement).await;
    done.map_err(|_| StoreError::NoAnswer { within: STATEMENT_TIMEOUT, at_work: false })
}

/// Replaces U+0000 by U+FFFD. Both databases take every other character.
fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(Some(clean(text)))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        text.to_owned().into()
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        text.clone().into()
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Value {
        Value::Text(text.map(|text| clean(text.to_owned())))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Value {
        Value::Number(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(Some(bytes))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Value {
        Value::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_that_is_bound_has_a_character_that_a_database_refuses() {
        let text = "a\0b\u{1}\u{fffe}\u{10ffff}".to_owned();
        let clean = Value::Text(Some("a\u{fffd}b\u{1}\u{fffe}\u{10ffff}".into()));
        for value in [Value::from(&text), text.as_str().into(), Some(text.as_str()).into(), text.into()] {
            assert_eq!(value, clean);
        }
    }
}
