//! Reading and writing whole tables, for `voxrelay export` and `voxrelay import`. The migrations say which tables there are, and the database says
//! which columns they have, so that whatever a later migration adds moves as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use serde_json::Value as Json;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::connections::Taken;
use super::migrations;
use super::statement::{Statement, Value, in_time};
use super::{Dialect, Durability, Sql, SqlStore, StoreError, sql};

/// Tables that stay: the leases of relays and the rates of the last minute are over by the time that anything has moved, `revisions` is about its
/// own database, the sums of the dashboard are made anew, relays write the addresses of their webhooks when they start, what administrators
/// have the agents of live sessions told is over with those, and what is wrong with the service is found again.
const STAYS: [&str; 10] = [
    "relays",
    "rates",
    "revisions",
    "rollup_calls",
    "rollup_money",
    "rollup_turns",
    "rollup_users",
    "webhooks",
    "commands",
    "incidents",
];
/// The row of `revisions` that a database has while it is being filled. A trigger of `sessions` asks for it, too.
const MARK: &str = "import";
/// How many values one statement binds at most: SQLite takes 32,766 of them.
const VALUES_MAX: usize = 12_000;

/// The columns of a table, each with its type and its place in the primary key, counted from 1; 0 for those that are not in it.
const COLUMNS: Sql = Sql {
    sqlite: "SELECT CAST(name AS TEXT) AS name, CAST(type AS TEXT) AS kind, CAST(pk AS INTEGER) AS part
        FROM pragma_table_info($1)",
    postgres: "SELECT CAST(c.column_name AS text) AS name, CAST(c.data_type AS text) AS kind,
            CAST(COALESCE((SELECT k.ordinal_position FROM information_schema.table_constraints t
                JOIN information_schema.key_column_usage k
                    ON k.constraint_schema = t.constraint_schema AND k.constraint_name = t.constraint_name
                WHERE t.table_schema = 'voxrelay' AND t.table_name = c.table_name AND t.constraint_type = 'PRIMARY KEY'
                    AND k.table_name = c.table_name AND k.column_name = c.column_name), 0) AS BIGINT) AS part
        FROM information_schema.columns c
        WHERE c.table_schema = 'voxrelay' AND c.table_name = $1",
};

const SCHEMA: Sql = sql!("SELECT CAST(MAX(version) AS BIGINT) AS version FROM _sqlx_migrations");

const LIVE: Sql = sql!("SELECT COUNT(*) AS number FROM sessions WHERE state = 'live'");

/// A relay says twice a second that it is there. One that has not said so for 15 s is gone, or as good as that; one of a version that never says
/// so is there while it has a lease.
const LEASED: Sql = sql!(
    "SELECT COUNT(*) AS number FROM relays
    WHERE lease_until > " NOW " AND (seen_at = 0 OR seen_at > " NOW " - 15000)"
);

const MARKED: Sql = sql!("SELECT number FROM revisions WHERE name = $1");

const SET_MARK: Sql = sql!("INSERT INTO revisions (name, number) VALUES ($1, $2)");

const TAKE_MARK: Sql = sql!("DELETE FROM revisions WHERE name = $1");

/// A table as it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    name: &'static str,
    /// In the order of their names, which is the same in every database.
    columns: Vec<Column>,
    /// Which of the columns are the primary key, in its order.
    key: Vec<usize>,
}

/// A row of a table: its values in the order of [`MovedTable::columns`]. Bytes are in base64.
pub type MovedRow = Vec<Json>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bytes,
}

impl MovedTable {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    fn new(name: &'static str, rows: &[AnyRow]) -> Result<MovedTable, StoreError> {
        let mut found: Vec<(Column, i64)> = Vec::new();
        for row in rows {
            let kind: String = row.try_get("kind")?;
            let kind = match kind.to_ascii_lowercase().as_str() {
                "text" => Kind::Text,
                "integer" | "bigint" | "smallint" => Kind::Number,
                "blob" | "bytea" => Kind::Bytes,
                _ => return Err(corrupt(name, "the type of a column")),
            };
            found.push((Column { name: row.try_get("name")?, kind }, row.try_get("part")?));
        }
        // Not by the database, which may sort underscores in its own way.
        found.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        let parts = found.iter().enumerate().filter(|(_, (_, part))| *part > 0);
        let mut key: Vec<(i64, usize)> = parts.map(|(at, (_, part))| (*part, at)).collect();
        key.sort_unstable();
        if key.is_empty() {
            return Err(corrupt(name, "its primary key"));
        }
        let columns = found.into_iter().map(|(column, _)| column).collect();
        Ok(MovedTable { name, columns, key: key.into_iter().map(|(_, at)| at).collect() })
    }

