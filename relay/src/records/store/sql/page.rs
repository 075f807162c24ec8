//! Statements that read a page. They are put together from the conditions that are asked for: a condition that is always in the text, and
//! true where nothing is asked, would keep databases from using their indexes.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::query::{PAGE_MAX, Page, SUMS_MAX};
use super::StoreError;
use super::damage::Table;
use super::statement::{FoundRow, Place, Statement, Value};

/// How many rows are read for one page at most, where damaged ones leave it short.
const ROWS_MAX: u32 = 20 * PAGE_MAX;
/// How many times as many rows are read where damaged ones leave a page short.
const MORE: u32 = 4;
/// How many damaged rows of a page are looked up by their keys for the log. The others are only counted.
const NAMED_MAX: u32 = 10;

/// A statement that reads. Its text consists of constants of this code, and everything from outside is bound to a parameter.
#[derive(Debug)]
pub(super) struct Select {
    sql: String,
    values: Vec<Value>,
    /// Whether a call or the relay itself waits for the rows. Then it is as bad as a database that is away if they take too long.
    is_awaited: bool,
}

impl Select {
    /// A statement that reads as much as somebody asks for.
    pub(super) fn new(sql: &str) -> Select {
        Select { sql: sql.to_owned(), values: Vec::new(), is_awaited: false }
    }

    /// A statement that a call or the relay itself waits for.
    pub(super) fn awaited(sql: &str) -> Select {
        Select { is_awaited: true, ..Select::new(sql) }
    }

    /// Appends a text, in which each `?` stands for one of the values.
    pub(super) fn push<const N: usize>(&mut self, text: &str, values: [Value; N]) {
        let mut values = values.into_iter();
        for (at, part) in text.split('?').enumerate() {
            if at > 0 {
                self.values.extend(values.next());
                self.sql.push_str(&format!("${}", self.values.len()));
            }
            self.sql.push_str(part);
        }
    }

