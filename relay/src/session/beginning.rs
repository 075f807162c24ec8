//! How a session begins, or goes on after another relay had it: from what the store says to the session's machine. The relay and the
//! simulation share this.

use std::time::Duration;

use protocol::relay::{Elsewhere, Link};
use protocol::{Codec, Features, Mark, Prices, Resume, Time};

use super::journal::Journal;
use super::machine::Machine;
use super::policy::{self, Policy};
use crate::admission::auth::Identity;
use crate::agent::Agent;
use crate::call::{AHEAD, Call, Start, Turn};
use crate::money::bill::ItemPrice;
use crate::money::budget::{Caps, Grant, Range, Standing};
use crate::money::ledger::ItemSum;
use crate::money::meter::Meter;
use crate::money::price::Price;
use crate::money::tab::Tab;
use crate::records::store::{Inherited, NewSession, SaidRow, TakenOver};

/// The features that this relay speaks beyond the first version of the protocol, with every agent.
pub const FEATURES: &[&str] = &[Features::SAMPLES, "text", "correction", "playback"];
/// The features that this relay speaks with an agent that holds a conversation and can call tools.
pub const FEATURES_OF_TOOLS: &[&str] = &[
    Features::SAMPLES,
    "text",
    "correction",
    "playback",
    "say",
    "context",
    "variables",
    "barge_in",
    "tool_result",
];
/// The features that this relay speaks with an agent that holds a conversation: all but the last of those.
pub const FEATURES_OF_CHAT: &[&str] = FEATURES_OF_TOOLS.split_at(FEATURES_OF_TOOLS.len() - 1).0;
/// How much listening has to be paid for before a session begins.
const FIRST: Duration = Duration::from_secs(1);

/// Where a session begins, or goes on after another relay had it.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The session's id.
    pub id: String,
    /// The conversation that the session belongs to.
    pub conversation_id: String,
    /// The session's epoch, which rises with each relay that takes the session over.
    pub epoch: u32,
    /// What the session used at other relays, if it was taken over.
    pub recovered: Option<Elsewhere>,
    /// How often the session was resumed before.
    pub reconnects: u32,
    /// The mark of the next frame.
    pub mark: Mark,
    /// The mark of the client's first frame: what comes before [`Beginning::mark`] is committed already.
    pub begins: Mark,
    /// The number of the next turn.
    pub turn: u32,
    /// The sums of the session's ledger rows, by item and unit.
    pub sums: Vec<ItemSum>,
    /// What is set aside for the session.
    pub grant: Grant,
    /// See [`Start::replayable`].
    pub replayable: u32,
    /// See [`Start::metered_through`].
    pub metered_through: u32,
    /// The number of the session's newest settlement.
    pub settlements: u32,
    /// See [`Start::broken_off`].
    pub broken_off: Vec<Turn>,
    /// The words of those answers of which nothing was heard, oldest first.
    pub unheard: Vec<String>,
}

/// The terms that apply to a session at this relay.
#[derive(Debug)]
pub struct Terms {
    /// The agent's name.
    pub agent: String,
    /// The features that the session speaks beyond the first version of the protocol.
    pub features: &'static [&'static str],
    /// What listening costs.
    pub listening: Price,
    /// What the agent's providers cost, by their places.
    pub items: Vec<ItemPrice>,
    /// What the session, its user and its account may spend.
    pub caps: Caps,
    /// The limits of the session, as the page is told them.
    pub limits: protocol::Limits,
    /// The prices of the session, as the page is told them.
    pub prices: Prices,
    /// How many control messages a second the client may send.
    pub control_per_second: u32,
    /// The codec of the agent's audio.
    pub agent_codec: Codec,
    /// Whether the call is recorded.
    pub is_recorded: bool,
    /// How often the client is to send `ping`.
    pub heartbeat: Duration,
    /// How long a session without a connection is kept.
    pub resume_window: Duration,
    /// What the access token says that the session begins with.
    pub identity: Identity,
    /// How long the access token is good.
    pub token_left: Duration,
    /// How long a call goes on after its token has expired.
    pub token_grace: Duration,
    /// How long a call goes on while the database is away.
    pub store_grace: Duration,
    /// When the session has to stop unless the lease is renewed, because another relay may take it over soon after.
    pub lease: Time,
    /// Seeds of the waits that are to differ between sessions: the policy's and the journal's.
    pub seeds: [u64; 2],
}

impl Beginning {
    /// A session that begins now, with what it takes over from the one that it is instead of.
    #[must_use]
    pub fn new(session: &NewSession, grant: Grant, inherited: Inherited) -> Beginning {
        Beginning {
            id: session.id.clone(),
            conversation_id: session.conversation_id.clone(),
            epoch: session.epoch,
            recovered: None,
            reconnects: 0,
            mark: inherited.committed,
            begins: session.committed,
            turn: 0,
            sums: Vec::new(),
            grant,
            replayable: inherited.paid,
            metered_through: inherited.metered_through,
            settlements: 0,
            broken_off: Vec::new(),
            unheard: Vec::new(),
        }
    }