    /// A statement that reads the rows after this one, in the order of the key.
    fn select(&self, after: Option<&MovedRow>, limit: u32) -> Result<Statement, StoreError> {
        let columns = names(&self.columns);
        let key = names(self.key.iter().map(|at| &self.columns[*at]));
        let values: Vec<Value> = match after {
            Some(row) => self.key.iter().map(|at| self.value(*at, row.get(*at))).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let condition = match values.len() {
            0 => String::new(),
            bound => format!(" WHERE ({key}) > ({})", places(0, bound)),
        };
        let place = values.len() + 1;
        let sql = format!("SELECT {columns} FROM \"{}\"{condition} ORDER BY {key} LIMIT ${place}", self.name);
        Ok(values.into_iter().fold(Statement::new(sql), Statement::bind).bind(i64::from(limit)))
    }

    /// A statement that writes these rows, but for those whose keys are there.
    fn insert(&self, rows: &[MovedRow]) -> Result<Statement, StoreError> {
        let width = self.columns.len();
        let tuples: Vec<String> =
            (0..rows.len()).map(|row| format!("({})", places(row * width, width))).collect();
        let columns = names(&self.columns);
        let sql = format!(
            "INSERT INTO \"{}\" ({columns}) VALUES {} ON CONFLICT DO NOTHING",
            self.name,
            tuples.join(", ")
        );
        let mut statement = Statement::new(sql);
        for row in rows {
            if row.len() != width {
                return Err(corrupt(self.name, "the number of its columns"));
            }
            for (at, cell) in row.iter().enumerate() {
                statement = statement.bind(self.value(at, Some(cell))?);
            }
        }
        Ok(statement)
    }

    /// Which row it is that comes after this one, in words.
    fn place_after(&self, before: Option<&MovedRow>) -> String {
        let Some(row) = before else { return format!("the first row of {}", self.name) };
        let cells = self.key.iter().map(|at| match &row[*at] {
            Json::String(text) => text.clone(),
            cell => cell.to_string(),
        });
        format!("the row of {} after {}", self.name, cells.collect::<Vec<_>>().join(" "))
    }

    fn value(&self, at: usize, cell: Option<&Json>) -> Result<Value, StoreError> {
        let wrong = || corrupt(self.name, "a value");
        Ok(match (self.columns[at].kind, cell.ok_or_else(wrong)?) {
            (Kind::Text, Json::Null) => Value::Text(None),
            (Kind::Text, Json::String(text)) => text.into(),
            (Kind::Number, Json::Null) => Value::Number(None),
            (Kind::Number, Json::Number(number)) => number.as_i64().ok_or_else(wrong)?.into(),
            (Kind::Bytes, Json::Null) => Value::Bytes(None),
            (Kind::Bytes, Json::String(text)) => BASE64.decode(text).map_err(|_| wrong())?.into(),
            _ => return Err(wrong()),
        })
    }

    fn read(&self, row: &AnyRow) -> Result<MovedRow, StoreError> {
        let cell = |(at, column): (usize, &Column)| {
            Ok::<Json, StoreError>(match column.kind {
                Kind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Json::Null, Json::from),
                Kind::Number => row.try_get::<Option<i64>, _>(at)?.map_or(Json::Null, Json::from),
                Kind::Bytes => {
                    let bytes: Option<Vec<u8>> = row.try_get(at)?;
                    bytes.map_or(Json::Null, |bytes| BASE64.encode(bytes).into())
                }
            })
        };
        self.columns.iter().enumerate().map(cell).collect()
    }
}

/// Has the sums made anew: a session that has moved says by a number of the database before that it is in them. The next number is one that no
/// session has; while it is negative, what is there is deleted.
const ROLLUPS_ANEW: Sql = sql!(
    "UPDATE revisions SET number = -1 - ABS(number) - (SELECT COALESCE(MAX(rolled_up), 0) FROM sessions)
    WHERE name = 'rollups'"
);

/// One state of a database, which is read over one connection: what others write meanwhile is not in it.
pub struct Snapshot {
    dialect: Dialect,
    /// In a transaction that only reads. It is not handed back before that has ended.
    taken: Taken,
}

impl Snapshot {
    /// The number of the newest migration of the schema.
    ///
    /// # Errors
    /// When the database fails, or its schema is newer than this relay, which then does not know what is in it.
    pub async fn schema(&mut self) -> Result<i64, StoreError> {
        let row = self.statement(SCHEMA).fetch_one(self.taken.connection()).await?;
        let version: i64 = row.try_get("version")?;
        if version > migrations::newest(self.dialect) {
            return Err(migrations::newer(self.dialect, "the database", version));
        }
        Ok(version)
    }

    /// The tables that move, each behind those that it refers to.
    ///
    /// # Errors
    /// When the database fails, or has a column of a type that no migration makes.
    pub async fn tables(&mut self) -> Result<Vec<MovedTable>, StoreError> {
        let mut tables = Vec::new();
        // A table can only refer to one that was made before it.
        for name in migrations::tables(Dialect::Postgres).filter(|name| !STAYS.contains(name)) {
            let rows = self.statement(COLUMNS).bind(name).fetch_all(self.taken.connection()).await?;
            tables.push(MovedTable::new(name, &rows)?);
        }
        Ok(tables)
    }

