//! What calls leave in the relay's database.

use std::path::Path;

use relay::records::store::DATABASE_FILE;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// What a database has in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Of all tables.
    pub(crate) rows: i64,
    /// Of tables and indices.
    pub(crate) bytes: i64,
}

impl Kept {
    /// Reads the database of the relay that runs in this folder.
    pub(crate) async fn read(folder: &Path) -> Kept {
        sqlx::any::install_default_drivers();
        let address = format!("sqlite://{}", folder.join("data").join(DATABASE_FILE).display());
        let mut connection = AnyConnection::connect(&address).await.expect("it is there");
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let names: Vec<String> =
            sqlx::query_scalar(names).fetch_all(&mut connection).await.expect("readable");
        let mut rows = 0;
        for name in names {
            let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM \"{name}\""));
            let count: i64 = sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("readable");
            rows += count;
        }
        let size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await.expect("readable");
        connection.close().await.expect("closed");
        Kept { rows, bytes }
    }
}
