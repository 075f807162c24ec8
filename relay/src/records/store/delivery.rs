//! What webhooks are told: an outbox with a row for each event and each address that wants to hear of it. What the address of alerts is told waits in
//! the outboxes of alerts and of incidents, and is listed and repeated with the rest.

use super::incident::IncidentKind;
use super::types::Claimed;

/// What the address of alerts is called among those of events: by its section of the configuration.
pub const ALERTS_WEBHOOK: &str = "webhook";

/// Something that happens, of which webhooks are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A call has begun.
    CallStarted,
    /// A call has ended.
    CallEnded,
    /// A file with what a call was is in its place.
    RecordingReady,
    /// A user was erased.
    UserErased,
}

/// What a message is about: its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Something has happened.
    Event(HookEvent),
    /// A budget has reached a threshold.
    BudgetThreshold,
    /// A provider has reported more than was set aside for its request.
    ProviderExcess,
    /// Something is wrong with the service as a whole, or is over.
    Incident(IncidentKind),
}

/// An address as relays have it in their configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What it is called.
    pub name: String,
    /// What it is told.
    pub events: Vec<HookEvent>,
}

/// An event or an alert on its way to an address, or there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What the message is known by, the same each time that it is sent.
    pub id: String,
    /// What the address is called.
    pub webhook: String,
    /// What the message is about: [`MessageKind::name`], or a word of a newer version.
    pub event: String,
    /// Which of the alerts of its kind it is, in words: whose budget and its threshold, the item, or the provider and whether it is so. `None` for
    /// events.
    pub about: Option<String>,
    /// The session that it is about, if it is about one.
    pub session_id: Option<String>,
    /// The user who was erased, until the receiver has heard of it.
    pub user_sub: Option<String>,
    /// When it happened, by the database's clock, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Since when it is to be sent: since it happened, or since it was last repeated by an administrator.
    pub due_since_ms: i64,
    /// How often it was sent since then.
    pub attempts: u32,
    /// When it is sent next, if it waits for that.
    pub next_attempt_at_ms: Option<i64>,
    /// When the receiver took it, if it did since then.
    pub delivered_at_ms: Option<i64>,
    /// What the receiver answered last since then, or why there was no answer.
    pub answer: Option<String>,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be sent.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It was tried for long enough.
    GivenUp,
}

/// Which deliveries to list: those for which everything holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Deliveries to the address of this name.
    pub webhook: Option<String>,
    /// Deliveries that are about this.
    pub event: Option<MessageKind>,
    /// Deliveries that are so far.
    pub state: Option<DeliveryState>,
}

/// What became of the wish to send a message once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is sent again.
    Yes,
    /// There is no such message.
    Unknown,
    /// It named an erased user, and nobody knows any more which.
    Forgotten,
}

impl HookEvent {
    /// All of them, in the order in which they happen.
    pub const ALL: [HookEvent; 4] =
        [HookEvent::CallStarted, HookEvent::CallEnded, HookEvent::RecordingReady, HookEvent::UserErased];

    /// The word in tables, in configurations and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HookEvent::CallStarted => "call.started",
            HookEvent::CallEnded => "call.ended",
            HookEvent::RecordingReady => "recording.ready",
            HookEvent::UserErased => "user.erased",
        }
    }

    /// The event of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<HookEvent> {
        HookEvent::ALL.into_iter().find(|event| event.name() == name)
    }
}

impl MessageKind {
    /// The word in tables and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::Event(event) => event.name(),
            MessageKind::BudgetThreshold => "budget.threshold",
            MessageKind::ProviderExcess => "provider.excess",
            MessageKind::Incident(kind) => kind.name(),
        }
    }
}

impl Delivery {
    /// The attempt to deliver it that it was claimed for.
    #[must_use]
    pub fn claimed(&self) -> Claimed<'_> {
        Claimed { id: &self.id, attempts: self.attempts, due_since_ms: self.due_since_ms }
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> DeliveryState {
        match (self.next_attempt_at_ms, self.delivered_at_ms) {
            (Some(_), _) => DeliveryState::Waiting,
            (None, Some(_)) => DeliveryState::Delivered,
            (None, None) => DeliveryState::GivenUp,
        }
    }
}
