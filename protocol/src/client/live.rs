//! A connection that the relay has answered on: heartbeats, acknowledgements, and whether anything gets through.

use std::time::Duration;

use super::phase::{Attempt, Away, Phase, Timer};
use super::{Client, Event, Pending};
use crate::{ClientAck, Ping, micros};

/// Acknowledgements of the downlink are gathered for this long.
const ACK_DELAY: Duration = Duration::from_millis(200);
/// A connection that held this long makes the backoff start anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Audio sent but not acknowledged for this long leads to a probe.
const UNACKNOWLEDGED_AFTER: Duration = Duration::from_secs(5);
/// The answer to a probe is due within this, and so is the acknowledgement of some audio: when nothing of it gets through for so long, TCP
/// waits for longer and longer between its tries, and another connection is there sooner. Longer than a stalled page's 2 s and most of a
/// lossy link's retransmissions.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// Probes come no closer than this, however often a page wakes up.
const PROBES_APART: Duration = Duration::from_secs(1);
/// How often it is looked at how much audio has got through while some waits.
const PACE_WINDOW: Duration = Duration::from_secs(12);
/// What is said meanwhile, in samples.
pub(super) const REAL_TIME: u32 = 12 * 16_000;
/// A line that lets less audio than this wait keeps up: 2 s, in samples.
const KEEPS_UP: u32 = 2 * 16_000;
/// A line that carries less than one part in so many of what was expected is stuck. Over a network that loses many packets TCP comes to wait for
/// up to two minutes between two of them, and another connection carries a hundred times as much.
const STUCK_PART: u32 = 16;
/// A round trip that takes longer is looked at again soon, so that whoever judges the line need not wait for heartbeats.
const SLOW: Duration = Duration::from_millis(400);
/// How soon. Until so many round trips in a row were faster.
const SLOW_PINGS_APART: Duration = Duration::from_secs(2);
const SLOW_PINGS: u8 = 5;
/// A relay that has not said otherwise wants to hear from its clients this often.
const USUAL_HEARTBEAT: Duration = Duration::from_secs(15);
/// Missed heartbeats after which the other side is dead.
const DEAD_AFTER_HEARTBEATS: u64 = 2;

impl Client {
    /// What a connection begins with.
    pub(super) fn go_live(&mut self) {
        self.set(Timer::Stable, STABLE_AFTER);
        self.progress();
        self.send_ack();
        self.send_ping();
        self.alive();
        self.tell_state();
    }

