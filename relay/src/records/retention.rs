//! What is kept for a while only: transcripts and recordings as long as the operator wants, old budgets and alerts a little more than a
//! year, what webhooks were told for a month, commands and requests with a key for a day.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::config::Retention;
use crate::records::recording::Recordings;
use crate::records::store::{Expiring, KEYED_FOR, Store, StoreError};

/// Rows of one statement: others get their turn in between.
const BATCH: u32 = 500;
/// Budgets of periods that ended, and alerts that are done with, are kept for so long.
const BOOKS_DAYS: i64 = 400;
/// For so long it is known of an erased session what was charged: what its relay still owes comes in that time.
const ERASED_DAYS: i64 = 30;
/// What webhooks were told is kept for so long, and what was wrong with the service.
const DELIVERIES_DAYS: i64 = 30;
/// What administrators had agents told, and what came of it, is kept for so long.
const COMMANDS_DAYS: i64 = 1;
/// A relay that is gone, and has left no session, is forgotten after so long.
const RELAYS_DAYS: i64 = 1;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// The database's log is emptied when nobody reads: tries, and the time between them.
const SCRUBS: u32 = 5;
const SCRUB_AGAIN: Duration = Duration::from_millis(500);

/// What a sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Turns.
    pub turns: u64,
    /// Sessions whose recording was too old.
    pub recordings: u64,
    /// Recordings of sessions that were deleted.
    pub erased: u64,
    /// Recordings that could not be deleted, and are tried again the next time.
    pub left: u64,
    /// Budgets, alerts, what webhooks and agents were told, requests with a key, and what is known of erased sessions.
    pub books: u64,
}

/// Deletes what is too old at this time (milliseconds since 1970), and the recordings of deleted sessions, in small steps.
///
/// # Errors
/// When the database does not answer; what was deleted by then is deleted.
pub async fn sweep(
    store: &dyn Store,
    recordings: Option<&Recordings>,
    keep: &Retention,
    now_ms: i64,
) -> Result<Purged, StoreError> {
    let before = |days: u32| now_ms.saturating_sub(i64::from(days) * DAY_MS);
    let mut purged = Purged::default();
    if let Some(days) = keep.transcript_days {
        purged.turns = expire(store, Expiring::Turns { before_ms: before(days) }).await?;
        purged.turns += expire(store, Expiring::Comments { before_ms: before(days) }).await?;
    }
    if let Some(days) = keep.recording_days {
        expire_recordings(store, recordings, before(days), &mut purged).await?;
    }
    purge_erased(store, recordings, &mut purged).await?;
    purged.books = expire_books(store, now_ms).await?;
    if purged.turns + purged.recordings + purged.erased + purged.books > 0 {
        scrub(store).await?;
    }
    Ok(purged)
}

/// Deletes the recordings of deleted sessions: for right after a deletion.
///
/// # Errors
/// When the database does not answer; the next sweep goes on.
pub async fn sweep_erased(store: &dyn Store, recordings: &Recordings) -> Result<(), StoreError> {
    let mut purged = Purged::default();
    purge_erased(store, Some(recordings), &mut purged).await?;
    if purged.erased > 0 {
        scrub(store).await?;
    }
    Ok(())
}

async fn expire(store: &dyn Store, what: Expiring<'_>) -> Result<u64, StoreError> {
    let mut count = 0;
    loop {
        let deleted = store.expire(what, BATCH).await?;
        count += deleted;
        if deleted < u64::from(BATCH) {
            return Ok(count);
        }
    }
}

/// First the recording, then the row's word of it: in between it can be done again.
async fn expire_recordings(
    store: &dyn Store,
    recordings: Option<&Recordings>,
    before_ms: i64,
    purged: &mut Purged,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let expired = store.expired_recordings(before_ms, &after, BATCH).await?;
        let Some((last, _)) = expired.last() else { return Ok(()) };
        after.clone_from(last);
        for (id, recording) in &expired {
            if delete(recordings, recording).await {
                store.forget_recording(id, recording).await?;
                purged.recordings += 1;
            } else {
                purged.left += 1;
            }
        }
    }
}

async fn purge_erased(
    store: &dyn Store,
    recordings: Option<&Recordings>,
    purged: &mut Purged,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let erased = store.erased_recordings(&after, BATCH).await?;
        let Some(last) = erased.last() else { return Ok(()) };
        after.clone_from(last);
        for recording in &erased {
            if delete(recordings, recording).await {
                store.forget_erased(recording).await?;
                purged.erased += 1;
            } else {
                purged.left += 1;
            }
        }
    }
}

/// Whether it is gone.
async fn delete(recordings: Option<&Recordings>, recording: &str) -> bool {
    let Some(recordings) = recordings else { return false };
    match recordings.delete(recording).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(recording, %error, "a recording was not deleted; it is tried again");
            false
        }
    }
}

async fn expire_books(store: &dyn Store, now_ms: i64) -> Result<u64, StoreError> {
    let before_ms = now_ms.saturating_sub(BOOKS_DAYS * DAY_MS);
    let today = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let first = today.saturating_sub(BOOKS_DAYS.days());
    let (day, month) = (first.to_string(), format!("{:04}-{:02}", first.year(), first.month()));
    let budgets = expire(store, Expiring::Budgets { day: &day, month: &month }).await?;
    let alerts = expire(store, Expiring::Alerts { before_ms }).await?;
    let before_ms = now_ms.saturating_sub(ERASED_DAYS * DAY_MS);
    let erased = expire(store, Expiring::Erased { before_ms }).await?;
    let before_ms = now_ms.saturating_sub(DELIVERIES_DAYS * DAY_MS);
    let deliveries = expire(store, Expiring::Deliveries { before_ms }).await?;
    let incidents = expire(store, Expiring::Incidents { before_ms }).await?;
    let before_ms = now_ms.saturating_sub(COMMANDS_DAYS * DAY_MS);
    let commands = expire(store, Expiring::Commands { before_ms }).await?;
    let life_ms = i64::try_from(KEYED_FOR.as_millis()).unwrap_or(i64::MAX);
    let before_ms = now_ms.saturating_sub(life_ms);
    let keyed = expire(store, Expiring::Keyed { before_ms }).await?;
    // Not counted: a relay that is gone is nobody's record.
    let before_ms = now_ms.saturating_sub(RELAYS_DAYS * DAY_MS);
    expire(store, Expiring::Relays { before_ms }).await?;
    Ok(budgets + alerts + erased + deliveries + incidents + commands + keyed)
}

/// Empties the database's log, which still has what was deleted.
async fn scrub(store: &dyn Store) -> Result<(), StoreError> {
    for _ in 0..SCRUBS {
        if store.scrub().await? {
            return Ok(());
        }
        tokio::time::sleep(SCRUB_AGAIN).await;
    }
    tracing::warn!("the database's log could not be emptied: somebody reads for a long time");
    Ok(())
}