    /// Reads at most so many rows of a table, in the order of its primary key: those after this row, or the first ones.
    ///
    /// # Errors
    /// When the database fails, or one of them is damaged: the error says where it is.
    pub async fn rows(
        &mut self,
        table: &MovedTable,
        after: Option<&MovedRow>,
        limit: u32,
    ) -> Result<Vec<MovedRow>, StoreError> {
        let found = table.select(after, limit)?.fetch_each(self.taken.connection()).await?;
        let mut rows: Vec<MovedRow> = Vec::with_capacity(found.len());
        for row in found {
            let row = row.and_then(|row| table.read(&row));
            // A row that is damaged may not say its own key.
            let before = rows.last().or(after);
            rows.push(row.map_err(|error| error.about_row(|| table.place_after(before)))?);
        }
        Ok(rows)
    }

    /// How many sessions are live.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_live(&mut self) -> Result<u64, StoreError> {
        let row = self.statement(LIVE).fetch_one(self.taken.connection()).await?;
        let number: i64 = row.try_get("number")?;
        Ok(number.unsigned_abs())
    }

    /// Ends it, so that its connection can be used again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(mut self) -> Result<(), StoreError> {
        in_time(sqlx::raw_sql("COMMIT").execute(self.taken.connection())).await??;
        self.taken.hand_back();
        Ok(())
    }

    fn statement(&self, sql: Sql) -> Statement {
        Statement::new(self.dialect.pick(sql))
    }
}

impl SqlStore {
    /// Begins to read the database as it is now. Whoever reads it may take their time, as whoever takes what is read may.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut taken = self.readers.take().await?;
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0"
            }
        };
        in_time(sqlx::raw_sql(begin).execute(taken.connection())).await??;
        Ok(Snapshot { dialect: self.dialect, taken })
    }

    /// Writes rows into a table, all or none. Those whose keys are there stay as they are.
    ///
    /// # Errors
    /// When the database fails or refuses one of them.
    pub async fn write_moved(&self, table: &MovedTable, rows: &[MovedRow]) -> Result<(), StoreError> {
        let at_once = (VALUES_MAX / table.columns.len().max(1)).max(1);
        let statements: Vec<Statement> =
            rows.chunks(at_once).map(|rows| table.insert(rows)).collect::<Result<_, _>>()?;
        self.transaction(Durability::Process, move |tx| {
            async move {
                for statement in statements {
                    statement.execute(&mut *tx.connection).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// How many sessions are live.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_live(&self) -> Result<u64, StoreError> {
        self.count(LIVE).await
    }

    /// How many relays have a lease, and have been heard of in the last 15 s.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_leased(&self) -> Result<u64, StoreError> {
        self.count(LEASED).await
    }

    /// What the database is being filled from, if it is: the number that [`SqlStore::begin_import`] was given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn import_under_way(&self) -> Result<Option<i64>, StoreError> {
        let row = self.statement(MARKED).bind(MARK).fetch_optional(&self.readers).await?;
        row.map(|row| Ok(row.try_get("number")?)).transpose()
    }

    /// Checks that the database is not being filled, nor was left when it was filled in part.
    ///
    /// # Errors
    /// When it is, or the database fails.
    pub async fn check_whole(&self) -> Result<(), StoreError> {
        match self.import_under_way().await? {
            None => Ok(()),
            Some(_) => Err(StoreError::HalfImported),
        }
    }

    /// Notes that the database is being filled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_import(&self, from: i64) -> Result<(), StoreError> {
        self.statement(SET_MARK).bind(MARK).bind(from).execute(&self.writer).await?;
        Ok(())
    }

    /// Notes that the database is filled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_import(&self) -> Result<(), StoreError> {
        self.transaction(Durability::PowerCut, move |tx| {
            async move {
                tx.query(ROLLUPS_ANEW).execute(&mut *tx.connection).await?;
                tx.query(TAKE_MARK).bind(MARK).execute(&mut *tx.connection).await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn count(&self, sql: Sql) -> Result<u64, StoreError> {
        let row = self.statement(sql).fetch_one(&self.readers).await?;
        let number: i64 = row.try_get("number")?;
        Ok(number.unsigned_abs())
    }
}

fn corrupt(table: &str, column: &'static str) -> StoreError {
    StoreError::Corrupt { row: format!("table {table}"), column }
}

/// The names of columns, quoted: some of them are words of SQL.
fn names<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    columns.into_iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

/// So many parameters, behind those that are bound already.
fn places(bound: usize, count: usize) -> String {
    (bound + 1..=bound + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}
