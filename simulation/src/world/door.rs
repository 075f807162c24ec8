//! From a connection's first message to the session that it belongs to: a new one, a living one, or one that is taken over from the store.

use std::net::Ipv4Addr;
use std::time::Duration;

use ::relay::NanoUsd;
use ::relay::admission::throttle;
use ::relay::agent::Team;
use ::relay::money::bill::{Billing, ItemPrice};
use ::relay::provider::{Provider, Service, Skills};
use ::relay::records::store::{NewSession, Opened, Quota, SessionState, TakeOver, TakenOver};
use ::relay::session::beginning::{Beginning, first_money};
use ::relay::session::resume::{
    claims_too_much, end_again, ended_with, instead_of, may_take_over, next_token, resume_hash, was_hung_up,
};
use protocol::relay::{Attachment, Handshake, Refusal};
use protocol::{CloseCode, ErrorCode, Hello, RelayMessage, Time};

use super::session::Command;
use super::{ACCOUNT, Fixed, USER, World};
use crate::network::Packet;
use crate::scenario::Who;

/// How long a relay may take to hand a session over, and between two looks at whether it has.
const HAND_OFF_TIMEOUT: Duration = Duration::from_secs(4);
const HAND_OFF_LOOK: Duration = Duration::from_millis(100);

/// A connection that has no session yet.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) connection: u32,
    pub(super) relay: usize,
    /// `None` until it has said who it is.
    hello: Option<Hello>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// It is to say who it is, by then.
    Greeting(Time),
    /// Whether another relay has the session is looked up at this time, and until then at the latest.
    Asking { at: Time, until: Time },
    /// The session is taken over at this time.
    Taking(Time),
    /// It was, and this relay hears of it then.
    Taken { at: Time, taken: Box<TakenOver>, token: String },
    /// A new session is written at this time.
    Opening { at: Time, attachment: Attachment },
    /// It was, and this relay hears of it then.
    Opened { at: Time, attachment: Attachment, beginning: Box<Beginning>, token: String },
}

impl Door {
    pub(super) fn new(connection: u32, relay: usize, now: Time) -> Door {
        let until = Handshake::new(now).poll_timeout();
        Door { connection, relay, hello: None, phase: Phase::Greeting(until) }
    }

    pub(super) fn is_greeting(&self) -> bool {
        self.hello.is_none()
    }

    pub(super) fn due(&self) -> Option<Time> {
        Some(match &self.phase {
            Phase::Greeting(at)
            | Phase::Asking { at, .. }
            | Phase::Taking(at)
            | Phase::Taken { at, .. }
            | Phase::Opening { at, .. }
            | Phase::Opened { at, .. } => *at,
        })
    }

    fn session(&self) -> Option<&str> {
        Some(&self.hello.as_ref()?.resume.as_ref()?.session_id)
    }
}

impl<'a> World<'a> {
    pub(super) fn greet(&mut self, connection: u32, packet: &Packet) -> Result<(), String> {
        let Some(place) = self.doors.iter().position(|door| door.connection == connection) else {
            return Ok(());
        };
        let door = self.doors.swap_remove(place);
        match packet {
            Packet::Text(text) => match Handshake::new(self.now).handle_text(text) {
                Ok(hello) => self.place(door.connection, door.relay, hello),
                Err(refusal) => Err(format!("an honest client was refused: {refusal:?}")),
            },
            Packet::Closed(_) => Ok(()),
            Packet::Opened | Packet::Binary(_) => Err("something came before `hello`".into()),
        }
    }

    /// Brings a connection to its session.
    fn place(&mut self, connection: u32, relay: usize, hello: Hello) -> Result<(), String> {
        let at = self.now + self.store_time();
        if let Some(resume) = &hello.resume {
            return match self.find(relay, &resume.session_id) {
                Some(key) => self.command(key, Command::Resume(connection, Box::new(hello))),
                None => self.rebuild(connection, relay, hello),
            };
        }
        let phase = Phase::Opening { at, attachment: Attachment::New };
        self.doors.push(Door { connection, relay, hello: Some(hello), phase });
        Ok(())
    }

    /// Looks in the store for a session that is not here, or not any more.
    pub(super) fn rebuild(&mut self, connection: u32, relay: usize, hello: Hello) -> Result<(), String> {
        if !self.runs(relay) || !self.relays[relay].is_up() {
            self.close_end(connection, CloseCode::GoingAway);
            return Ok(());
        }
        let phase = Phase::Asking { at: self.now + self.store_time(), until: self.now + HAND_OFF_TIMEOUT };
        self.doors.push(Door { connection, relay, hello: Some(hello), phase });
        Ok(())
    }

