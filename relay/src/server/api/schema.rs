//! What the API answers with.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;
use crate::records::store::{
    AlertRow, Denial, DenialKind, LiveRow, SaidRow, SessionRow, SessionState, UsageRow,
};

/// A session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Its id.
    id: String,
    /// What it belongs to, with what was said before and after.
    conversation_id: String,
    /// Whose it is.
    user_sub: String,
    /// Who pays.
    account: String,
    /// The plan of its limits.
    plan: Option<String>,
    /// Name and version of the client.
    client: String,
    /// The agent it talks to.
    agent: String,
    /// Whether it goes on.
    state: State,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// The name of the close code it ended with.
    end_reason: Option<String>,
    /// How often the client came back.
    reconnects: u32,
    /// Average round trip, in microseconds.
    rtt_avg_us: u32,
    /// Longest round trip, in microseconds.
    rtt_max_us: u32,
    /// Audio of the user that never came, in samples.
    lost_samples: u64,
    /// Whether it is recorded.
    recorded: bool,
    /// What its user thinks of it: 1 (bad) to 5 (good).
    #[schema(minimum = 1, maximum = 5)]
    rating: Option<u32>,
    /// The same in words. Plain text: escape it before it is shown.
    comment: Option<String>,
    /// Audio that was metered, in samples.
    audio_samples: u64,
    /// Tokens that were metered.
    tokens: u64,
    /// Characters that were metered.
    characters: u64,
    /// What it cost, in nano-dollars.
    cost_nano_usd: u64,
}

/// A session, for administrators.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AdminSession {
    #[serde(flatten)]
    session: Session,
    /// The login (the token's `session_id`).
    login: Option<String>,
    /// The relay that has it, or had it last.
    relay: String,
}

/// A session that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveSession {
    #[serde(flatten)]
    session: AdminSession,
    /// Until when nobody else may take it for lost.
    #[schema(format = DateTime)]
    lease_until: String,
    /// Since when it has no connection.
    #[schema(format = DateTime)]
    detached_at: Option<String>,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It goes on, maybe without a connection.
    Live,
    /// It is over.
    Ended,
}

/// Something that was said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Turn {
    /// The session it was said in.
    session_id: String,
    /// Counts the turns of the session.
    turn: u32,
    /// Who spoke.
    pub(super) role: Role,
    /// The words.
    pub(super) text: String,
    /// Where its audio begins, in samples of the speaker's timeline.
    start_position: u32,
    /// Where it ends.
    end_position: u32,
    /// Up to where the user heard it, if it is the agent's and known.
    heard_position: Option<u32>,
    /// When it was written first.
    #[schema(format = DateTime)]
    created_at: String,
    /// From the end of what was said to its text, in milliseconds.
    stt_ms: Option<u32>,
    /// From the text to the first words of the answer, in milliseconds.
    llm_ms: Option<u32>,
    /// From those to their first sound, in milliseconds.
    tts_ms: Option<u32>,
    /// From the end of what was said to the first sound of the answer, in milliseconds.
    total_ms: Option<u32>,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// The user.
    User,
    /// The agent.
    Agent,
}

/// What was used of one thing in a day (UTC).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    /// The day.
    #[schema(format = Date)]
    day: String,
    /// Who paid.
    account: String,
    /// Who used it; nothing where it is added up for accounts.
    user_sub: Option<String>,
    /// What.
    item: String,
    /// In what it is counted.
    unit: String,
    /// How much.
    quantity: u64,
    /// What it cost, in nano-dollars.
    cost_nano_usd: u64,
}

/// A budget that reached one of its thresholds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alert {
    /// Its id.
    id: String,
    /// Whose budget: `session`, `user` or `account`.
    scope: &'static str,
    /// The day or month (UTC); empty for a session.
    period: String,
    /// How much of it, in percent.
    percent: u32,
    /// The session that reached it.
    session_id: String,
    /// Its user.
    user_sub: String,
    /// Its account.
    account: String,
    /// The budget, in nano-dollars.
    limit_nano_usd: u64,
    /// What was spent of it by then, in nano-dollars.
    spent_nano_usd: u64,
    /// When.
    #[schema(format = DateTime)]
    created_at: String,
    /// How often the webhook was tried.
    attempts: u32,
    /// When the webhook was taken.
    #[schema(format = DateTime)]
    delivered_at: Option<String>,
}

/// Somebody who may not use the relay.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DenialEntry {
    /// What the subject is.
    pub(super) kind: Kind,
    /// The user or the login.
    pub(super) subject: String,
    /// Why.
    pub(super) reason: String,
    /// Who decided it; empty once that user is erased.
    pub(super) created_by: String,
    /// When.
    #[schema(format = DateTime)]
    pub(super) created_at: String,
    /// Until when; for ever without it.
    #[schema(format = DateTime)]
    pub(super) expires_at: Option<String>,
}

/// What the subject of a denial is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A user, by the `sub` of their tokens.
    Sub,
    /// A login, by the `session_id` of its tokens.
    Login,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Session {
        Session {
            id: row.id,
            conversation_id: row.conversation_id,
            user_sub: row.user_sub,
            account: row.account,
            plan: row.plan,
            client: row.client,
            agent: row.agent,
            state: row.state.into(),
            started_at: time::text(row.started_at_ms),
            ended_at: time::maybe_text(row.ended_at_ms),
            end_reason: row.end_reason,
            reconnects: row.reconnects,
            rtt_avg_us: row.quality.rtt_avg_us,
            rtt_max_us: row.quality.rtt_max_us,
            lost_samples: row.quality.lost_samples,
            recorded: row.recording.is_some(),
            rating: row.feedback.rating,
            comment: row.feedback.comment,
            audio_samples: row.audio_samples,
            tokens: row.tokens,
            characters: row.characters,
            cost_nano_usd: row.cost.get(),
        }
    }
}

