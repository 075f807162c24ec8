//! The types of the API's answers. Their comments are the descriptions in the API's document.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;
use crate::records::store::{
    AlertRow, Credit, Denial, DenialKind, LiveRow, Notice, SaidRow, SessionRow, SessionState, UsageRow,
};

/// A session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's id.
    id: String,
    /// The conversation that the session belongs to.
    conversation_id: String,
    /// The user whose session it is.
    user_sub: String,
    /// The account that pays.
    account: String,
    /// The plan that the session's limits come from.
    plan: Option<String>,
    /// The name and version of the client.
    client: String,
    /// The agent that the user talks to.
    agent: String,
    /// Whether the session is live or has ended.
    state: State,
    /// When the session began.
    #[schema(format = DateTime)]
    started_at: String,
    /// When the session ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Why the session ended: the name of a close code.
    end_reason: Option<String>,
    /// How often the session was resumed.
    reconnects: u32,
    /// The average round trip, in microseconds.
    rtt_avg_us: u32,
    /// The longest round trip, in microseconds.
    rtt_max_us: u32,
    /// How many samples of the user never came.
    lost_samples: u64,
    /// Whether there is a recording.
    recorded: bool,
    /// What the user thinks of the session, from 1 (bad) to 5 (good).
    #[schema(minimum = 1, maximum = 5)]
    rating: Option<u32>,
    /// What the user thinks of the session, in words. It is plain text: escape it before it is shown.
    comment: Option<String>,
    /// How many samples of audio were metered.
    audio_samples: u64,
    /// How many tokens were metered.
    tokens: u64,
    /// How many characters were metered.
    characters: u64,
    /// What the session cost, in nano-dollars.
    cost_nano_usd: u64,
}

/// A session, for administrators.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AdminSession {
    #[serde(flatten)]
    session: Session,
    /// The login at the identity provider that the session began with (`session_id` of its token).
    login: Option<String>,
    /// The relay that has the session, or had it last.
    relay: String,
}

/// A live session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveSession {
    #[serde(flatten)]
    session: AdminSession,
    /// Until when the session is its relay's own. Afterwards another relay may take it over.
    #[schema(format = DateTime)]
    lease_until: String,
    /// Since when the session has had no connection.
    #[schema(format = DateTime)]
    detached_at: Option<String>,
}

/// Whether a session is live or has ended.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// The session goes on, maybe without a connection.
    Live,
    /// The session has ended.
    Ended,
}

/// What the user or the agent said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Turn {
    /// The session of the turn.
    session_id: String,
    /// The number of the turn, counted from 0 in each session in the order in which turns began, with gaps.
    turn: u32,
    /// Who spoke.
    pub(super) role: Role,
    /// The words.
    pub(super) text: String,
    /// Where the turn's audio begins, in samples of the speaker's timeline.
    start_position: u32,
    /// Where the turn's audio ends, in samples of the speaker's timeline.
    end_position: u32,
    /// The position up to which the user heard a turn of the agent, if it is known.
    heard_position: Option<u32>,
    /// When the turn was first written.
    #[schema(format = DateTime)]
    created_at: String,
    /// How long it took from the end of what the user said to its complete text, in milliseconds.
    stt_ms: Option<u32>,
    /// How long it took from that text to the first words of the answer, in milliseconds.
    llm_ms: Option<u32>,
    /// How long it took from the first words of the answer to its first sound, as the voice gave it, in milliseconds.
    tts_ms: Option<u32>,
    /// How long it took from then until that was sent to the page, in milliseconds.
    send_ms: Option<u32>,
    /// How long it took from then until the page had played something of it, in milliseconds.
    heard_ms: Option<u32>,
    /// How long it took from the end of what the user said until the first sound of the answer was sent, in milliseconds.
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

/// The usage of one item in one day (UTC).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    /// The day.
    #[schema(format = Date)]
    day: String,
    /// The account that paid.
    account: String,
    /// The user, unless usage is added up for accounts.
    user_sub: Option<String>,
    /// The item, as `provider/model`.
    item: String,
    /// The unit in which the item is counted.
    unit: String,
    /// How many units were used.
    quantity: u64,
    /// What they cost, in nano-dollars. A credit (`operator/credit`) costs less than nothing, so that the sum of all rows is what is to be
    /// paid.
    cost_nano_usd: i64,
}

