//! Leases: until when a session is its relay's own, and what becomes of the sessions of a lost relay.
//!
//! Each relay has one row with its lease, so that renewing it is one statement however many sessions there are, and waits for none of them.
//! The `lease_until` of a session only ends the lease for that session sooner.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::query::HAND_OFF;
use super::super::types::Swept;
use super::super::{Leases, Lost};
use super::money::{self, Locked, WrittenOff};
use super::read::Reading;
use super::{Durability, Sql, SqlStore, StoreError, Tx, damage, millis, sessions, sql};

/// What a session is called whose id cannot be read, for errors.
const NAMELESS: &str = "a session";

/// How many lost sessions one sweep looks for at a time. It ends when it has handled so many, and the next sweep goes on with the rest.
const SWEEP_MAX: i64 = 50;
/// How often one sweep looks at most. Behind so many sessions with damaged rows the others wait until some of these rows are mended.
const SWEEP_LOOKS: u32 = 20;

const RENEW: Sql = sql!(
    "INSERT INTO relays (id, lease_until, seen_at) VALUES ($1, " NOW " + $2, " NOW ")
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, seen_at = excluded.seen_at"
);

/// Gives a relay a lease only if it has none, or its lease is over. A row with a good lease is not locked, so that no renewal waits for a
/// session that begins.
const BEGIN: Sql = sql!(
    "INSERT INTO relays (id, lease_until, seen_at) SELECT $1, " NOW " + $2, " NOW "
    WHERE NOT EXISTS (SELECT 1 FROM relays WHERE id = $1 AND lease_until > " NOW ")
    ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, seen_at = excluded.seen_at"
);

/// Says nothing where nothing is new.
const ADVERTISE: Sql =
    sql!("UPDATE relays SET address = $2 WHERE id = $1 AND (address IS NULL OR address <> $2)");

const ADDRESS_OF: Sql = sql!(
    "SELECT relays.address AS address FROM sessions JOIN relays ON relays.id = sessions.relay
    WHERE sessions.id = $1 AND sessions.state = 'live' AND sessions.relay <> $2 AND " LEASE " > " NOW " + $3
        AND " SEEN " NOT BETWEEN 1 AND " NOW " - $4"
);

const OF_RELAY: Sql =
    sql!("SELECT id FROM sessions WHERE relay = $1 AND state = 'live' AND lease_until > " NOW);

const ASK_FOR: Sql = sql!(
    "UPDATE sessions SET end_requested = $1
    WHERE id = $2 AND state = 'live' AND relay <> $3 AND end_requested IS NULL AND " LEASE " > " NOW " + $4
        AND " SEEN " NOT BETWEEN 1 AND " NOW " - $5"
);

const HELD_ELSEWHERE: Sql = sql!(
    "SELECT id FROM sessions WHERE id = $1 AND state = 'live' AND relay <> $2 AND " LEASE " > " NOW " + $3
        AND " SEEN " NOT BETWEEN 1 AND " NOW " - $4"
);

const END_LEASE_OF_RELAY: Sql =
    sql!("UPDATE relays SET lease_until = " NOW " WHERE id = $1 AND lease_until > " NOW);

/// Ends the leases of a relay's sessions one by one, besides the relay's own. So they stay ended if the relay comes back, and sessions whose
/// relay has no row are covered as well.
const END_LEASES_OF: Sql = sql!(
    "UPDATE sessions SET lease_until = " NOW " WHERE state = 'live' AND lease_until > " NOW " AND relay = $1"
);

const END_LEASES_BUT: Sql = sql!(
    "UPDATE sessions SET lease_until = " NOW " WHERE state = 'live' AND lease_until > " NOW " AND relay <> $1"
);

const END_LEASE: Sql = sql!(
    "UPDATE sessions SET lease_until = " NOW " WHERE state = 'live' AND lease_until > " NOW " AND relay = $1 AND id = $2"
);

const CLOCK: Sql = sql!("SELECT " NOW " AS shown");

const LOST: Sql = sql!(
    "SELECT id, CASE WHEN " LEASE " <= " NOW " - $1 THEN 1 ELSE 0 END AS over FROM sessions
    WHERE state = 'live'
        AND (lease_until <= " NOW " OR relay NOT IN (SELECT relays.id FROM relays WHERE relays.lease_until > " NOW "))
        AND " LEASE " <= " NOW " AND (" LEASE " <= " NOW " - $1 OR authorised_nano_usd > cost_nano_usd)
    ORDER BY " LEASE ", id LIMIT $2 OFFSET $3" LOCK_FREE_ONES
);

/// Locks a session, unless somebody else has locked it by now.
const LOCK_FREE: Sql = sql!("SELECT id FROM sessions WHERE id = $1" LOCK_FREE_ONES);

impl SqlStore {
    pub(in crate::records::store) async fn ask_for(
        &self,
        id: &str,
        by: &str,
        lost: Lost,
    ) -> Result<bool, StoreError> {
        let (left, unseen) = (millis(lost.left), lost.unseen.map_or(i64::MAX, millis));
        let asked = self.statement(ASK_FOR).bind(HAND_OFF).bind(id).bind(by).bind(left).bind(unseen);
        asked.execute(&self.writer).await?;
        let held = self.statement(HELD_ELSEWHERE).bind(id).bind(by).bind(left).bind(unseen);
        Ok(held.fetch_optional(&self.writer).await?.is_some())
    }

