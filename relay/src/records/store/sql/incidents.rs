//! Incidents: each beginning and each end is a row that waits for the webhook as alerts do, whichever relays find it. The rows of a kind and subject
//! are counted, and a row says what the one before does not: of several relays that write the next one at the same time, one does.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::super::incident::{Incident, IncidentKind, IncidentPace, IncidentState, NewIncident};
use super::super::types::{Attempted, Claimed};
use super::read::{Reading, named};
use super::{Sql, SqlStore, StoreError, damage, millis, sql};

/// Notes that what is so goes on. It is noted before [`FIRE`], so that nobody ends it in between.
const GOES_ON: Sql = sql!(
    "UPDATE incidents SET found_at = " NOW " WHERE kind = $1 AND subject = $2 AND state = 'firing'
        AND number = (SELECT MAX(number) FROM incidents WHERE kind = $1 AND subject = $2)"
);

/// Begins what is not so by the newest row, or says it again if that row is old.
const FIRE: Sql = sql!(
    "INSERT INTO incidents (id, kind, subject, number, state, value, threshold, found_at, created_at, next_attempt_at)
    SELECT $1, $2, $3, COALESCE((SELECT MAX(number) FROM incidents WHERE kind = $2 AND subject = $3), 0) + 1, 'firing',
        $4, $5, " NOW ", " NOW ", " NOW "
    WHERE NOT EXISTS (
        SELECT 1 FROM incidents WHERE kind = $2 AND subject = $3 AND state = 'firing' AND created_at > " NOW " - $6
            AND number = (SELECT MAX(number) FROM incidents WHERE kind = $2 AND subject = $3))
    ON CONFLICT (kind, subject, number) DO NOTHING"
);

/// Ends what is so by the newest row and what nobody has found since, and nothing else.
const RESOLVE: Sql = sql!(
    "INSERT INTO incidents (id, kind, subject, number, state, value, threshold, found_at, created_at, next_attempt_at)
    SELECT $1, $2, $3, number + 1, 'resolved', $4, $5, " NOW ", " NOW ", " NOW "
    FROM incidents WHERE kind = $2 AND subject = $3 AND state = 'firing' AND found_at <= " NOW " - $6
        AND number = (SELECT MAX(number) FROM incidents WHERE kind = $2 AND subject = $3)
    ON CONFLICT (kind, subject, number) DO NOTHING"
);

/// Gives up what waits and says the same as this newer row, whether or not an administrator has repeated it.
const SAID_AGAIN: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL
    WHERE kind = $1 AND subject = $2 AND state = $3 AND next_attempt_at IS NOT NULL
        AND number < (SELECT number FROM incidents WHERE id = $4)"
);

/// Gives up ends that wait and were never tried, if nothing that is delivered was begun before: it has begun again, and nobody has heard that it was so.
/// What an administrator has repeated counts as heard, since it mostly was, and is not among them.
const NEVER_HEARD: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL
    WHERE kind = $1 AND subject = $2 AND state = 'resolved' AND attempts = 0 AND next_attempt_at IS NOT NULL AND due_since IS NULL
        AND number < (SELECT number FROM incidents WHERE id = $3)
        AND COALESCE((SELECT state FROM incidents AS heard
            WHERE kind = $1 AND subject = $2 AND (delivered_at IS NOT NULL OR due_since IS NOT NULL)
            ORDER BY number DESC LIMIT 1), 'resolved') = 'resolved'"
);

/// Claims incidents as alerts are claimed, each when those before it of its kind and subject are done, so that nobody hears of an end before its
/// beginning. What an administrator has repeated holds up what is new only until it is tried a second time: a receiver that refuses what it has had
/// already would hear of nothing new for a day. Those of newer versions are left to the relays that know them.
const CLAIM: Sql = sql!(
    "UPDATE incidents SET attempts = attempts + 1, next_attempt_at = " NOW " + $1
    WHERE id IN (
        SELECT id FROM incidents AS due
        WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW "
            AND kind IN ('provider.down', 'calls.failing', 'answers.slow')
            AND NOT EXISTS (
                SELECT 1 FROM incidents AS older WHERE older.kind = due.kind AND older.subject = due.subject
                    AND older.number < due.number AND older.next_attempt_at IS NOT NULL
                    AND (older.due_since IS NULL OR older.attempts < 2 OR due.due_since IS NOT NULL))
        ORDER BY next_attempt_at, id LIMIT $2" LOCK_FREE_ONES ")
    RETURNING id, kind, subject, state, value, threshold, created_at, COALESCE(due_since, created_at) AS due_since, attempts"
);

/// Notes that the receiver has it. If it was repeated meanwhile, it is sent once more, and this says nothing of that.
const DELIVERED: Sql = sql!(
    "UPDATE incidents SET delivered_at = " NOW ", next_attempt_at = NULL, answer = $1
    WHERE id = $2 AND COALESCE(due_since, created_at) = $3 AND delivered_at IS NULL"
);

/// Sets the time of the next attempt, unless the incident was claimed again since, repeated, delivered or given up.
const AGAIN: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = " NOW " + $1, answer = $2
    WHERE id = $3 AND attempts = $4 AND COALESCE(due_since, created_at) = $5 AND delivered_at IS NULL AND next_attempt_at IS NOT NULL"
);