    /// A connection comes back, because there is no such session for it.
    pub(super) fn come_back(&mut self, connection: u32, relay: usize, hello: Hello) -> Result<(), String> {
        if !self.runs(relay) || !self.relays[relay].is_up() {
            self.close_end(connection, CloseCode::GoingAway);
            return Ok(());
        }
        let identity = self.identity();
        let row = hello.resume.as_ref().and_then(|resume| self.store.session(&resume.session_id));
        if let (Some(row), Some(resume), false) = (row, &hello.resume, self.is_away())
            && was_hung_up(&row, resume, &identity)
        {
            self.truth.is_told_again = true;
            for message in end_again(&row, resume, NanoUsd::ZERO) {
                self.send_text(connection, message.to_json());
            }
            self.close_end(connection, CloseCode::Normal);
            return Ok(());
        }
        self.tally.failed_resumes += 1;
        let phase = Phase::Opening { at: self.now + self.store_time(), attachment: Attachment::Instead };
        self.doors.push(Door { connection, relay, hello: Some(hello), phase });
        Ok(())
    }

    pub(super) fn step_doors(&mut self) -> Result<(), String> {
        while let Some(place) =
            self.doors.iter().position(|door| door.due().is_some_and(|due| due <= self.now))
        {
            let door = self.doors.swap_remove(place);
            self.step_door(door)?;
        }
        Ok(())
    }

    fn step_door(&mut self, door: Door) -> Result<(), String> {
        let Door { connection, relay, hello, phase } = door;
        let Some(hello) = hello else {
            self.refuse(connection, Refusal::unauthorized());
            return Ok(());
        };
        match phase {
            Phase::Greeting(_) => Ok(()),
            Phase::Asking { at, until } => self.ask_for(connection, relay, hello, at, until),
            Phase::Taking(_) => self.take_over(connection, relay, hello),
            Phase::Taken { taken, token, .. } => {
                let Some(resume) = &hello.resume else { return Ok(()) };
                let (rate, caps) = (self.scenario.agent_codec.rate(), self.scenario.caps);
                let mut beginning = Beginning::taken_over(*taken, resume, rate, caps, self.unix_ms());
                if !self.scenario.who.is_conversation() {
                    beginning.broken_off.clear();
                }
                for turn in &beginning.broken_off {
                    self.tally.broken_off += u64::from(turn.heard < Some(turn.end));
                    let of_session = self.truth.broken_off.entry(beginning.id.clone()).or_default();
                    of_session.push(turn.clone());
                }
                if !beginning.broken_off.is_empty() && !self.is_away() {
                    let (now, epoch) = (self.unix_ms(), beginning.epoch);
                    let (mark, again) = (beginning.mark, beginning.replayable);
                    // Refused, it is written by the call.
                    let _ =
                        self.store.save_turns(now, &beginning.id, epoch, &beginning.broken_off, mark, again);
                }
                self.begin(connection, relay, hello, Attachment::Resume, beginning, token)
            }
            Phase::Opening { attachment, .. } => self.open(connection, relay, hello, attachment),
            Phase::Opened { attachment, beginning, token, .. } => {
                self.begin(connection, relay, hello, attachment, *beginning, token)
            }
        }
    }

    fn ask_for(
        &mut self,
        connection: u32,
        relay: usize,
        hello: Hello,
        at: Time,
        until: Time,
    ) -> Result<(), String> {
        if self.is_away() {
            self.refuse(connection, later());
            return Ok(());
        }
        let (id, unix_ms) = (self.relays[relay].id.clone(), self.unix_ms());
        let lost = self.relays[relay].lease.lost(self.now);
        let identity = self.identity();
        let Some(resume) = &hello.resume else { return Ok(()) };
        let row = self.store.session(&resume.session_id);
        let is_meant = row.is_some_and(|row| {
            may_take_over(&row, &resume.resume_token, &identity) && !claims_too_much(&row, hello.start)
        });
        let session = resume.session_id.clone();
        let phase = if is_meant && self.store.ask_for(unix_ms, &session, &id, lost) && at < until {
            Phase::Asking { at: self.now + HAND_OFF_LOOK, until }
        } else {
            Phase::Taking(self.now + self.store_time())
        };
        self.doors.push(Door { connection, relay, hello: Some(hello), phase });
        Ok(())
    }

