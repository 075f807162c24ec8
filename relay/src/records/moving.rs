//! Moving all that a database keeps into another one, by way of a file or a pipe.
//!
//! The file has one JSON value a line. The first line is the [`Header`]; then comes each row, such as `{"turns":[…]}`, with the values in the order
//! of the header's columns; the last line is `{"end":…}` with a [`Tally`] of each table, so that a file which is cut off is noticed. When the last row
//! is written, the other database is read once more, and its tallies have to be the same.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::store::{MovedRow, MovedTable, Snapshot, SqlStore, StoreError};

/// The form of the file.
const FORMAT: u32 = 1;
/// How many rows are read or written at a time.
const BATCH_ROWS: u32 = 500;
/// How many bytes of the file are held at most until they are written to the database.
const BATCH_BYTES: usize = 4 << 20;
/// The longest line of the file. A row holds at most what was said in one turn, or came of one tool.
const LINE_MAX_BYTES: u64 = 16 << 20;
/// After how many rows of a table it is said how far it is.
const TOLD_EVERY: u64 = 100_000;
/// The name of the last line, which no table has.
const END: &str = "end";
/// The columns that hold money, but for prices and limits.
const MONEY: [&str; 4] = ["cost_nano_usd", "amount_nano_usd", "spent_nano_usd", "reserved_nano_usd"];

/// Why a database was not moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// A database failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file cannot be read or written.
    #[error("the file: {0}")]
    File(#[from] io::Error),
    /// A line of the file is not as it should be.
    #[error("line {line} of the file {what}")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The file ends before its last line.
    #[error("the file is cut off after {lines} lines: export it again")]
    CutOff {
        /// How many lines there are.
        lines: u64,
    },
    /// The file was made by another version of the relay.
    #[error(
        "the file is of a schema with {theirs} migrations, and this database has {ours}: export and import with the same version of voxrelay"
    )]
    OtherSchema {
        /// The schema of the file.
        theirs: i64,
        /// The schema of the database.
        ours: i64,
    },
    /// The database has rows already.
    #[error("the database is not empty: {table} has rows; import into a new one")]
    NotEmpty {
        /// A table that has rows.
        table: &'static str,
    },
    /// The import of another file was begun and not finished.
    #[error(
        "the import of another file into this database was not finished: finish that one, or begin with a new database"
    )]
    OtherImport,
    /// Sessions are live.
    #[error(
        "{sessions} sessions are live by now: stop the relay that was started meanwhile, and export again"
    )]
    Live {
        /// How many.
        sessions: u64,
    },
    /// What an import of this database has left is not whole.
    #[error("this database is only partly imported: finish the import first")]
    HalfImported,
    /// What is in the database is not what is in the file.
    #[error("{table} differs: the file has {theirs}, the database has {ours}")]
    Differs {
        /// The table.
        table: String,
        /// What the file has.
        theirs: Tally,
        /// What the database has.
        ours: Tally,
    },
}

/// The first line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The form of the file.
    voxrelay_export: u32,
    /// The version of the relay that wrote it.
    version: String,
    /// The number of the schema's newest migration.
    schema: i64,
    /// When it was written, in milliseconds since 1970. An import that goes on knows the file by it.
    made_at: i64,
    /// The columns of each table.
    tables: BTreeMap<String, Vec<String>>,
}

/// What a table comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many rows it has.
    pub rows: u64,
    /// The sum of its money: costs, credits, and what is spent and reserved of budgets.
    pub nano_usd: i64,
    /// The sum of the hashes of its rows, whatever their order.
    pub digest: u64,
}

/// The tally of each table, in the order in which they were moved.
pub type Tallies = Vec<(String, Tally)>;

impl Tally {
    fn add(&mut self, table: &MovedTable, row: &MovedRow) {
        self.rows += 1;
        for (name, cell) in table.columns().zip(row) {
            if MONEY.contains(&name) {
                self.nano_usd = self.nano_usd.wrapping_add(cell.as_i64().unwrap_or_default());
            }
        }
        let text = serde_json::to_vec(row).expect("JSON is written to memory");
        let hash = Sha256::digest(text);
        let head = hash.first_chunk().expect("a hash has 32 bytes");
        self.digest = self.digest.wrapping_add(u64::from_be_bytes(*head));
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, {} nano-dollars, digest {:016x}", self.rows, self.nano_usd, self.digest)
    }
}