    pub(super) fn handle_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Token => self.token_is_late(),
            Timer::Dead | Timer::Stalled => self.drop_link(),
            Timer::Heartbeat => self.send_ping(),
            Timer::Pace => self.look_at_pace(),
            Timer::Unacknowledged => {
                self.probe();
                if !self.is_set(Timer::Stalled) {
                    self.set(Timer::Stalled, PROBE_DEADLINE);
                }
            }
            Timer::Ack => self.send_ack(),
            Timer::Stable => self.backoff.reset(),
            // The drain that follows says what the relay does not know yet.
            Timer::Mute | Timer::Turn => {}
            Timer::Move => self.move_on(),
        }
    }

    /// Sets a timer of the connection, if there is one.
    pub(super) fn set(&mut self, timer: Timer, span: Duration) {
        let due = self.now + span;
        if let Phase::Up(up) = &mut self.phase {
            up.timers.set(timer as usize, due);
        }
    }

    /// Lets it ring within this time at the latest.
    fn hasten(&mut self, timer: Timer, span: Duration) {
        let due = self.now + span;
        if let Phase::Up(up) = &mut self.phase {
            up.timers.hasten(timer as usize, due);
        }
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        if let Phase::Up(up) = &mut self.phase {
            up.timers.stop(timer as usize);
        }
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.up().is_some_and(|up| up.timers.is_set(timer as usize))
    }

    /// Something came from the relay. What comes after the connection counts as dead is no sign of life: it lay in a queue while nothing ran
    /// here, as in a machine that slept.
    pub(super) fn alive(&mut self) {
        let dead = self.up().and_then(|up| up.timers.due(Timer::Dead as usize));
        if dead.is_some_and(|dead| dead < self.now) {
            return;
        }
        let dead_after = Duration::from_micros(micros(self.heartbeat()) * DEAD_AFTER_HEARTBEATS);
        self.set(Timer::Dead, dead_after);
    }

    /// Audio gets through: a slow line is not a dead one, and hanging up goes on.
    pub(super) fn progress(&mut self) {
        self.stop(Timer::Unacknowledged);
        self.stop(Timer::Stalled);
        if let Some(closing) = &mut self.closing {
            closing.go_on(self.now);
        }
    }

    /// Finds out soon whether the link lives.
    pub(super) fn probe(&mut self) {
        match &mut self.phase {
            Phase::Up(up) => {
                if up.probed.is_none_or(|probed| self.now.since(probed) >= PROBES_APART) {
                    up.probed = Some(self.now);
                    self.send_ping();
                }
                // One that was answered a moment ago shows that the link lives.
                if self.up().is_some_and(|up| up.ping.is_some()) {
                    self.hasten(Timer::Dead, PROBE_DEADLINE);
                }
            }
            Phase::Away(Away { attempt: Attempt::Waiting(due), .. }) => *due = self.backoff.hurry(self.now),
            Phase::Away(_) | Phase::Idle { .. } | Phase::Closed => {}
        }
    }

    fn heartbeat(&self) -> Duration {
        self.session.as_ref().map_or(USUAL_HEARTBEAT, |session| session.heartbeat)
    }

    fn send_ping(&mut self) {
        let (id, now) = (self.ping_id.wrapping_add(1), self.now);
        self.ping_id = id;
        if let Some(up) = self.up_mut() {
            up.ping = Some((id, now));
        }
        self.set(Timer::Heartbeat, self.heartbeat());
        let rtt_us = self.round_trip.map_or(0, |rtt| u32::try_from(micros(rtt)).unwrap_or(u32::MAX));
        self.send(Ping { id, rtt_us });
    }

    /// The `ping` with this number was answered.
    pub(super) fn handle_pong(&mut self, pong: u32) {
        let ping = self.up_mut().and_then(|up| up.ping.take_if(|(id, _)| *id == pong));
        if let Some((_, sent)) = ping {
            let round_trip = self.now.since(sent);
            self.round_trip = Some(round_trip);
            self.slow_pings = if round_trip > SLOW { SLOW_PINGS } else { self.slow_pings.saturating_sub(1) };
            if self.slow_pings > 0 {
                self.hasten(Timer::Heartbeat, SLOW_PINGS_APART);
            }
            self.tell(Event::RoundTrip(round_trip));
        }
    }

    fn due_ack(&self) -> ClientAck {
        ClientAck { received: self.expected, played: self.played }
    }

    pub(super) fn schedule_ack(&mut self) {
        let is_news = self.up().is_some_and(|up| up.told_ack != Some(self.due_ack()));
        if is_news && !self.is_set(Timer::Ack) {
            self.set(Timer::Ack, ACK_DELAY);
        }
    }

    fn send_ack(&mut self) {
        let ack = self.due_ack();
        if let Some(up) = self.up_mut() {
            up.timers.stop(Timer::Ack as usize);
            up.told_ack = Some(ack);
            self.send(ack);
        }
    }

    /// Keeps the timer for unacknowledged audio running exactly while there is some.
    pub(super) fn watch_acknowledgements(&mut self) {
        let Phase::Up(up) = &mut self.phase else { return };
        let (now, timers) = (self.now, &mut up.timers);
        let waiting = self.acknowledged.seq < self.uplink.end().seq;
        // Whatever is acknowledged stops it: see [`Client::progress`].
        if waiting && !timers.is_set(Timer::Unacknowledged as usize) {
            timers.set(Timer::Unacknowledged as usize, now + UNACKNOWLEDGED_AFTER);
        }
        if !waiting {
            timers.stop(Timer::Pace as usize);
            self.usual = REAL_TIME;
        } else if !timers.is_set(Timer::Pace as usize) {
            up.paced = self.acknowledged.position;
            timers.set(Timer::Pace as usize, now + PACE_WINDOW);
        }
    }

    /// Replaces a line that is stuck. On a network that is really so slow the next one carries no more, so less is expected of it, and soon it
    /// is left alone.
    fn look_at_pace(&mut self) {
        let Some(up) = self.up() else { return };
        let waiting = self.waiting();
        let through = self.acknowledged.position.saturating_sub(up.paced);
        if waiting < KEEPS_UP || self.waits_for_turn() {
            self.usual = REAL_TIME;
        } else if through < self.usual / STUCK_PART {
            self.usual /= 2;
            self.drop_link();
        } else {
            self.usual = self.usual.max(through).min(REAL_TIME);
        }
    }

    /// The application is to give a fresh token, unless it is being asked for one: it is asked once at a time.
    pub(super) fn refresh_token(&mut self) {
        if !self.is_set(Timer::Token) {
            self.set(Timer::Token, super::connect::TOKEN_DEADLINE);
            self.wants_token = true;
            self.pending.push_back(Pending::RequestToken);
        }
    }

    /// The relay is about to go: all its clients come back at moments of their own.
    pub(super) fn prepare_to_move(&mut self, within: Duration) {
        if !self.is_set(Timer::Move) {
            let wait = self.backoff.part_of(within);
            self.set(Timer::Move, wait);
        }
    }
}
