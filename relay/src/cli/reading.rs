//! What the commands share that read the records: the store, days, and tables of text.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::records::store::{DATABASE_FILE, Page, SqlStore, StoreError};

/// Opens the configured database, also while relays use it.
pub(super) async fn store(config: &Config) -> Result<SqlStore, StoreError> {
    let store = match &config.database_url {
        Some(url) => SqlStore::postgres(url).await?,
        None => SqlStore::sqlite_to_read(&config.data_dir.join(DATABASE_FILE)).await?,
    };
    store.check_whole().await?;
    Ok(store)
}

/// Does this with each row of what is read page by page, from the beginning on.
pub(super) async fn each_row<T, C, E: From<StoreError>>(
    mut read: impl AsyncFnMut(Option<C>) -> Result<Page<T, C>, StoreError>,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let mut after = None;
    loop {
        let page = read(after).await?;
        page.rows.into_iter().try_for_each(&mut take)?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// When a day begins (UTC), in milliseconds since 1970.
pub(super) fn midnight(day: Date) -> Option<i64> {
    day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp().as_millisecond())
}

/// Rows of cells as lines, each column as wide as its widest cell. The columns from `numbers` on stand at the right.
pub(super) fn table<const N: usize>(rows: &[[String; N]], numbers: usize) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at < numbers {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A text of somebody else in one line, without what moves a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Nano-dollars that may be less than nothing, such as `-$0.0048`.
pub(super) fn dollars(nano: i128) -> String {
    let amount = crate::NanoUsd::new(u64::try_from(nano.unsigned_abs()).unwrap_or(u64::MAX));
    format!("{}{amount}", if nano < 0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "1"], ["bcd", "1,000"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, 1), ["a        1", "bcd  1,000"]);
        assert_eq!(
            (dollars(-4_800_000), dollars(5_000_000_000)),
            ("-$0.0048".to_owned(), "$5.00".to_owned())
        );
    }
}
