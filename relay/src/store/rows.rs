use protocol::{Mark, Role};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::StoreError;
use crate::meter::UsageRow;
use crate::money::NanoUsd;

/// A session that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// UUID v7.
    pub id: String,
    /// Whose it is.
    pub user_sub: String,
    /// Name and version of the client.
    pub client: String,
    /// The agent it talks to.
    pub agent: String,
    /// Milliseconds since 1970.
    pub started_at_ms: i64,
    /// Which memory of the relay this is.
    pub epoch: u32,
    /// Where the uplink begins.
    pub committed: Mark,
    /// SHA-256 of the resume token.
    pub resume_hash: [u8; 32],
}

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// UUID v7.
    pub id: String,
    /// Whose it is.
    pub user_sub: String,
    /// Name and version of the client.
    pub client: String,
    /// The agent it talks to.
    pub agent: String,
    /// Whether it goes on.
    pub state: SessionState,
    /// Milliseconds since 1970.
    pub started_at_ms: i64,
    /// Milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// Name of a close code.
    pub end_reason: Option<String>,
    /// Which memory of the relay the client knows.
    pub epoch: u32,
    /// The first uplink frame that is not in the transcript.
    pub committed: Mark,
    /// SHA-256 of the resume token.
    pub resume_hash: [u8; 32],
    /// SHA-256 of the one before, while it is still good.
    pub resume_hash_previous: Option<[u8; 32]>,
    /// How often the client came back.
    pub reconnects: u32,
    /// Audio in usage rows, in samples.
    pub audio_samples: u64,
    /// Cost in usage rows.
    pub cost: NanoUsd,
    /// Audio before this position is in usage rows.
    pub metered_position: u32,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It goes on, maybe without a connection.
    Live,
    /// It is over.
    Ended,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Counts the turns of the session.
    pub turn: u32,
    /// Who spoke.
    pub role: Role,
    /// The words.
    pub text: String,
    /// Where its audio begins, in samples of the speaker's timeline.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Up to where the user heard it, if it is the agent's and known. `None` leaves what is stored.
    pub heard: Option<u32>,
}

/// A turn as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRow {
    /// The turn.
    pub turn: Turn,
    /// When it was first written, in milliseconds since 1970.
    pub created_at_ms: i64,
}

impl SessionRow {
    pub(super) fn read(row: &SqliteRow) -> Result<SessionRow, StoreError> {
        let id: String = row.try_get("id")?;
        let corrupt = |column| StoreError::Corrupt { id: id.clone(), column };
        let hash = |bytes: Vec<u8>, column| <[u8; 32]>::try_from(bytes).map_err(|_| corrupt(column));
        let unsigned = |column| -> Result<u64, StoreError> {
            u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| corrupt(column))
        };
        let state = match row.try_get("state")? {
            "live" => SessionState::Live,
            "ended" => SessionState::Ended,
            _ => return Err(corrupt("state")),
        };
        let previous: Option<Vec<u8>> = row.try_get("resume_hash_previous")?;
        Ok(SessionRow {
            user_sub: row.try_get("user_sub")?,
            client: row.try_get("client")?,
            agent: row.try_get("agent")?,
            state,
            started_at_ms: row.try_get("started_at")?,
            ended_at_ms: row.try_get("ended_at")?,
            end_reason: row.try_get("end_reason")?,
            epoch: row.try_get("epoch")?,
            committed: Mark {
                seq: row.try_get("uplink_seq_committed")?,
                position: row.try_get("uplink_position_committed")?,
            },
            resume_hash: hash(row.try_get("resume_hash")?, "resume_hash")?,
            resume_hash_previous: previous.map(|bytes| hash(bytes, "resume_hash_previous")).transpose()?,
            reconnects: row.try_get("reconnects")?,
            audio_samples: unsigned("audio_samples")?,
            cost: NanoUsd::new(unsigned("cost_nano_usd")?),
            metered_position: row.try_get("metered_position")?,
            id: id.clone(),
        })
    }
}

impl TurnRow {
    pub(super) fn read(id: &str, row: &SqliteRow) -> Result<TurnRow, StoreError> {
        let role = match row.try_get("role")? {
            "user" => Role::User,
            "agent" => Role::Agent,
            _ => return Err(StoreError::Corrupt { id: id.to_owned(), column: "role" }),
        };
        let turn = Turn {
            turn: row.try_get("turn")?,
            role,
            text: row.try_get("text")?,
            start: row.try_get("start_position")?,
            end: row.try_get("end_position")?,
            heard: row.try_get("heard_position")?,
        };
        Ok(TurnRow { turn, created_at_ms: row.try_get("created_at")? })
    }
}

pub(super) fn read_usage(row: &SqliteRow) -> Result<UsageRow, StoreError> {
    let unsigned = |column: &'static str| -> Result<u64, StoreError> {
        let number: i64 = row.try_get(column)?;
        let id = row.try_get("session_id")?;
        u64::try_from(number).map_err(|_| StoreError::Corrupt { id, column })
    };
    Ok(UsageRow {
        item: row.try_get("item")?,
        from_quantity: unsigned("from_quantity")?,
        quantity: unsigned("quantity")?,
        unit: row.try_get("unit")?,
        price: NanoUsd::new(unsigned("price_nano_usd")?),
        per: unsigned("per")?,
        price_version: row.try_get("price_version")?,
        cost: NanoUsd::new(unsigned("cost_nano_usd")?),
    })
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Agent => "agent",
    }
}
