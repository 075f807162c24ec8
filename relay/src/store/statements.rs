//! The statements that write.

pub(super) const BEGIN_SESSION: &str = "
INSERT INTO sessions (id, user_sub, client, agent, state, started_at, epoch, uplink_seq_committed,
    uplink_position_committed, metered_position, resume_hash)
VALUES (?, ?, ?, ?, 'live', ?, ?, ?, ?, ?, ?)";

pub(super) const ROTATE_RESUME: &str = "
UPDATE sessions SET resume_hash = ?, resume_hash_previous = ?, epoch = ?, reconnects = ?
WHERE id = ? AND state = 'live'";

pub(super) const MOVE_COMMITTED: &str = "
UPDATE sessions SET uplink_seq_committed = MAX(uplink_seq_committed, ?),
    uplink_position_committed = MAX(uplink_position_committed, ?)
WHERE id = ? AND state = 'live'";

pub(super) const SAVE_TURN: &str = "
INSERT INTO turns (session_id, turn, role, text, start_position, end_position, heard_position, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (session_id, turn) DO UPDATE SET
    role = excluded.role, text = excluded.text, start_position = excluded.start_position,
    end_position = excluded.end_position, heard_position = COALESCE(excluded.heard_position, heard_position)";

pub(super) const RECORD_USAGE: &str = "
INSERT INTO usage (session_id, item, from_quantity, quantity, unit, price_nano_usd, per, price_version,
    cost_nano_usd, created_at)
SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM sessions WHERE id = ?
ON CONFLICT (session_id, item, from_quantity) DO NOTHING";

pub(super) const SUM_USAGE: &str = "
UPDATE sessions SET
    (audio_samples, cost_nano_usd) = (
        SELECT COALESCE(SUM(quantity) FILTER (WHERE unit = ?), 0), COALESCE(SUM(cost_nano_usd), 0)
        FROM usage WHERE session_id = sessions.id),
    metered_position = MAX(metered_position, ?)
WHERE id = ?";

pub(super) const END_SESSION: &str = "
UPDATE sessions SET state = 'ended', ended_at = ?, end_reason = ?, resume_hash_previous = NULL
WHERE id = ? AND state = 'live'";