const GIVE_UP: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL, answer = $1
    WHERE id = $2 AND attempts = $3 AND COALESCE(due_since, created_at) = $4 AND delivered_at IS NULL"
);

/// Drops what has been due for so long, unless a relay with an address has something to do with it: what waits behind one that is being sent, by the
/// same rule as in [`CLAIM`], and what such a relay can take only since it delivered the one before.
const DISMISS: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL
    WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW " - $1
        AND NOT EXISTS (
            SELECT 1 FROM incidents AS older WHERE older.kind = incidents.kind AND older.subject = incidents.subject
                AND older.number < incidents.number
                AND (older.delivered_at > " NOW " - $1 OR older.next_attempt_at IS NOT NULL
                    AND (older.due_since IS NULL OR older.attempts < 2 OR incidents.due_since IS NOT NULL)))"
);

/// Drops ends whose beginning was dropped before it was tried, unless an earlier message that it is so was delivered: nobody has heard that it was so.
/// What an administrator has repeated is taken here as in [`NEVER_HEARD`].
const UNHEARD: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL
    WHERE state = 'resolved' AND attempts = 0 AND next_attempt_at IS NOT NULL AND due_since IS NULL
        AND EXISTS (
            SELECT 1 FROM incidents AS begun WHERE begun.kind = incidents.kind AND begun.subject = incidents.subject
                AND begun.number = incidents.number - 1
                AND begun.attempts = 0 AND begun.delivered_at IS NULL AND begun.next_attempt_at IS NULL)
        AND COALESCE((SELECT heard.state FROM incidents AS heard
            WHERE heard.kind = incidents.kind AND heard.subject = incidents.subject
                AND (heard.delivered_at IS NOT NULL OR heard.due_since IS NOT NULL)
            ORDER BY heard.number DESC LIMIT 1), 'resolved') = 'resolved'"
);

impl SqlStore {
    pub(in crate::records::store) async fn note_incident(
        &self,
        incident: &NewIncident,
        pace: IncidentPace,
    ) -> Result<bool, StoreError> {
        let NewIncident { kind, subject, state, value, threshold } = incident;
        let (note, since) = match state {
            IncidentState::Firing => {
                self.statement(GOES_ON).bind(kind.name()).bind(subject).execute(&self.writer).await?;
                (FIRE, pace.again)
            }
            IncidentState::Resolved => (RESOLVE, pace.calm),
        };
        let id = uuid::Uuid::now_v7().to_string();
        let noted = self
            .statement(note)
            .bind(&id)
            .bind(kind.name())
            .bind(subject)
            .bind(i64::from(*value))
            .bind(i64::from(*threshold))
            .bind(millis(since))
            .execute(&self.writer)
            .await?;
        if noted.rows_affected() == 0 {
            return Ok(false);
        }
        let again = self.statement(SAID_AGAIN).bind(kind.name()).bind(subject).bind(state.name()).bind(&id);
        again.execute(&self.writer).await?;
        match state {
            IncidentState::Firing => {
                let never_heard = self.statement(NEVER_HEARD).bind(kind.name()).bind(subject).bind(&id);
                never_heard.execute(&self.writer).await?;
            }
            IncidentState::Resolved => {
                self.statement(UNHEARD).execute(&self.writer).await?;
            }
        }
        Ok(true)
    }

    pub(in crate::records::store) async fn claim_incidents(
        &self,
        claim: Duration,
        limit: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        let claimed = self.statement(CLAIM).bind(millis(claim)).bind(i64::from(limit));
        let rows = claimed.fetch_each(&self.writer).await?;
        let mut incidents = damage::INCIDENTS.readable("an incident that is due", rows, read)?;
        // A database returns the rows of an UPDATE in any order.
        incidents.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        Ok(incidents)
    }

    pub(in crate::records::store) async fn finish_incident(
        &self,
        Claimed { id, attempts, due_since_ms }: Claimed<'_>,
        attempted: Attempted,
        answer: &str,
    ) -> Result<(), StoreError> {
        let attempts = i64::from(attempts);
        let query = match attempted {
            Attempted::Delivered => self.statement(DELIVERED).bind(answer).bind(id),
            Attempted::Again(wait) => {
                self.statement(AGAIN).bind(millis(wait)).bind(answer).bind(id).bind(attempts)
            }
            Attempted::GivenUp => self.statement(GIVE_UP).bind(answer).bind(id).bind(attempts),
        };
        query.bind(due_since_ms).execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn dismiss_incidents(
        &self,
        due_for: Duration,
    ) -> Result<(), StoreError> {
        self.statement(DISMISS).bind(millis(due_for)).execute(&self.writer).await?;
        self.statement(UNHEARD).execute(&self.writer).await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<Incident, StoreError> {
    let name = named(row, "incident", "id");
    let row = Reading::new(row, &name);
    Ok(Incident {
        id: row.text("id")?,
        kind: IncidentKind::named(&row.text("kind")?).ok_or_else(|| row.corrupt("kind"))?,
        subject: row.text("subject")?,
        state: match row.text("state")?.as_str() {
            "firing" => IncidentState::Firing,
            "resolved" => IncidentState::Resolved,
            _ => return Err(row.corrupt("state")),
        },
        value: row.small("value")?,
        threshold: row.small("threshold")?,
        created_at_ms: row.signed("created_at")?,
        due_since_ms: row.signed("due_since")?,
        attempts: row.small("attempts")?,
    })
}