    /// Appends a text with one `?`, if there is a value for it.
    pub(super) fn push_if(&mut self, text: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.push(text, [value.into()]);
        }
    }

    /// Reads all rows, where the statement itself bounds how many there are.
    pub(super) async fn all<T>(
        self,
        on: impl Place,
        read: impl Fn(&AnyRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let Select { sql, values, is_awaited } = self;
        let statement = values.into_iter().fold(Statement::new(sql), Statement::bind);
        let rows = statement.fetch_all(on).await.map_err(|error| failed(error, is_awaited))?;
        rows.iter().map(read).collect()
    }

    /// How SQLite finds the first rows, in its own words.
    #[cfg(test)]
    pub(super) async fn plan(self, on: impl Place) -> Result<String, StoreError> {
        let explain = |sql: String| format!("EXPLAIN QUERY PLAN {sql}");
        let steps = self.part_in(PAGE_MAX, 0, explain).fetch_all(on).await?;
        let steps: Vec<String> =
            steps.iter().map(|step| step.try_get("detail")).collect::<Result<_, sqlx::Error>>()?;
        Ok(steps.join("; "))
    }

    /// Reads a page of at most `limit` rows. `cursor` makes the place where the next page begins out of the last row. Damaged rows are left out and
    /// counted: each belongs to the page whose rows come behind it, or to the last one. Where they leave the page short, all of it is read again with
    /// more rows: what one statement finds is a page of one moment, in which no row is missing or there twice.
    pub(super) async fn page<T, C>(
        self,
        on: impl Place + Copy,
        table: &Table,
        limit: u32,
        read: impl Fn(&AnyRow) -> Result<T, StoreError>,
        cursor: impl Fn(&T) -> C,
    ) -> Result<Page<T, C>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        // One row more than the page has tells whether there is a next page.
        let mut asked = limit + 1;
        loop {
            let found = self.found(on, asked).await?;
            let is_all = found.len() < asked as usize;
            let (mut rows, mut damaged, mut behind, mut more) = (Vec::new(), Vec::new(), Vec::new(), false);
            for (place, row) in (0..asked).zip(found) {
                match row.and_then(|row| read(&row)) {
                    Ok(_) if rows.len() == limit as usize => {
                        more = true;
                        break;
                    }
                    Ok(row) => {
                        rows.push(row);
                        damaged.append(&mut behind);
                    }
                    Err(error) if error.is_damage() => behind.push((place, error)),
                    Err(error) => return Err(error),
                }
            }
            if more || is_all {
                if !more {
                    damaged.append(&mut behind);
                }
                let next = rows.last().filter(|_| more).map(cursor);
                return Ok(Page { rows, next, damaged: self.note(on, table, damaged).await });
            }
            if asked >= ROWS_MAX {
                let row = format!("the table {}", table.name());
                return Err(StoreError::Corrupt { row, column: "row after row" });
            }
            asked = (asked * MORE).min(ROWS_MAX);
        }
    }

    /// Counts the damaged rows of a page, and says of each in the log which one it is. Says how many there are.
    async fn note(&self, on: impl Place + Copy, table: &Table, damaged: Vec<(u32, StoreError)>) -> u32 {
        let (mut count, mut named) = (0, 0);
        for (place, error) in damaged {
            let error = if named < NAMED_MAX {
                named += u32::from(!matches!(error, StoreError::Corrupt { .. }));
                self.about(on, table, place, error).await
            } else {
                error.about_row(|| format!("a row of {}", table.name()))
            };
            table.note(&error);
            count += 1;
        }
        count
    }

    /// Reads a page of what is about money, which may be as long as one of sums: a row that is damaged is an error that names it, and not left out.
    pub(super) async fn whole_page<T, C>(
        self,
        on: impl Place + Copy,
        table: &Table,
        limit: u32,
        read: impl Fn(&AnyRow) -> Result<T, StoreError>,
        cursor: impl Fn(&T) -> C,
    ) -> Result<Page<T, C>, StoreError> {
        let limit = limit.clamp(1, SUMS_MAX);
        let found = self.found(on, limit + 1).await?;
        let more = found.len() > limit as usize;
        let mut rows = Vec::with_capacity(found.len());
        for (place, row) in (0..limit).zip(found) {
            match row.and_then(|row| read(&row)) {
                Ok(row) => rows.push(row),
                Err(error) if error.is_damage() => {
                    let error = self.about(on, table, place, error).await;
                    table.note(&error);
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        let next = rows.last().filter(|_| more).map(cursor);
        Ok(Page { rows, next, damaged: 0 })
    }

    /// Reads the first rows, so many.
    async fn found(&self, on: impl Place, limit: u32) -> Result<Vec<FoundRow>, StoreError> {
        let found = self.part_in(limit, 0, |sql| sql).fetch_each(on).await;
        found.map_err(|error| failed(error, self.is_awaited))
    }

    /// So many rows without the first ones, within another statement.
    fn part_in(&self, limit: u32, without: u32, within: impl FnOnce(String) -> String) -> Statement {
        let (mut sql, mut values) = (self.sql.clone(), self.values.clone());
        values.push(i64::from(limit).into());
        sql.push_str(&format!(" LIMIT ${}", values.len()));
        if without > 0 {
            values.push(i64::from(without).into());
            sql.push_str(&format!(" OFFSET ${}", values.len()));
        }
        values.into_iter().fold(Statement::new(within(sql)), Statement::bind)
    }

    /// The error of a damaged row with the row's name, which is looked up if the error does not have it.
    async fn about(&self, on: impl Place, table: &Table, place: u32, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Corrupt { .. }) {
            return error;
        }
        let row = self.name(on, table, place).await;
        error.about_row(|| row)
    }

    /// What tells a row apart that cannot be read, by its place: its key alone is read.
    async fn name(&self, on: impl Place, table: &Table, place: u32) -> String {
        let (name, key) = (table.name(), table.key());
        let keyed = |sql: String| format!("SELECT CAST({key} AS TEXT) AS row_key FROM ({sql}) AS asked");
        let row = self.part_in(1, place, keyed).fetch_optional(on).await.ok().flatten();
        match row.and_then(|row| row.try_get::<String, _>("row_key").ok()) {
            Some(key) => format!("row {key} of {name}"),
            None => format!("a row of {name}"),
        }
    }
}

/// The error of a statement whose rows somebody waits for, or of a list.
fn failed(error: StoreError, is_awaited: bool) -> StoreError {
    if is_awaited { error } else { error.of_list() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::any::AnyQueryResult;

    use super::super::statement::Ready;
    use super::super::{SqlStore, damage};
    use super::*;

    /// A table of which somebody deletes the first row whenever it was read.
    #[derive(Clone, Copy)]
    struct Shrinking<'s>(&'s SqlStore);

    impl Place for Shrinking<'_> {
        async fn execute(self, query: Ready) -> Result<AnyQueryResult, StoreError> {
            Place::execute(&self.0.writer, query).await
        }

        async fn all(self, query: Ready) -> Result<Vec<AnyRow>, StoreError> {
            Place::all(&self.0.readers, query).await
        }

        async fn each(self, query: Ready) -> Result<Vec<FoundRow>, StoreError> {
            let found = Place::each(&self.0.readers, query).await;
            let shrink = "DELETE FROM numbers WHERE number = (SELECT MIN(number) FROM numbers)";
            Statement::new(shrink).execute(&self.0.writer).await?;
            found
        }

        async fn optional(self, query: Ready) -> Result<Option<AnyRow>, StoreError> {
            Place::optional(&self.0.readers, query).await
        }
    }

    /// A database that does not answer in time: a file that is `at_work` all the time, or a server.
    #[derive(Clone, Copy, Debug)]
    struct Late {
        at_work: bool,
    }

    impl Late {
        fn error(self) -> StoreError {
            StoreError::NoAnswer { within: Duration::from_secs(12), at_work: self.at_work }
        }
    }

    impl Place for Late {
        async fn execute(self, _: Ready) -> Result<AnyQueryResult, StoreError> {
            Err(self.error())
        }

        async fn all(self, _: Ready) -> Result<Vec<AnyRow>, StoreError> {
            Err(self.error())
        }

        async fn each(self, _: Ready) -> Result<Vec<FoundRow>, StoreError> {
            Err(self.error())
        }

        async fn optional(self, _: Ready) -> Result<Option<AnyRow>, StoreError> {
            Err(self.error())
        }
    }

    #[tokio::test]
    async fn a_list_that_a_file_is_at_work_on_for_too_long_does_not_make_the_database_away() {
        let read = |row: &AnyRow| -> Result<i64, StoreError> { Ok(row.try_get("number")?) };
        for (at_work, list_is_away) in [(true, false), (false, true)] {
            let on = Late { at_work };
            let list = || Select::new("SELECT number FROM numbers");
            let page = list().page(on, damage::SESSIONS, 2, read, |number| *number).await;
            let whole = list().whole_page(on, damage::SESSIONS, 2, read, |number| *number).await;
            let errors = [page.map(drop), whole.map(drop), list().all(on, read).await.map(drop)];
            for error in errors.map(|answer| answer.expect_err("it is late")) {
                assert_eq!(error.is_away(), list_is_away, "{error}");
                assert_eq!(matches!(error, StoreError::ListTooLong), at_work, "{error}");
            }
            let awaited = Select::awaited("SELECT number FROM numbers");
            let error = awaited.page(on, damage::SESSIONS, 2, read, |number| *number).await;
            assert!(error.expect_err("it is late").is_away(), "a call waits for it");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_that_damaged_rows_leave_short_is_of_one_moment() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = SqlStore::sqlite(&dir.path().join("voxrelay.db")).await.expect("opened");
        for sql in [
            "CREATE TABLE numbers (number INTEGER NOT NULL)",
            "INSERT INTO numbers (number) VALUES (1), (2), (3), (4), (5), (6)",
        ] {
            Statement::new(sql).execute(&store.writer).await.expect("written");
        }
        let read = |row: &AnyRow| match row.try_get::<i64, _>("number")? {
            number @ 2..=4 => Err(StoreError::Corrupt { row: format!("number {number}"), column: "number" }),
            number => Ok(number),
        };
        let select = Select::new("SELECT number FROM numbers ORDER BY number");
        let page = select.page(Shrinking(&store), damage::SESSIONS, 2, read, |number| *number).await;
        let page = page.expect("read");
        assert_eq!((page.rows, page.next, page.damaged), (vec![5, 6], None, 3));
        store.close().await;
    }

    #[test]
    fn each_question_mark_is_the_next_parameter() {
        let mut select = Select::new("SELECT 1 WHERE 1 = 1");
        select.push_if(" AND a = ?", Some("x"));
        select.push_if(" AND b = ?", None::<i64>);
        select.push(" AND (c, d) < (?, ?)", [1.into(), "y".into()]);
        assert_eq!(select.sql, "SELECT 1 WHERE 1 = 1 AND a = $1 AND (c, d) < ($2, $3)");
        assert_eq!(select.values.len(), 3);
    }
}