    pub(in crate::records::store) async fn renew_lease(
        &self,
        relay: &str,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let query = self.statement(RENEW).bind(relay).bind(millis(lease));
        query.execute(self.renewals.promptly()).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn advertise(
        &self,
        relay: &str,
        address: &str,
    ) -> Result<(), StoreError> {
        self.statement(ADVERTISE).bind(relay).bind(address).execute(self.renewals.promptly()).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn address_of(
        &self,
        id: &str,
        but: &str,
        lost: Lost,
    ) -> Result<Option<String>, StoreError> {
        let (left, unseen) = (millis(lost.left), lost.unseen.map_or(i64::MAX, millis));
        let asked = self.statement(ADDRESS_OF).bind(id).bind(but).bind(left).bind(unseen);
        let row = asked.fetch_optional(&self.readers).await?;
        Ok(row.map(|row| row.try_get::<Option<String>, _>("address")).transpose()?.flatten())
    }

    pub(in crate::records::store) async fn sessions_held(
        &self,
        relay: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.statement(OF_RELAY).bind(relay).fetch_each(self.readers.promptly()).await?;
        let read = |row: &AnyRow| Reading::new(row, NAMELESS).text("id");
        damage::SESSIONS.readable("a session of this relay", rows, read)
    }

    pub(in crate::records::store) async fn end_leases(&self, leases: Leases<'_>) -> Result<(), StoreError> {
        if let Leases::Of(relay) = leases {
            self.statement(END_LEASE_OF_RELAY).bind(relay).execute(&self.writer).await?;
        }
        let query = match leases {
            Leases::Of(relay) => self.statement(END_LEASES_OF).bind(relay),
            Leases::OfAllBut(relay) => self.statement(END_LEASES_BUT).bind(relay),
            Leases::Session { id, relay } => self.statement(END_LEASE).bind(relay).bind(id),
        };
        query.execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn clock_ms(&self) -> Result<i64, StoreError> {
        Ok(self.statement(CLOCK).fetch_one(self.readers.promptly()).await?.try_get("shown")?)
    }

    pub(in crate::records::store) async fn sweep(
        &self,
        resume_window: Duration,
    ) -> Result<Swept, StoreError> {
        let window = millis(resume_window);
        let mut swept = Swept::default();
        // Those that stay where they are, which are gone over: they would hide all others for ever.
        let mut stay = 0_i64;
        for _ in 0..SWEEP_LOOKS {
            let query = self.statement(LOST).bind(window).bind(SWEEP_MAX).bind(stay);
            let rows = query.fetch_each(&self.writer).await?;
            let found = i64::try_from(rows.len()).unwrap_or(SWEEP_MAX);
            let before = swept.released;
            for (id, over) in damage::SESSIONS.readable("a lost session", rows, lost)? {
                let store = self.clone();
                let buried = self.finish(async move {
                    let buried = store.transaction(Durability::PowerCut, move |mut tx| {
                        async move { bury(&mut tx, &id, over).await }.boxed()
                    });
                    let (released, ended, written_off) = buried.await?;
                    written_off.tell_operators();
                    Ok((released, ended))
                });
                let (released, ended) = match buried.await {
                    // Its money stays set aside until somebody mends its row. The others do not wait for that.
                    Err(error) if error.is_damage() => continue,
                    buried => buried?,
                };
                swept.released += u32::from(released);
                swept.ended += u32::from(ended);
            }
            if found < SWEEP_MAX || i64::from(swept.released) >= SWEEP_MAX {
                break;
            }
            stay += found - i64::from(swept.released - before);
        }
        Ok(swept)
    }
}

/// A lost session, and whether its resume window is over.
fn lost(row: &AnyRow) -> Result<(String, bool), StoreError> {
    let row = Reading::new(row, NAMELESS);
    Ok((row.text("id")?, row.signed("over")? == 1))
}

/// Gives a relay a lease, if it has no good one, so that a session that it begins or takes over is its own from that moment.
pub(super) async fn begin(tx: &mut Tx<'_>, relay: &str, lease: Duration) -> Result<(), StoreError> {
    tx.query(BEGIN).bind(relay).bind(millis(lease)).execute(&mut *tx.connection).await?;
    Ok(())
}

/// Gives back what a lost session had reserved, and ends it if its resume window is over. Says whether money was given back, whether it ended, and what
/// has come of it.
async fn bury(tx: &mut Tx<'_>, id: &str, over: bool) -> Result<(bool, bool, WrittenOff), StoreError> {
    if tx.query(LOCK_FREE).bind(id).fetch_optional(&mut *tx.connection).await?.is_none() {
        return Ok((false, false, WrittenOff::default()));
    }
    let Some(locked) = Locked::read(tx, id).await?.filter(|locked| locked.is_live && locked.is_lost) else {
        return Ok((false, false, WrittenOff::default()));
    };
    if over {
        let written_off = sessions::end_lost(tx, id, protocol::CloseCode::Abnormal).await?;
        return Ok((true, true, written_off));
    }
    Ok((true, false, money::write_off(tx, locked).await?))
}
