//! Statements that read a page. They are put together from the conditions that are asked for: a condition that is always in the text, and
//! true where nothing is asked, would keep databases from using their indexes.

use sqlx::any::AnyRow;

use super::super::query::{PAGE_MAX, Page};
use super::StoreError;
use super::statement::{Place, Statement, Value};

/// A statement that reads. Its text consists of constants of this code, and everything from outside is bound to a parameter.
#[derive(Debug)]
pub(super) struct Select {
    sql: String,
    values: Vec<Value>,
}

impl Select {
    pub(super) fn new(sql: &str) -> Select {
        Select { sql: sql.to_owned(), values: Vec::new() }
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
        let statement = self.values.into_iter().fold(Statement::new(self.sql), Statement::bind);
        statement.fetch_all(on).await?.iter().map(read).collect()
    }

    /// Reads a page of at most `limit` rows. `cursor` makes the place where the next page begins out of the last row.
    pub(super) async fn page<T, C>(
        mut self,
        on: impl Place,
        limit: u32,
        read: impl Fn(&AnyRow) -> Result<T, StoreError>,
        cursor: impl Fn(&T) -> C,
    ) -> Result<Page<T, C>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        // One row more than the page has tells whether there is a next page.
        self.push(" LIMIT ?", [(i64::from(limit) + 1).into()]);
        let statement = self.values.into_iter().fold(Statement::new(self.sql), Statement::bind);
        let rows = statement.fetch_all(on).await?;
        let size = limit as usize;
        let more = rows.len() > size;
        let rows: Vec<T> = rows.iter().take(size).map(read).collect::<Result<_, _>>()?;
        let next = rows.last().filter(|_| more).map(cursor);
        Ok(Page { rows, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