    fn take_over(&mut self, connection: u32, relay: usize, hello: Hello) -> Result<(), String> {
        let Some(resume) = hello.resume.clone() else { return Ok(()) };
        if let Some(key) = self.find(relay, &resume.session_id) {
            return self.command(key, Command::Resume(connection, Box::new(hello)));
        }
        // One connection at a time rebuilds a session.
        let is_rebuilt = self.doors.iter().any(|door| {
            door.relay == relay
                && door.session() == Some(&resume.session_id)
                && matches!(door.phase, Phase::Taken { .. })
        });
        if is_rebuilt {
            let phase = Phase::Taking(self.now + HAND_OFF_LOOK);
            self.doors.push(Door { connection, relay, hello: Some(hello), phase });
            return Ok(());
        }
        if self.is_away() {
            self.refuse(connection, later());
            return Ok(());
        }
        let (unix_ms, identity) = (self.unix_ms(), self.identity());
        let row = self.store.session(&resume.session_id);
        if let Some(row) = &row
            && ended_with(row, CloseCode::EndedByOperator, &resume, &identity)
        {
            self.close_end(connection, CloseCode::EndedByOperator);
            return Ok(());
        }
        let Some(row) = row.filter(|row| row.state == SessionState::Live) else {
            return self.come_back(connection, relay, hello);
        };
        if !may_take_over(&row, &resume.resume_token, &identity) || claims_too_much(&row, hello.start) {
            if self.page.connection != Some(connection) {
                return self.come_back(connection, relay, hello);
            }
            // This client tells nobody but what it was told.
            return Err(format!("the live session {} is refused to its own client", row.id));
        }
        let age = Duration::from_millis((unix_ms - row.started_at_ms).max(0) as u64);
        if let Err(excess) = throttle::resumed_elsewhere(row.reconnects, age) {
            self.refuse(connection, excess.to_refusal());
            return Ok(());
        }
        if !self.replay(relay, Some(&row.id)) {
            self.refuse(connection, later());
            return Ok(());
        }
        let (token, newest) = next_token(&row, &resume.resume_token, self.resume_token());
        let by = TakeOver {
            epoch: row.epoch,
            resume_hash: newest,
            previous: resume_hash(&resume.resume_token),
            relay: self.relays[relay].id.clone(),
            lease: self.lease(),
        };
        let taken = self.store.take_over(unix_ms, &row.id, &by);
        self.check_budgets()?;
        let Some(taken) = taken else {
            self.refuse(connection, later());
            return Ok(());
        };
        self.tally.take_overs += 1;
        self.say(|world| {
            let again = taken.session.replayable_samples;
            let id = &world.relays[relay].id;
            format!("{id} takes over epoch {}, {again} to be played again", taken.session.epoch)
        });
        if self.loses_answer() {
            self.refuse(connection, later());
            return Ok(());
        }
        let phase = Phase::Taken { at: self.now + self.store_time(), taken: Box::new(taken), token };
        self.doors.push(Door { connection, relay, hello: Some(hello), phase });
        Ok(())
    }