impl From<SessionRow> for AdminSession {
    fn from(mut row: SessionRow) -> AdminSession {
        let (login, relay) = (row.login.take(), std::mem::take(&mut row.relay));
        AdminSession { session: row.into(), login, relay }
    }
}

impl AdminSession {
    /// The header of its table.
    pub(super) const COLUMNS: [&str; 24] = [
        "id",
        "conversation_id",
        "user_sub",
        "account",
        "plan",
        "client",
        "agent",
        "state",
        "started_at",
        "ended_at",
        "end_reason",
        "reconnects",
        "rtt_avg_us",
        "rtt_max_us",
        "lost_samples",
        "recorded",
        "rating",
        "comment",
        "audio_samples",
        "tokens",
        "characters",
        "cost_nano_usd",
        "login",
        "relay",
    ];

    /// Its row, in the order of the columns.
    pub(super) fn cells(self) -> [String; 24] {
        let AdminSession { session, login, relay } = self;
        [
            session.id,
            session.conversation_id,
            session.user_sub,
            session.account,
            session.plan.unwrap_or_default(),
            session.client,
            session.agent,
            SessionState::from(session.state).name().to_owned(),
            session.started_at,
            session.ended_at.unwrap_or_default(),
            session.end_reason.unwrap_or_default(),
            session.reconnects.to_string(),
            session.rtt_avg_us.to_string(),
            session.rtt_max_us.to_string(),
            session.lost_samples.to_string(),
            session.recorded.to_string(),
            session.rating.map(|rating| rating.to_string()).unwrap_or_default(),
            session.comment.unwrap_or_default(),
            session.audio_samples.to_string(),
            session.tokens.to_string(),
            session.characters.to_string(),
            session.cost_nano_usd.to_string(),
            login.unwrap_or_default(),
            relay,
        ]
    }
}

impl From<LiveRow> for LiveSession {
    fn from(row: LiveRow) -> LiveSession {
        LiveSession {
            session: row.session.into(),
            lease_until: time::text(row.lease_until_ms),
            detached_at: time::maybe_text(row.detached_at_ms),
        }
    }
}

impl From<State> for SessionState {
    fn from(state: State) -> SessionState {
        match state {
            State::Live => SessionState::Live,
            State::Ended => SessionState::Ended,
        }
    }
}

impl From<SessionState> for State {
    fn from(state: SessionState) -> State {
        match state {
            SessionState::Live => State::Live,
            SessionState::Ended => State::Ended,
        }
    }
}

impl From<SaidRow> for Turn {
    fn from(said: SaidRow) -> Turn {
        let turn = said.row.turn;
        Turn {
            session_id: said.session_id,
            turn: turn.turn,
            role: match turn.role {
                protocol::Role::User => Role::User,
                protocol::Role::Agent | protocol::Role::Unknown => Role::Agent,
            },
            text: turn.text,
            start_position: turn.start,
            end_position: turn.end,
            heard_position: turn.heard,
            created_at: time::text(said.row.created_at_ms),
            stt_ms: turn.latency.stt_ms,
            llm_ms: turn.latency.llm_ms,
            tts_ms: turn.latency.tts_ms,
            total_ms: turn.latency.total_ms,
        }
    }
}

impl From<UsageRow> for Usage {
    fn from(row: UsageRow) -> Usage {
        Usage {
            day: row.day,
            account: row.account,
            user_sub: row.user_sub,
            item: row.item,
            unit: row.unit,
            quantity: row.quantity,
            cost_nano_usd: row.cost.get(),
        }
    }
}

impl From<AlertRow> for Alert {
    fn from(AlertRow { alert, delivered_at_ms }: AlertRow) -> Alert {
        Alert {
            id: alert.id,
            scope: alert.scope.name(),
            period: alert.period,
            percent: alert.percent,
            session_id: alert.session_id,
            user_sub: alert.user_sub,
            account: alert.account,
            limit_nano_usd: alert.limit.get(),
            spent_nano_usd: alert.spent.get(),
            created_at: time::text(alert.created_at_ms),
            attempts: alert.attempts,
            delivered_at: time::maybe_text(delivered_at_ms),
        }
    }
}

impl From<Denial> for DenialEntry {
    fn from(denial: Denial) -> DenialEntry {
        DenialEntry {
            kind: denial.kind.into(),
            subject: denial.subject,
            reason: denial.reason,
            created_by: denial.created_by,
            created_at: time::text(denial.created_at_ms),
            expires_at: time::maybe_text(denial.expires_at_ms),
        }
    }
}

impl From<DenialKind> for Kind {
    fn from(kind: DenialKind) -> Kind {
        match kind {
            DenialKind::Sub => Kind::Sub,
            DenialKind::Login => Kind::Login,
        }
    }
}

impl From<Kind> for DenialKind {
    fn from(kind: Kind) -> DenialKind {
        match kind {
            Kind::Sub => DenialKind::Sub,
            Kind::Login => DenialKind::Login,
        }
    }
}
