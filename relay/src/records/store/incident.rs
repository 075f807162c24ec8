//! What operators are told of the service as a whole: an outbox with a row for each beginning and each end.

use std::time::Duration;

use super::types::Claimed;

/// What may be wrong with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IncidentKind {
    /// A provider fails, and is not asked.
    ProviderDown,
    /// Of the calls that have ended, too many failed. Both numbers are in calls of a hundred.
    CallsFailing,
    /// Of a hundred answers, five take too long. Both numbers are in milliseconds.
    AnswersSlow,
}

/// Whether it is so now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentState {
    /// It is.
    Firing,
    /// It was, and is not any more.
    Resolved,
}

/// What a relay has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIncident {
    /// What is meant.
    pub kind: IncidentKind,
    /// The provider, by its name in the configuration. Empty where all calls are meant.
    pub subject: String,
    /// Whether it is so.
    pub state: IncidentState,
    /// What was measured; 0 where nothing is.
    pub value: u32,
    /// What it is measured by; 0 where nothing is.
    pub threshold: u32,
}

/// How much is told of what goes on, or comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentPace {
    /// After what time an incident that goes on is told again.
    pub again: Duration,
    /// For how long no relay must have found an incident until it is over.
    pub calm: Duration,
}

/// An incident on its way to the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The alert's id, a UUID v7.
    pub id: String,
    /// What is meant.
    pub kind: IncidentKind,
    /// The provider, by its name in the configuration. Empty where all calls are meant.
    pub subject: String,
    /// Whether it is so.
    pub state: IncidentState,
    /// What was measured; 0 where nothing is.
    pub value: u32,
    /// What it is measured by; 0 where nothing is.
    pub threshold: u32,
    /// When it was written, by the database's clock, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Since when it is to be sent, in milliseconds since 1970: since it was written, or since it was last repeated by an administrator.
    pub due_since_ms: i64,
    /// How often it was sent to the webhook since then.
    pub attempts: u32,
}

impl IncidentKind {
    /// All of them.
    pub const ALL: [IncidentKind; 3] =
        [IncidentKind::ProviderDown, IncidentKind::CallsFailing, IncidentKind::AnswersSlow];

    /// The word in the table and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            IncidentKind::ProviderDown => "provider.down",
            IncidentKind::CallsFailing => "calls.failing",
            IncidentKind::AnswersSlow => "answers.slow",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<IncidentKind> {
        IncidentKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Incident {
    /// The attempt to deliver it that it was claimed for.
    #[must_use]
    pub fn claimed(&self) -> Claimed<'_> {
        Claimed { id: &self.id, attempts: self.attempts, due_since_ms: self.due_since_ms }
    }
}

impl IncidentState {
    /// The word in the table and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            IncidentState::Firing => "firing",
            IncidentState::Resolved => "resolved",
        }
    }
}
