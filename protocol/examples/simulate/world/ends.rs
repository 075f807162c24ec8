//! What a driver does at either end of the link.

use std::time::Duration;

use bytes::Bytes;
use protocol::client::{self, Event, State};
use protocol::relay::{self, Attachment, Handshake, Link};
use protocol::{CloseCode, Codec, Features, Gap, Limits, Mark, Prices, RelayMessage, Upward, Usage};

use super::proof::What;
use super::{CONTROL_PER_SECOND, Downlink, Heard, Stored, World};
use crate::network::{Connection, Packet};
use crate::random::Random;

impl World {
    pub(super) fn arrived_at_client(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::Opened => self.input(client::Input::Opened),
            Packet::Text(text) => self.input(client::Input::Text(&text)),
            Packet::Binary(frame) => self.input(client::Input::Binary(&frame)),
            Packet::Closed(code) => {
                self.client_connection = None;
                self.closed_in_order = code == CloseCode::Normal.code();
                self.input(client::Input::Closed { code })
            }
        }
    }

    pub(super) fn arrived_at_relay(&mut self, id: u32, packet: Packet) -> Result<(), String> {
        if let Some(place) = self.greeting.iter().position(|waiting| *waiting == id) {
            if let Packet::Text(text) = &packet {
                self.greeting.swap_remove(place);
                return self.greet(id, text);
            }
            if matches!(packet, Packet::Closed(_)) {
                self.greeting.swap_remove(place);
            }
            return Ok(());
        }
        if self.relay_connection != Some(id) {
            return Ok(());
        }
        match packet {
            Packet::Opened => Ok(()),
            Packet::Text(text) => self.relay_input(relay::Input::Text(&text)),
            Packet::Binary(frame) => self.relay_input(relay::Input::Binary(frame)),
            Packet::Closed(_) => {
                self.relay_connection = None;
                self.relay_input(relay::Input::Closed)
            }
        }
    }

    /// What a relay's driver does with a connection's first message.
    fn greet(&mut self, id: u32, text: &str) -> Result<(), String> {
        let hello =
            Handshake::new(self.now).handle_text(text).map_err(|refusal| format!("refused: {refusal:?}"))?;
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let used = hello.resume.as_ref().map(|resume| resume.resume_token.clone()).unwrap_or_default();
        let own = |stored: &&Stored| {
            hello.resume.as_ref().is_some_and(|resume| resume.session_id == stored.session_id)
        };
        let accepted = match (&self.link, &self.stored) {
            (Some(link), _) => link.accepts(&used),
            (None, Some(stored)) => stored.resume_tokens.contains(&used),
            (None, None) => false,
        };
        // The store keeps two tokens only: a crash right after two attempts that overtook each other may cost the session.
        let lives = self.link.as_ref().is_some_and(|link| !link.is_over());
        let refuses_its_own = self.stored.as_ref().filter(own).is_some() && lives && !accepted;
        let known = self.stored.as_ref().filter(own).filter(|_| accepted);
        let attachment = match (known, &hello.resume) {
            (Some(stored), _) => {
                let (epoch, committed, session_id) =
                    (stored.epoch, stored.committed, stored.session_id.clone());
                if self.link.is_none() {
                    let config = self.relay_config(&session_id);
                    self.link = Some(Link::recovered(self.now, config, epoch + 1, committed));
                    self.downlink = Downlink::default();
                }
                Attachment::Resume
            }
            // A connection the client has given up in the meantime begins a session of its own, which nobody uses.
            (None, _) if self.client_connection != Some(id) => return Ok(()),
            (None, resume) => {
                let session_id = format!("session-{id}");
                let config = self.relay_config(&session_id);
                self.link = Some(Link::new(self.now, config, hello.start));
                self.stored = Some(Stored { session_id, committed: hello.start, ..Stored::default() });
                self.downlink = Downlink::default();
                if resume.is_some() { Attachment::Instead } else { Attachment::New }
            }
        };
        if attachment == Attachment::Instead && refuses_its_own {
            return Err("a session that lives refused its own client".into());
        }
        self.tally.failed_resumes += u64::from(attachment == Attachment::Instead);
        if let Some(old) = self.relay_connection.replace(id) {
            self.close_relay_end(old, CloseCode::Replaced.code());
        }
        self.relay_input(relay::Input::Attach { hello: &hello, attachment, resume_token: &token })?;
        if attachment != Attachment::Resume {
            self.forget_from(hello.start)?;
        }
        if let (Some(stored), Some(link)) = (&mut self.stored, &self.link) {
            stored.epoch = link.epoch();
            stored.resume_tokens = vec![token, used];
        }
        Ok(())
    }

    fn relay_config(&mut self, session_id: &str) -> relay::Config {
        let is_old = self.random.percent(self.scenario.old_percent);
        self.tally.old_relays += u64::from(is_old);
        relay::Config {
            agent: None,
            features: if is_old { &[] } else { Features::RELAY },
            conversation_id: "conversation".into(),
            session_id: session_id.into(),
            limits: Limits {
                session_ms: 3_600_000,
                idle_ms: 600_000,
                chunk_min_bytes: 2,
                chunk_max_bytes: 100_000,
                burst_ms: 65_000,
                budget_nano_usd: 0,
            },
            control_per_second: self.scenario.control_per_second,
            prices: Prices::default(),
            agent_codec: Codec::PcmS16le24000,
            recording: false,
            heartbeat: Duration::from_secs(15),
            resume_window: self.scenario.resume_window,
        }
    }

    /// A relay lost its memory (or a new session began): what it heard beyond this place it will hear again.
    fn forget_from(&mut self, mark: Mark) -> Result<(), String> {
        while let Some(last) = self.heard.pop_if(|last| last.to.seq > mark.seq) {
            if last.from.seq < mark.seq {
                self.heard.push(Heard { to: mark, ..last });
            }
        }
        let end = self.heard.last().map_or(0, |last| last.to.position);
        if end != mark.position {
            return Err(format!("the relay goes on at {} but has only heard {end}", mark.position));
        }
        self.expected = mark;
        Ok(())
    }

    pub(super) fn input(&mut self, input: client::Input<'_>) -> Result<(), String> {
        self.client.handle_input(self.now, input);
        self.drain()
    }

    pub(super) fn drain(&mut self) -> Result<(), String> {
        let mut token_wanted = false;
        while let Some(output) = self.client.poll_output() {
            let send = |packet, connections: &mut Vec<Connection>, random: &mut Random| {
                let connection = connections.iter_mut().find(|one| Some(one.id) == self.client_connection);
                if let Some(connection) = connection {
                    connection.send_to_relay(self.now, packet, random);
                }
            };
            match output {
                client::Output::RequestToken => token_wanted = true,
                client::Output::Text(text) => {
                    send(Packet::Text(text), &mut self.connections, &mut self.random);
                }
                client::Output::Binary(frame) => {
                    send(Packet::Binary(Bytes::from_owner(frame)), &mut self.connections, &mut self.random);
                }
                client::Output::Disconnect { code } => {
                    send(Packet::Closed(code), &mut self.connections, &mut self.random);
                    self.client_connection = None;
                }
                client::Output::Connect => {
                    self.tally.connections += 1;
                    self.next_id += 1;
                    let id = self.next_id;
                    self.client_connection = Some(id);
                    let faults = self.scenario.faults && !self.hung_up;
                    let mut connection = Connection::new(id, &mut self.random, faults, self.scenario.slow);
                    let away = self
                        .scenario
                        .outage
                        .is_some_and(|(from, length)| self.now >= from && self.now.since(from) < length);
                    if away {
                        connection.cut(self.now, &mut self.random);
                    } else {
                        connection.send_to_client(self.now, Packet::Opened, &mut self.random);
                        self.greeting.push(id);
                    }
                    self.connections.push(connection);
                }
                client::Output::AskWhy => {
                    if self.asked.is_some() {
                        return Err("it was asked why twice at a time".into());
                    }
                    self.asked = Some(self.now + Duration::from_millis(self.random.between(0, 5_000)));
                }
                client::Output::Play { codec, position, payload } => {
                    self.downlink.heard.push(format!("{} {position} {}", codec.name(), payload.len()));
                }
                client::Output::FlushPlayout => self.downlink.heard.push("flush".into()),
                // The relay here ends no reply, but what is left of a lost one's ends when another epoch begins.
                client::Output::EndOfReply | client::Output::HoldPlayout(_) => {}
                client::Output::Event(Event::Transcript(turn)) => self.downlink.heard.push(turn.text),
                client::Output::Event(Event::Agent(state)) => self.downlink.heard.push(format!("{state:?}")),
                client::Output::Event(Event::Gap(gap)) => {
                    self.tally.gaps += 1;
                    self.tally.missing_samples += u64::from(gap.samples);
                    self.told_gaps.push((gap.position, gap.position + gap.samples));
                }
                client::Output::Event(Event::Undelivered(message)) => {
                    self.tally.undelivered += 1;
                    let number = number_of(&message)? as usize;
                    let typed = self.typed.get_mut(number).ok_or("a text that nobody typed")?;
                    if std::mem::replace(&mut typed.undelivered, true) {
                        return Err(format!("text {number} was told twice not to be delivered"));
                    }
                }
                client::Output::Event(Event::State(State::Connected)) => self.tally.connected = true,
                client::Output::Event(Event::Ended { code, .. }) => self.ended = Some(code),
                client::Output::Event(_) => {}
            }
        }
        if token_wanted {
            return self.input(client::Input::Token(Ok("a token")));
        }
        Ok(())
    }

    /// Whatever stands at the address of a relay that is away for a while, its client comes back.
    pub(super) fn answer_why(&mut self) -> Result<(), String> {
        self.asked = None;
        let late = r#"{"status":503,"code":"relay_full","detail":"Later.","retry_after_ms":700}"#;
        let statuses = if self.tally.connected { [404, 302, 405, 200] } else { [502, 403, 500, 400] };
        let answer = match self.random.between(0, 4) {
            0 => None,
            1 => Some((426, "")),
            2 => Some((503, late)),
            _ => Some((statuses[self.random.between(0, 3) as usize], "<!doctype html>")),
        };
        self.input(client::Input::Why(answer.map(|(status, body)| client::Answer { status, body })))
    }

    pub(super) fn relay_input(&mut self, input: relay::Input<'_>) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        link.handle_input(self.now, input);
        let (mut heard, mut bye, mut over, mut goes_on) = (Vec::new(), false, false, None);
        while let Some(output) = link.poll_output() {
            let connection = self.connections.iter_mut().find(|one| Some(one.id) == self.relay_connection);
            match (output, connection) {
                (relay::Output::Text(text), Some(connection)) => {
                    if let Ok(RelayMessage::Resumed(resumed)) = RelayMessage::parse(&text) {
                        goes_on = Some(resumed.received);
                    }
                    connection.send_to_client(self.now, Packet::Text(text), &mut self.random);
                }
                (relay::Output::Binary(frame), Some(connection)) => {
                    connection.send_to_client(self.now, Packet::Binary(frame), &mut self.random);
                }
                (relay::Output::Close(code), Some(connection)) => {
                    if code == CloseCode::Limited {
                        self.tally.limited += 1;
                        if self.scenario.control_per_second == CONTROL_PER_SECOND {
                            return Err("an honest client was limited".into());
                        }
                    }
                    connection.send_to_client(self.now, Packet::Closed(code.code()), &mut self.random);
                    self.relay_connection = None;
                }
                (relay::Output::Audio { mark, payload }, _) => {
                    check_samples(mark, &payload)?;
                    let to = Mark { seq: mark.seq + 1, position: mark.position + (payload.len() / 2) as u32 };
                    heard.push(Heard { from: mark, to, what: What::Audio });
                }
                (relay::Output::Message { mark, message }, _) => {
                    let to = Mark { seq: mark.seq + 1, ..mark };
                    heard.push(Heard { from: mark, to, what: What::Text(number_of(&message)?) });
                }
                (relay::Output::Gap(Gap { from, to }), _) => heard.push(Heard { from, to, what: What::Gap }),
                (relay::Output::Bye, _) => bye = true,
                (relay::Output::Ended(CloseCode::Abnormal), _) => over = true,
                (relay::Output::Ended(code), _) => {
                    return Err(format!("the relay ended the session: {code:?}"));
                }
                _ => {}
            }
        }
        if let Some(mark) = goes_on {
            self.forget_from(mark)?;
        }
        for heard in heard {
            self.hear(heard)?;
        }
        if over {
            // Nobody came back: the session's row is ended, and a resume will fail.
            self.link = None;
            self.stored = None;
        }
        if bye {
            self.relay_input(relay::Input::End { code: CloseCode::Normal, usage: Usage::default() })?;
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> Result<(), String> {
        let end = self.heard.last().map_or(Mark::default(), |last| last.to);
        if heard.from != end {
            return Err(format!("heard {heard:?} after {end:?}"));
        }
        self.heard.push(heard);
        self.expected = heard.to;
        // Sometimes the transcript reaches up to here, or everything so far was silence.
        if heard.what != What::Gap && self.random.percent(20) {
            let committed = self.expected;
            // Nothing is told to be committed that is not stored before.
            if let Some(stored) = self.stored.as_mut() {
                stored.committed = committed;
            }
            // And now and then the client never hears of it.
            if self.random.percent(90) {
                self.relay_input(relay::Input::Commit(committed))?;
            }
        }
        Ok(())
    }

    pub(super) fn close_relay_end(&mut self, id: u32, code: u16) {
        if let Some(connection) = self.connections.iter_mut().find(|one| one.id == id) {
            connection.send_to_client(self.now, Packet::Closed(code), &mut self.random);
        }
    }
}

/// A text begins with its number.
fn number_of(message: &Upward) -> Result<u32, String> {
    let Upward::Text { text } = message else { return Err(format!("nobody said {message:?}")) };
    let number = text.split(' ').next().unwrap_or_default();
    number.parse().map_err(|_| format!("a broken text: {text}"))
}

/// The user's voice is its own position, so a sample in the wrong place is seen.
fn check_samples(mark: Mark, payload: &[u8]) -> Result<(), String> {
    for (index, bytes) in payload.chunks_exact(2).enumerate() {
        let position = mark.position + index as u32;
        if i16::from_le_bytes([bytes[0], bytes[1]]) != position as i16 {
            return Err(format!("a wrong sample at {position}"));
        }
    }
    Ok(())
}
