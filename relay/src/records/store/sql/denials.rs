//! The deny-list, and orders to end sessions: what an administrator tells one relay, and every relay has to know.

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::audit::DeedKind;
use super::super::query::{Denial, DenialCursor, DenialKind, EndRequest, HAS_COMMANDS, Page, Whom};
use super::super::unix_ms;
use super::audit::{self, Done};
use super::page::Select;
use super::read::{Reading, named};
use super::{Durability, Sql, SqlStore, StoreError, Tx, api_keys, damage, sql};

/// A denial by a person stays one if an API key repeats it.
const DENY: Sql = sql!(
    "INSERT INTO denials (kind, subject, reason, created_by, by_key, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (kind, subject) DO UPDATE SET reason = excluded.reason, created_by = excluded.created_by,
        by_key = denials.by_key * excluded.by_key, created_at = excluded.created_at, expires_at = excluded.expires_at"
);

const ALLOW: Sql = sql!("DELETE FROM denials WHERE kind = $1 AND subject = $2");

const FORGET_EXPIRED: Sql = sql!("DELETE FROM denials WHERE expires_at <= $1");

const COUNT_UP: Sql = sql!(
    "INSERT INTO revisions (name, number) VALUES ('denials', 1)
    ON CONFLICT (name) DO UPDATE SET number = revisions.number + 1"
);

const REVISION: Sql = sql!("SELECT number FROM revisions WHERE name = 'denials'");

const REQUEST_END_OF_SESSION: Sql =
    sql!("UPDATE sessions SET end_requested = $1 WHERE state = 'live' AND id = $2 AND " LEASE " > " NOW);

const REQUEST_END_OF_USER: Sql = sql!(
    "UPDATE sessions SET end_requested = $1 WHERE state = 'live' AND user_sub = $2 AND " LEASE " > " NOW
);

const OWNER_OF_LIVE: Sql = sql!("SELECT user_sub FROM sessions WHERE id = $1 AND state = 'live'");

/// The orders, and the sessions for which commands wait. Where none wait, the second half reads an index that is empty; the session of each is
/// looked up by its key, however many live sessions there are.
const ENDS_REQUESTED: Sql = sql!(
    "SELECT id, end_requested FROM sessions
    WHERE relay = $1 AND end_requested IS NOT NULL AND state = 'live'
    UNION ALL
    SELECT session_id, $2 FROM commands
    WHERE state = 'waiting'
        AND $1 = (SELECT relay FROM sessions WHERE sessions.id = commands.session_id AND sessions.state = 'live')
    GROUP BY session_id
    LIMIT 1000"
);