    /// Writes a new session and sets its first money aside.
    fn open(
        &mut self,
        connection: u32,
        relay: usize,
        hello: Hello,
        attachment: Attachment,
    ) -> Result<(), String> {
        if self.is_away() {
            self.refuse(connection, later());
            return Ok(());
        }
        let token = self.resume_token();
        self.truth.sessions += 1;
        let id = format!("session-{}", self.truth.sessions);
        let epoch = match (&hello.resume, attachment) {
            (Some(resume), Attachment::Instead) => resume.epoch.saturating_add(1),
            _ => 0,
        };
        let listening = self.listening().clone();
        let session = NewSession {
            conversation_id: id.clone(),
            user_sub: USER.into(),
            account: ACCOUNT.into(),
            plan: None,
            login: None,
            client: hello.client.clone(),
            agent: "agent".into(),
            started_at_ms: self.unix_ms(),
            epoch,
            committed: hello.start,
            resume_hash: resume_hash(&token),
            recording: None,
            instead_of: hello.resume.as_ref().filter(|_| attachment == Attachment::Instead).map(instead_of),
            id,
        };
        let quota = Quota {
            sessions_per_user: 4,
            sessions_per_account: 8,
            sessions_per_minute: u32::MAX,
            address: Ipv4Addr::LOCALHOST.into(),
            sessions_per_minute_per_address: u32::MAX,
            caps: self.scenario.caps,
            reserve: first_money(&listening),
            relay: self.relays[relay].id.clone(),
            lease: self.lease(),
        };
        let opened = self.store.open_session(self.unix_ms(), &session, &quota);
        self.check_budgets()?;
        if self.loses_answer() {
            self.refuse(connection, later());
            return Ok(());
        }
        let at = self.now + self.store_time();
        match opened {
            Opened::Yes { grant, replaced, inherited } => {
                self.tally.paid_before += u64::from(inherited.paid > 0);
                self.truth.paid(&session.id, inherited.paid);
                if let Some(key) = replaced.and_then(|replaced| self.find(relay, &replaced)) {
                    self.command(key, Command::End(CloseCode::Replaced))?;
                }
                let beginning = Box::new(Beginning::new(&session, grant, inherited));
                let phase = Phase::Opened { at, attachment, beginning, token };
                self.doors.push(Door { connection, relay, hello: Some(hello), phase });
            }
            Opened::UserFull { .. } | Opened::AccountFull { .. } => {
                let mut refusal = Refusal::new(CloseCode::Limited, ErrorCode::SessionLimit);
                refusal.error.retry_after_ms = Some(5_000);
                self.refuse(connection, refusal);
            }
            Opened::NoMoney(shortage) => {
                self.tally.short += 1;
                let close = if shortage.contended { CloseCode::Limited } else { CloseCode::Budget };
                let mut refusal = Refusal::new(close, ErrorCode::Budget);
                refusal.error.retry_after_ms = shortage.contended.then_some(5_000);
                self.refuse(connection, refusal);
            }
            Opened::TooOften(excess) => self.refuse(connection, excess.to_refusal()),
            Opened::NoConversation => return Err("it lost its own conversation".into()),
        }
        Ok(())
    }

    pub(super) fn listening(&self) -> &::relay::money::price::Price {
        match self.scenario.who {
            Who::Voice if self.scenario.is_streamed => &self.fixed.listening[0],
            Who::Echo | Who::Talker => &self.fixed.listening[0],
            Who::Chat | Who::Voice => &self.fixed.listening[1],
        }
    }

    /// Prices of the agent's providers, by their places.
    pub(super) fn items(&self) -> Vec<ItemPrice> {
        let Fixed { item, streams: [first, second], utterances, voice, .. } = self.fixed;
        match self.scenario.who {
            Who::Echo => Vec::new(),
            Who::Chat | Who::Talker => vec![item.clone()],
            Who::Voice => {
                let ears = if self.scenario.is_streamed { [first, second] } else { [utterances; 2] };
                [ears[0], ears[1], item, item, voice, voice].into_iter().cloned().collect()
            }
        }
    }

    /// The model that an agent asks by this place.
    pub(super) fn model(&self, place: usize) -> &'a Provider {
        // Whom a conversation that speaks asks where the first one fails.
        let stands_in = self.scenario.who == Who::Voice && place == 3;
        let [openai, anthropic] = &self.fixed.models;
        if self.scenario.is_anthropic[usize::from(stands_in)] { anthropic } else { openai }
    }

    /// Whom a conversation asks, by these places.
    pub(super) fn team(&self) -> Team {
        if self.scenario.who != Who::Voice {
            return Team { models: vec![0], ..Team::default() };
        }
        let ears = Skills {
            service: Service::SpeechToText,
            is_fed: self.scenario.is_streamed,
            billing: if self.scenario.is_streamed { Billing::Stream } else { Billing::Seconds },
        };
        let voice = Skills { service: Service::TextToSpeech, is_fed: false, billing: Billing::Characters };
        Team {
            recognisers: vec![(0, ears), (1, ears)],
            models: vec![2, 3],
            near_cap: vec![3],
            voices: vec![(4, voice), (5, voice)],
        }
    }

    pub(super) fn resume_token(&mut self) -> String {
        self.tokens += 1;
        format!("token-{}", self.tokens)
    }

    fn refuse(&mut self, connection: u32, refusal: Refusal) {
        self.say(|_| format!("connection {connection} is refused: {}", refusal.close.name()));
        let close = refusal.close;
        self.send_text(connection, RelayMessage::from(refusal.error).to_json());
        self.close_end(connection, close);
    }
}

fn later() -> Refusal {
    let mut refusal = Refusal::new(CloseCode::TryLater, ErrorCode::StoreUnavailable);
    refusal.error.retry_after_ms = Some(1_000);
    refusal
}