/// Writes all that a database keeps, as it is at one moment, whatever is written to it meanwhile. `tell` is told how far it is.
///
/// # Errors
/// When the database cannot be read, has live sessions, is only partly imported itself, or the file cannot be written.
pub async fn export(
    store: &SqlStore,
    made_at: i64,
    mut to: impl Write,
    mut tell: impl FnMut(&str),
) -> Result<Tallies, MoveError> {
    if store.import_under_way().await?.is_some() {
        return Err(MoveError::HalfImported);
    }
    let mut snapshot = store.snapshot().await?;
    match snapshot.count_live().await? {
        0 => {}
        sessions => return Err(MoveError::Live { sessions }),
    }
    let tables = snapshot.tables().await?;
    let header = Header {
        voxrelay_export: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: snapshot.schema().await?,
        made_at,
        tables: columns(&tables),
    };
    line(&mut to, &header)?;
    let mut tallies = Vec::new();
    for table in &tables {
        let mut tally = Tally::default();
        let mut after = None;
        loop {
            let rows = snapshot.rows(table, after.as_ref(), BATCH_ROWS).await?;
            for row in &rows {
                count(&mut tally, table, row, &mut tell);
                line(&mut to, &BTreeMap::from([(table.name(), row)]))?;
            }
            match rows.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        tell(&format!("{}: {} rows", table.name(), tally.rows));
        tallies.push((table.name().to_owned(), tally));
    }
    snapshot.end().await?;
    let end: BTreeMap<&str, Tally> = tallies.iter().map(|(name, tally)| (name.as_str(), *tally)).collect();
    line(&mut to, &BTreeMap::from([(END, end)]))?;
    to.flush()?;
    Ok(tallies)
}

/// Fills an empty database with what [`export`] has written, or goes on with that where it was broken off, and reads it once more to compare it.
/// `tell` is told how far it is.
///
/// # Errors
/// When the file is of another schema, cut off or damaged, when the database is not empty or fails, or when it is not the same afterwards.
pub async fn import(
    store: &SqlStore,
    from: impl BufRead,
    mut tell: impl FnMut(&str),
) -> Result<Tallies, MoveError> {
    let mut lines = Lines { from, number: 0, text: Vec::new() };
    let Some(first) = lines.next_line()? else { return Err(MoveError::CutOff { lines: 0 }) };
    let header: Header = serde_json::from_slice(first)
        .ok()
        .filter(|header: &Header| header.voxrelay_export == FORMAT)
        .ok_or_else(|| lines.wrong("is not the first line of an export"))?;
    let mut before = store.snapshot().await?;
    let (tables, ours) = (before.tables().await?, before.schema().await?);
    if header.schema != ours || header.tables != columns(&tables) {
        return Err(MoveError::OtherSchema { theirs: header.schema, ours });
    }
    begin(store, before, &tables, header.made_at, &mut tell).await?;
    let theirs = fill(store, &tables, &mut lines, &mut tell).await?;
    let mut tallies = Vec::new();
    let mut after = store.snapshot().await?;
    for table in &tables {
        let tally = read_again(&mut after, table).await?;
        let theirs = theirs.get(table.name()).copied().unwrap_or_default();
        if tally != theirs {
            return Err(MoveError::Differs { table: table.name().to_owned(), theirs, ours: tally });
        }
        tell(&format!("{}: compared", table.name()));
        tallies.push((table.name().to_owned(), tally));
    }
    after.end().await?;
    store.end_import().await?;
    Ok(tallies)
}

/// Marks the database as being filled with this file, unless it is already. `before` is the database as it is.
async fn begin(
    store: &SqlStore,
    mut before: Snapshot,
    tables: &[MovedTable],
    made_at: i64,
    tell: &mut impl FnMut(&str),
) -> Result<(), MoveError> {
    match store.import_under_way().await? {
        Some(file) if file == made_at => {
            tell("going on with an import that was not finished");
            return Ok(());
        }
        Some(_) => return Err(MoveError::OtherImport),
        None => {}
    }
    for table in tables {
        if !before.rows(table, None, 1).await?.is_empty() {
            return Err(MoveError::NotEmpty { table: table.name() });
        }
    }
    before.end().await?;
    store.begin_import(made_at).await?;
    Ok(())
}

/// Writes the rows of the file. Says what the file's last line says of each table, which is what was read.
async fn fill(
    store: &SqlStore,
    tables: &[MovedTable],
    lines: &mut Lines<impl BufRead>,
    tell: &mut impl FnMut(&str),
) -> Result<BTreeMap<String, Tally>, MoveError> {
    let mut read: BTreeMap<String, Tally> =
        tables.iter().map(|table| (table.name().to_owned(), Tally::default())).collect();
    let mut batch = Batch::default();
    loop {
        let Some(text) = lines.next_line()? else { return Err(MoveError::CutOff { lines: lines.number }) };
        let bytes = text.len();
        let value = serde_json::from_slice::<Map<String, Value>>(text).ok();
        let Some((name, value)) = value.and_then(|value| value.into_iter().next()) else {
            return Err(lines.wrong("is no row"));
        };
        if name == END {
            batch.write(store).await?;
            let said: Option<BTreeMap<String, Tally>> = serde_json::from_value(value).ok();
            return match said {
                Some(said) if said == read => Ok(read),
                _ => Err(lines.wrong("does not fit the rows before it: the file is damaged")),
            };
        }
        let (Some(table), Value::Array(row)) = (tables.iter().find(|table| table.name() == name), value)
        else {
            return Err(lines.wrong("is no row of a table that there is"));
        };
        if batch.table.map(MovedTable::name) != Some(table.name()) || batch.is_full() {
            batch.write(store).await?;
        }
        if let Some(tally) = read.get_mut(&name) {
            count(tally, table, &row, tell);
        }
        batch.add(table, row, bytes);
    }
}

/// What a table comes to in the database.
async fn read_again(snapshot: &mut Snapshot, table: &MovedTable) -> Result<Tally, MoveError> {
    let (mut tally, mut after) = (Tally::default(), None);
    loop {
        let rows = snapshot.rows(table, after.as_ref(), BATCH_ROWS).await?;
        rows.iter().for_each(|row| tally.add(table, row));
        match rows.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(tally),
        }
    }
}