impl SqlStore {
    pub(in crate::records::store) async fn deny(&self, denial: &Denial) -> Result<(), StoreError> {
        let denial = denial.clone();
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                // What is over is not repeated.
                tx.query(FORGET_EXPIRED).bind(unix_ms()).execute(&mut *tx.connection).await?;
                tx.query(DENY)
                    .bind(denial.kind.name())
                    .bind(&denial.subject)
                    .bind(&denial.reason)
                    .bind(&denial.created_by)
                    .bind(i64::from(denial.by_key))
                    .bind(denial.created_at_ms)
                    .bind(denial.expires_at_ms)
                    .execute(&mut *tx.connection)
                    .await?;
                let done = done(DeedKind::Deny, denial.kind, &denial.subject, &denial.created_by);
                audit::write(&mut tx, Done { reason: &denial.reason, ..done }).await?;
                changed(&mut tx).await?;
                // Whoever is shut out may have made keys, and so may whoever has their token. A key takes no other keys away.
                if denial.kind == DenialKind::Sub && !denial.by_key {
                    api_keys::revoke_all_of(&mut tx, &denial.subject, &denial.created_by).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn allow(
        &self,
        kind: DenialKind,
        subject: &str,
        by: &str,
    ) -> Result<bool, StoreError> {
        let (subject, by) = (subject.to_owned(), by.to_owned());
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let query = tx.query(ALLOW).bind(kind.name()).bind(&subject);
                let gone = query.execute(&mut *tx.connection).await?.rows_affected() > 0;
                if gone {
                    audit::write(&mut tx, done(DeedKind::Allow, kind, &subject, &by)).await?;
                }
                changed(&mut tx).await?;
                Ok(gone)
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn denials(
        &self,
        after: Option<&DenialCursor>,
        limit: u32,
    ) -> Result<Page<Denial, DenialCursor>, StoreError> {
        let mut select = Select::awaited(
            "SELECT kind, subject, reason, created_by, by_key, created_at, expires_at FROM denials WHERE",
        );
        select.push(" (expires_at IS NULL OR expires_at > ?)", [unix_ms().into()]);
        if let Some(DenialCursor { kind, subject }) = after {
            select.push(" AND (kind, subject) > (?, ?)", [kind.name().into(), subject.into()]);
        }
        select.push(" ORDER BY kind, subject", []);
        let cursor = |row: &Denial| DenialCursor { kind: row.kind, subject: row.subject.clone() };
        select.page(self.readers.promptly(), damage::DENIALS, limit, denial, cursor).await
    }

    pub(in crate::records::store) async fn denials_revision(&self) -> Result<i64, StoreError> {
        let row = self.statement(REVISION).fetch_optional(self.readers.promptly()).await?;
        row.map_or(Ok(0), |row| Ok(row.try_get("number")?))
    }

    pub(in crate::records::store) async fn request_end(
        &self,
        whom: Whom<'_>,
        reason: &str,
        by: Option<&str>,
    ) -> Result<u64, StoreError> {
        let (sql, whose) = match whom {
            Whom::Session(id) => (REQUEST_END_OF_SESSION, id),
            Whom::User(sub) => (REQUEST_END_OF_USER, sub),
        };
        let Some(by) = by else {
            let done = self.statement(sql).bind(reason).bind(whose).execute(&self.writer).await?;
            return Ok(done.rows_affected());
        };
        let (reason, whose, by) = (reason.to_owned(), whose.to_owned(), by.to_owned());
        let is_session = matches!(whom, Whom::Session(_));
        self.transaction(Durability::PowerCut, move |mut tx| {
            async move {
                let query = tx.query(sql).bind(reason).bind(&whose);
                let asked = query.execute(&mut *tx.connection).await?.rows_affected();
                let what = DeedKind::EndSession;
                let done = Done { by: &by, what, user_sub: None, subject: "", reason: "" };
                if is_session {
                    let query = tx.query(OWNER_OF_LIVE).bind(&whose);
                    if let Some(row) = query.fetch_optional(&mut *tx.connection).await? {
                        let owner: String = row.try_get("user_sub")?;
                        let done = Done { user_sub: Some(&owner), subject: &whose, ..done };
                        audit::write(&mut tx, done).await?;
                    }
                } else if asked > 0 {
                    audit::write(&mut tx, Done { user_sub: Some(&whose), ..done }).await?;
                }
                Ok(asked)
            }
            .boxed()
        })
        .await
    }

    pub(in crate::records::store) async fn ends_requested(
        &self,
        relay: &str,
    ) -> Result<Vec<EndRequest>, StoreError> {
        let query = self.statement(ENDS_REQUESTED).bind(relay).bind(HAS_COMMANDS);
        let rows = query.fetch_each(self.readers.promptly()).await?;
        damage::SESSIONS.readable("a session that is to end", rows, |row| {
            let row = Reading::new(row, "a session");
            Ok(EndRequest { id: row.text("id")?, reason: row.text("end_requested")? })
        })
    }
}

/// What the audit says of a change to the deny-list.
fn done<'a>(what: DeedKind, kind: DenialKind, subject: &'a str, by: &'a str) -> Done<'a> {
    let (user_sub, subject) = match kind {
        DenialKind::Sub => (Some(subject), ""),
        DenialKind::Login => (None, subject),
    };
    Done { by, what, user_sub, subject, reason: "" }
}

/// Raises the deny-list's revision, so that other relays read it again, and deletes expired entries.
async fn changed(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.query(FORGET_EXPIRED).bind(unix_ms()).execute(&mut *tx.connection).await?;
    tx.query(COUNT_UP).execute(&mut *tx.connection).await?;
    Ok(())
}

fn denial(row: &AnyRow) -> Result<Denial, StoreError> {
    let name = named(row, "denial of", "subject");
    let row = Reading::new(row, &name);
    Ok(Denial {
        kind: match row.text("kind")?.as_str() {
            "sub" => DenialKind::Sub,
            "login" => DenialKind::Login,
            _ => return Err(row.corrupt("kind")),
        },
        subject: row.text("subject")?,
        reason: row.text("reason")?,
        created_by: row.text("created_by")?,
        by_key: row.signed("by_key")? == 1,
        created_at_ms: row.signed("created_at")?,
        expires_at_ms: row.maybe_signed("expires_at")?,
    })
}