/// A budget that has reached one of its thresholds, or a provider that has reported more than was set aside for its request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alert {
    /// The alert's id.
    id: String,
    /// Whose budget it is: `session`, `user` or `account`; `provider` if it is no budget.
    scope: &'static str,
    /// What a provider has reported too much of, as the price table names it; nothing for a budget.
    item: Option<String>,
    /// The day or month (UTC) of the budget, or the hour of what a provider reported. Empty for a session's budget.
    period: String,
    /// The threshold, in percent of the budget; 0 for a provider.
    percent: u32,
    /// The session that reached the threshold, or that the provider was asked for; empty once it is erased.
    session_id: String,
    /// The user of that session; empty for a provider, once the user is erased, and for an account's budget once the session is.
    user_sub: String,
    /// The account of that session.
    account: String,
    /// How much the budget is, in nano-dollars; 0 for a provider.
    limit_nano_usd: u64,
    /// What was spent of the budget by then, or what the provider reported beyond what was set aside, in nano-dollars.
    spent_nano_usd: u64,
    /// When that was.
    #[schema(format = DateTime)]
    created_at: String,
    /// How often the alert was sent to the webhook, since it was raised or since it was last repeated.
    attempts: u32,
    /// When the receiver of the webhook took the alert, if it did since it was last repeated.
    #[schema(format = DateTime)]
    delivered_at: Option<String>,
}

/// An entry of the deny-list: a user or a login that may not use the relay.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DenialEntry {
    /// Whether the subject is a user or a login.
    pub(super) kind: Kind,
    /// The user or the login.
    pub(super) subject: String,
    /// Why it is denied.
    pub(super) reason: String,
    /// The administrator who denied it. Empty once that user is erased.
    pub(super) created_by: String,
    /// When it was denied.
    #[schema(format = DateTime)]
    pub(super) created_at: String,
    /// Until when it is denied. For ever without it.
    #[schema(format = DateTime)]
    pub(super) expires_at: Option<String>,
}

/// What an account got back of what it was charged for a day.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreditEntry {
    /// What the credit is known by.
    pub(super) key: String,
    /// The account that was charged.
    pub(super) account: String,
    /// The user whose charges they were.
    pub(super) user_sub: Option<String>,
    /// The day (UTC) of the charges.
    #[schema(format = Date)]
    pub(super) day: String,
    /// How much was given back, in nano-dollars.
    pub(super) amount_nano_usd: u64,
    /// Why, for administrators. Empty once the user is erased.
    pub(super) reason: String,
    /// The administrator who gave it, or `voxrelay` for what a relay gave back by itself. Empty once that user is erased.
    pub(super) created_by: String,
    /// When it was given.
    #[schema(format = DateTime)]
    pub(super) created_at: String,
}

/// Whether the subject of a denial is a user or a login.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A user, by the `sub` of their tokens.
    Sub,
    /// A login at the identity provider, by the `session_id` of its tokens.
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
    /// The columns of a table of sessions.
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

    /// The cells of the session's row, in the order of the columns.
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
            send_ms: turn.latency.send_ms,
            heard_ms: turn.latency.heard_ms,
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
            cost_nano_usd: row.cost_nano_usd,
        }
    }
}

impl From<AlertRow> for Alert {
    fn from(AlertRow { alert, delivered_at_ms }: AlertRow) -> Alert {
        let (created_at, attempts) = (time::text(alert.created_at_ms()), alert.attempts());
        let delivered_at = time::maybe_text(delivered_at_ms);
        match alert {
            Notice::Budget(alert) => Alert {
                id: alert.id,
                scope: alert.scope.name(),
                item: None,
                period: alert.period,
                percent: alert.percent,
                session_id: alert.session_id,
                user_sub: alert.user_sub,
                account: alert.account,
                limit_nano_usd: alert.limit.get(),
                spent_nano_usd: alert.spent.get(),
                created_at,
                attempts,
                delivered_at,
            },
            Notice::Excess(alert) => Alert {
                id: alert.id,
                scope: "provider",
                item: Some(alert.item),
                period: alert.hour,
                percent: 0,
                session_id: alert.session_id,
                user_sub: String::new(),
                account: alert.account,
                limit_nano_usd: 0,
                spent_nano_usd: alert.excess.get(),
                created_at,
                attempts,
                delivered_at,
            },
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

impl From<Credit> for CreditEntry {
    fn from(credit: Credit) -> CreditEntry {
        CreditEntry {
            key: credit.key,
            account: credit.account,
            user_sub: credit.user_sub,
            day: credit.day,
            amount_nano_usd: credit.amount.get(),
            reason: credit.reason,
            created_by: credit.created_by,
            created_at: time::text(credit.created_at_ms),
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