/// Rows of one table that are written together.
#[derive(Default)]
struct Batch<'t> {
    table: Option<&'t MovedTable>,
    rows: Vec<MovedRow>,
    bytes: usize,
}

impl<'t> Batch<'t> {
    fn add(&mut self, table: &'t MovedTable, row: MovedRow, bytes: usize) {
        self.table = Some(table);
        self.rows.push(row);
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS as usize || self.bytes >= BATCH_BYTES
    }

    async fn write(&mut self, store: &SqlStore) -> Result<(), StoreError> {
        if let Some(table) = self.table.take() {
            store.write_moved(table, &self.rows).await?;
        }
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// The lines of the file, one at a time.
struct Lines<R> {
    from: R,
    number: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line; `None` at the end, also if the last line is not whole.
    fn next_line(&mut self) -> Result<Option<&[u8]>, MoveError> {
        self.text.clear();
        let read = io::Read::take(&mut self.from, LINE_MAX_BYTES).read_until(b'\n', &mut self.text)?;
        let is_whole = self.text.ends_with(b"\n");
        self.number += u64::from(is_whole);
        if !is_whole && read as u64 >= LINE_MAX_BYTES {
            self.number += 1;
            return Err(self.wrong("is longer than any row is"));
        }
        Ok(is_whole.then_some(self.text.as_slice()))
    }

    fn wrong(&self, what: &str) -> MoveError {
        MoveError::Line { line: self.number, what: what.to_owned() }
    }
}

fn count(tally: &mut Tally, table: &MovedTable, row: &MovedRow, tell: &mut impl FnMut(&str)) {
    tally.add(table, row);
    if tally.rows.is_multiple_of(TOLD_EVERY) {
        tell(&format!("{}: {} rows so far", table.name(), tally.rows));
    }
}

fn columns(tables: &[MovedTable]) -> BTreeMap<String, Vec<String>> {
    let columns = |table: &MovedTable| table.columns().map(str::to_owned).collect();
    tables.iter().map(|table| (table.name().to_owned(), columns(table))).collect()
}

fn line(to: &mut impl Write, value: &impl Serialize) -> Result<(), MoveError> {
    serde_json::to_writer(&mut *to, value).map_err(io::Error::from)?;
    to.write_all(b"\n")?;
    Ok(())
}
