//! Incidents: each beginning and each end is written once an hour, whichever relays find it, and waits for the webhook as alerts do.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::super::incident::{Incident, IncidentKind, IncidentState, NewIncident};
use super::super::rollup::HOUR_MS;
use super::super::types::Attempted;
use super::read::Reading;
use super::{Sql, SqlStore, StoreError, millis, sql};

const FIRE: Sql = sql!(
    "INSERT INTO incidents (id, kind, subject, hour, state, value, threshold, created_at, next_attempt_at)
    VALUES ($1, $2, $3, $4, 'firing', $5, $6, " NOW ", " NOW ")
    ON CONFLICT (kind, subject, hour, state) DO NOTHING"
);

/// Ends what was begun, and nothing else.
const RESOLVE: Sql = sql!(
    "INSERT INTO incidents (id, kind, subject, hour, state, value, threshold, created_at, next_attempt_at)
    SELECT $1, $2, $3, $4, 'resolved', $5, $6, " NOW ", " NOW "
    WHERE (SELECT state FROM incidents WHERE kind = $2 AND subject = $3
        ORDER BY created_at DESC, id DESC LIMIT 1) = 'firing'
    ON CONFLICT (kind, subject, hour, state) DO NOTHING"
);

/// Claims incidents as alerts are claimed. Those of newer versions are left to the relays that know them.
const CLAIM: Sql = sql!(
    "UPDATE incidents SET attempts = attempts + 1, next_attempt_at = " NOW " + $1
    WHERE id IN (
        SELECT id FROM incidents
        WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW "
            AND kind IN ('provider.down', 'calls.failing', 'answers.slow')
        ORDER BY next_attempt_at, id LIMIT $2" LOCK_FREE_ONES ")
    RETURNING id, kind, subject, state, value, threshold, created_at, attempts"
);

const DELIVERED: Sql = sql!(
    "UPDATE incidents SET delivered_at = " NOW ", next_attempt_at = NULL WHERE id = $1 AND delivered_at IS NULL"
);

/// Sets the time of the next attempt, unless the incident was claimed again since, or delivered.
const AGAIN: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = " NOW " + $1 WHERE id = $2 AND attempts = $3 AND delivered_at IS NULL"
);

const GIVE_UP: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL WHERE id = $1 AND attempts = $2 AND delivered_at IS NULL"
);

const DISMISS: Sql = sql!(
    "UPDATE incidents SET next_attempt_at = NULL WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= " NOW
);

impl SqlStore {
    pub(in crate::records::store) async fn note_incident(
        &self,
        incident: &NewIncident,
    ) -> Result<bool, StoreError> {
        let NewIncident { kind, subject, state, value, threshold, at_ms } = incident;
        let note = match state {
            IncidentState::Firing => FIRE,
            IncidentState::Resolved => RESOLVE,
        };
        let noted = self
            .statement(note)
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(kind.name())
            .bind(subject)
            .bind(at_ms.div_euclid(HOUR_MS))
            .bind(i64::from(*value))
            .bind(i64::from(*threshold))
            .execute(&self.writer)
            .await?;
        Ok(noted.rows_affected() > 0)
    }

    pub(in crate::records::store) async fn claim_incidents(
        &self,
        claim: Duration,
        limit: u32,
    ) -> Result<Vec<Incident>, StoreError> {
        let claimed = self.statement(CLAIM).bind(millis(claim)).bind(i64::from(limit));
        let rows = claimed.fetch_all(&self.writer).await?;
        let mut incidents: Vec<Incident> = rows.iter().map(read).collect::<Result<_, _>>()?;
        // A database returns the rows of an UPDATE in any order.
        incidents.sort_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
        Ok(incidents)
    }

    pub(in crate::records::store) async fn finish_incident(
        &self,
        id: &str,
        attempts: u32,
        attempted: Attempted,
    ) -> Result<(), StoreError> {
        let query = match attempted {
            Attempted::Delivered => self.statement(DELIVERED).bind(id),
            Attempted::Again(wait) => {
                self.statement(AGAIN).bind(millis(wait)).bind(id).bind(i64::from(attempts))
            }
            Attempted::GivenUp => self.statement(GIVE_UP).bind(id).bind(i64::from(attempts)),
        };
        query.execute(&self.writer).await?;
        Ok(())
    }

    pub(in crate::records::store) async fn dismiss_incidents(&self) -> Result<(), StoreError> {
        self.statement(DISMISS).execute(&self.writer).await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<Incident, StoreError> {
    let row = Reading::new(row, "an incident");
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
        attempts: row.small("attempts")?,
    })
}
