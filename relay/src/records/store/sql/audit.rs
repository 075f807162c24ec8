//! The audit: each deed of an administrator is written in the transaction that does it, so neither is there without the other.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::audit::{Deed, DeedFilter, DeedKind};
use super::super::query::{Cursor, Page};
use super::page::Select;
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, sql};

const WRITE: Sql = sql!(
    "INSERT INTO audit (id, done_at, done_by, what, user_sub, subject, reason)
    VALUES ($1, " NOW ", $2, $3, $4, $5, $6)"
);

/// What is to be written of a deed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done<'a> {
    pub(super) by: &'a str,
    pub(super) what: DeedKind,
    pub(super) user_sub: Option<&'a str>,
    pub(super) subject: &'a str,
    pub(super) reason: &'a str,
}

const OWNER: Sql = sql!("SELECT user_sub FROM sessions WHERE id = $1");

impl SqlStore {
    pub(in crate::records::store) async fn note_reading(
        &self,
        id: &str,
        what: DeedKind,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let owner = tx.query(OWNER).bind(&*id).fetch_optional(&mut *tx.connection).await?;
                let Some(owner) = owner else { return Ok(false) };
                let user: String = owner.try_get("user_sub")?;
                let done = Done { by: &by, what, user_sub: Some(&user), subject: &id, reason: "" };
                write(&mut tx, done).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn list_audit(
        &self,
        filter: &DeedFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Deed, Cursor>, StoreError> {
        let select = deeds(filter, after);
        let cursor = |deed: &Deed| Cursor { at_ms: deed.at_ms, id: deed.id.clone() };
        select.page(&self.readers, damage::AUDIT, limit, read, cursor).await
    }
}

/// Deeds for which all of it holds, the newest first.
pub(super) fn deeds(filter: &DeedFilter, after: Option<&Cursor>) -> Select {
    let mut select =
        Select::new("SELECT id, done_at, done_by, what, user_sub, subject, reason FROM audit WHERE 1 = 1");
    // Whoever did it, or to whom, has fewer deeds than there are of a kind. SQLite would walk those of the kind: no index has an expression in it.
    let are_few = filter.by.is_some() || filter.user_sub.is_some();
    let by_kind = if are_few { " AND what || '' = ?" } else { " AND what = ?" };
    select.push_if(" AND done_by = ?", filter.by.as_ref());
    select.push_if(by_kind, filter.what.map(DeedKind::name));
    select.push_if(" AND user_sub = ?", filter.user_sub.as_ref());
    select.push_if(" AND done_at >= ?", filter.from_ms);
    select.push_if(" AND done_at < ?", filter.to_ms);
    if let Some(Cursor { at_ms, id }) = after {
        select.push(" AND (done_at, id) < (?, ?)", [(*at_ms).into(), id.into()]);
    }
    select.push(" ORDER BY done_at DESC, id DESC", []);
    select
}

/// Writes what an administrator does in this transaction.
pub(super) async fn write(tx: &mut Tx<'_>, done: Done<'_>) -> Result<(), StoreError> {
    tx.query(WRITE)
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(done.by)
        .bind(done.what.name())
        .bind(done.user_sub)
        .bind(done.subject)
        .bind(done.reason)
        .execute(&mut *tx.connection)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Deed, StoreError> {
    let name = named(row, "deed", "id");
    let row = Reading::new(row, &name);
    Ok(Deed {
        id: row.text("id")?,
        at_ms: row.signed("done_at")?,
        by: row.text("done_by")?,
        what: row.text("what")?,
        user_sub: row.maybe_text("user_sub")?,
        subject: row.text("subject")?,
        reason: row.text("reason")?,
    })
}
