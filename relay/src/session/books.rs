//! Translates between a session's journal and its records: entries as the store and the relay's own disk take them, and the store's errors as
//! the journal takes them. The relay and the simulation share this.

use protocol::Time;

use super::journal::{Entry, Failure, FailureKind, LineQuality, Settlement};
use crate::money::budget::Caps;
use crate::records::spill::Owed;
use crate::records::store::{Payer, Quality, Settle, StoreError};

/// What the store has to know with whatever a session writes.
#[derive(Clone, Debug)]
pub struct Books {
    /// The session's id.
    pub session_id: String,
    /// The epoch in which this relay has the session. The store refuses writes of an older one.
    pub epoch: u32,
    /// Who pays.
    pub payer: Payer,
    /// What the session, its user and its account may spend.
    pub caps: Caps,
}

impl Books {
    /// An entry as the store and the relay's own disk take it, or `None` if it does not outlive the session. `unix_ms` converts times to
    /// milliseconds since 1970.
    #[must_use]
    pub fn owed(&self, entry: &Entry, unix_ms: impl Fn(Time) -> i64) -> Option<Owed> {
        Some(match entry {
            Entry::Turns { turns, committed, replayable } => {
                Owed::Turns { turns: turns.clone(), committed: *committed, replayable: *replayable }
            }
            Entry::Settlement(settlement) => {
                Owed::Settle(Box::new(self.settle(settlement, unix_ms(settlement.at))))
            }
            Entry::End { code, quality, at } => Owed::End {
                reason: code.name().to_owned(),
                quality: stored_quality(quality),
                at_ms: unix_ms(*at),
            },
            Entry::Exhausted(_)
            | Entry::Attached(_)
            | Entry::Resumed(_)
            | Entry::Strikes(_)
            | Entry::Tool(_) => return None,
        })
    }

    fn settle(&self, settlement: &Settlement, at_ms: i64) -> Settle {
        Settle {
            session_id: self.session_id.clone(),
            payer: Some(self.payer.clone()),
            epoch: self.epoch,
            number: settlement.number,
            rows: settlement.rows.clone(),
            credits: settlement.credits.clone(),
            metered_position: settlement.through,
            committed: settlement.committed,
            replayable_samples: settlement.replayable,
            exposed: settlement.exposed,
            release: settlement.release,
            caps: self.caps,
            at_ms,
        }
    }
}

/// The journal's failure for an error of the store.
#[must_use]
pub fn failure(error: &StoreError) -> Failure {
    let kind = match error {
        // What an operator can mend is waited for in the same way. Nothing may be written before it: what was heard would be committed while
        // it is not in the ledger.
        error if error.is_away() || error.is_mendable() => FailureKind::Away,
        StoreError::Fenced { .. } => FailureKind::Fenced,
        StoreError::Erased { .. } => FailureKind::Erased,
        _ => FailureKind::Refused,
    };
    Failure { kind, why: error.to_string() }
}

fn stored_quality(line: &LineQuality) -> Quality {
    let average = line.rtt_sum_us.checked_div(line.rtt_count).unwrap_or_default();
    Quality {
        rtt_avg_us: u32::try_from(average).unwrap_or(u32::MAX),
        rtt_max_us: line.rtt_max_us,
        lost_samples: line.lost_samples,
    }
}
