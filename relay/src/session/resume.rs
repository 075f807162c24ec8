//! Who may go on with a stored session. The relay and the simulation share this.

use protocol::{CloseCode, Ended, Mark, RelayMessage, Resume, Resumed, Usage};
use sha2::{Digest, Sha256};

use super::beginning::FEATURES;
use crate::NanoUsd;
use crate::admission::auth::Identity;
use crate::records::store::{InsteadOf, SessionRow, SessionState};

/// The hash of a resume token. Only this is stored.
#[must_use]
pub fn resume_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The resume token that a client gets who takes this session over, and the hash of the newest token of the session then. It is `fresh` if the
/// client came with the newest one. Whoever came with the one before it has perhaps not got that one, and perhaps has on another connection:
/// such a client keeps its token, and both stay good.
#[must_use]
pub fn next_token(row: &SessionRow, used: &str, fresh: String) -> (String, [u8; 32]) {
    if row.resume_hash == resume_hash(used) {
        let hash = resume_hash(&fresh);
        (fresh, hash)
    } else {
        (used.to_owned(), row.resume_hash)
    }
}

/// The session that a client could not resume, as the store looks for it.
#[must_use]
pub fn instead_of(resume: &Resume) -> InsteadOf {
    InsteadOf { session_id: resume.session_id.clone(), resume_hash: resume_hash(&resume.resume_token) }
}

/// Whether this user may take a session over with this resume token: the session has not ended, and both are good for it.
#[must_use]
pub fn may_take_over(row: &SessionRow, token: &str, identity: &Identity) -> bool {
    row.state == SessionState::Live && may_resume(row, token, identity)
}

/// Whether a client claims that more is committed than is stored. What is committed is stored before the client is told, so such a client has
/// made it up.
#[must_use]
pub fn claims_too_much(row: &SessionRow, start: Mark) -> bool {
    start.seq > row.committed.seq || start.position > row.committed.position
}

/// Whether the client has hung up the session that it asks for. The client did not hear the answer to its `bye`, which is said once more.
#[must_use]
pub fn was_hung_up(row: &SessionRow, resume: &Resume, identity: &Identity) -> bool {
    row.epoch == resume.epoch && ended_with(row, CloseCode::Normal, resume, identity)
}

/// Whether the session has ended with this code, and the client may know that.
#[must_use]
pub fn ended_with(row: &SessionRow, code: CloseCode, resume: &Resume, identity: &Identity) -> bool {
    row.state == SessionState::Ended
        && row.end_reason.as_deref() == Some(code.name())
        && may_resume(row, &resume.resume_token, identity)
}

/// The messages for a client that asks for a session it has hung up: everything came, and the session cost so much. `left` is what is left to
/// spend.
#[must_use]
pub fn end_again(row: &SessionRow, resume: &Resume, left: NanoUsd) -> [RelayMessage; 2] {
    let resumed = Resumed {
        session_id: row.id.clone(),
        epoch: row.epoch,
        resume_token: resume.resume_token.clone(),
        received: row.committed,
        committed: row.committed,
        features: FEATURES.into(),
    };
    let usage = Usage {
        audio_ms: row.audio_samples / 16,
        tokens: row.tokens,
        characters: row.characters,
        cost_nano_usd: row.cost.get(),
        left_nano_usd: left.get(),
    };
    [resumed.into(), Ended { reason: CloseCode::Normal.name().into(), usage }.into()]
}

/// Whether the session belongs to this user, and the resume token is its newest or the one before, whose successor the client may not have
/// got.
fn may_resume(row: &SessionRow, token: &str, identity: &Identity) -> bool {
    let hash = resume_hash(token);
    row.user_sub == identity.sub
        && row.account == identity.account
        && (row.resume_hash == hash || row.resume_hash_previous == Some(hash))
}