    /// A session that another relay had, taken over at `at_ms`, in milliseconds since 1970, for a client that came back with this. The agent speaks
    /// at so many samples a second.
    #[must_use]
    pub fn taken_over(taken: TakenOver, resume: &Resume, rate: u32, caps: Caps, at_ms: i64) -> Beginning {
        let TakenOver { session: row, next_turn, metered_at_ms, by_item, unheard: answers } = taken;
        // Of the client's own epoch it says what it has played. Where a take-over came to nothing in between, it does not know of that, and has
        // played nothing of what was said since; and what that relay had taken back is taken back now, unless it came to write that.
        let (mut broken_off, mut unheard) = (Vec::new(), Vec::new());
        for (epoch, answer) in answers.into_iter().filter(|(epoch, _)| *epoch >= resume.epoch) {
            // A client of an earlier version does not say it: all that is stored stays.
            let Some(played) = resume.played else { break };
            let words = answer.text.clone();
            let left = answer.broken_off(if epoch == resume.epoch { played } else { 0 }, rate);
            // A relay that the client never heard of may have said the same again.
            if left.text.is_empty() && !words.is_empty() && !unheard.contains(&words) {
                unheard.push(words);
            }
            broken_off.push(left);
        }
        let elsewhere = Elsewhere {
            age: since(row.started_at_ms, at_ms),
            quiet: since(metered_at_ms.unwrap_or(row.started_at_ms), at_ms),
            again: row.replayable_samples,
            heard: row.audio_samples,
            resumes: row.reconnects,
            strikes: row.strikes,
        };
        Beginning {
            id: row.id,
            conversation_id: row.conversation_id,
            epoch: row.epoch,
            recovered: Some(elsewhere),
            reconnects: row.reconnects,
            mark: row.committed,
            begins: row.committed,
            turn: next_turn,
            sums: by_item,
            // No more is set aside than is spent already. The first audio asks for more.
            grant: Grant { authorised: row.authorised, standing: Standing::unused(caps) },
            replayable: row.replayable_samples,
            metered_through: row.metered_position,
            settlements: row.settlements,
            broken_off,
            unheard,
        }
    }

    /// Corrects what was said in the session's conversation by what was heard of it. Other sessions of the conversation have turns of the same
    /// numbers.
    pub fn correct(&self, said: &mut [SaidRow]) {
        for heard in &self.broken_off {
            let stored = said.iter_mut().find(|said| {
                said.session_id == self.id
                    && (said.row.turn.role, said.row.turn.turn) == (heard.role, heard.turn)
            });
            if let Some(stored) = stored {
                stored.row.turn.clone_from(heard);
            }
        }
    }

    /// Makes the session's machine, with an agent that begins to hear at [`Beginning::mark`].
    #[must_use]
    pub fn machine(self, now: Time, terms: Terms, agent: Box<dyn Agent>) -> Machine {
        let age = self.recovered.as_ref().map_or(Duration::ZERO, |elsewhere| elsewhere.age);
        let left = Duration::from_millis(terms.limits.session_ms).saturating_sub(age);
        let start = Start {
            mark: self.mark,
            turn: self.turn,
            tab: Tab::after(&terms.listening, terms.items, self.epoch, &self.sums),
            caps: terms.caps,
            grant: self.grant,
            is_taken_over: self.recovered.is_some(),
            replayable: self.replayable,
            metered_through: self.metered_through,
            ends: Some(now + left),
            broken_off: self.broken_off,
        };
        let link = protocol::relay::Config {
            session_id: self.id,
            conversation_id: self.conversation_id,
            limits: terms.limits,
            prices: terms.prices,
            control_per_second: terms.control_per_second,
            agent_codec: terms.agent_codec,
            recording: terms.is_recorded,
            heartbeat: terms.heartbeat,
            resume_window: terms.resume_window,
            agent: Some(terms.agent),
            features: terms.features,
        };
        let link = match self.recovered {
            Some(elsewhere) => {
                let mut link = Link::recovered(now, link, self.epoch, self.mark);
                link.carry_over(&elsewhere);
                link
            }
            None => {
                let mut link = Link::new(now, link, self.begins);
                link.inherit(self.mark);
                link
            }
        };
        let [policy_seed, journal_seed] = terms.seeds;
        let policy = policy::Config {
            identity: terms.identity,
            left: terms.token_left,
            token_grace: terms.token_grace,
            store_grace: terms.store_grace,
            lease: terms.lease,
            reconnects: self.reconnects,
            seed: policy_seed,
        };
        Machine::new(
            now,
            link,
            Call::new(now, agent, start),
            Policy::new(now, policy),
            Journal::new(journal_seed),
            self.settlements,
            terms.is_recorded,
        )
    }
}

/// How much money is set aside for a session when it begins.
#[must_use]
pub fn first_money(listening: &Price) -> Range {
    let meter = Meter::new(listening.clone(), Codec::PcmS16le16000.rate());
    Range { at_least: meter.price_of(FIRST), at_most: meter.price_of(AHEAD) }
}

/// The time from `at_ms` to `now_ms`, both in milliseconds since 1970. Zero if `at_ms` is later.
pub(super) fn since(at_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(at_ms)).unwrap_or_default())
}
