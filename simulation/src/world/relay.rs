//! Relays: they start, renew their leases, look after what is lost or owed, are stopped, and are killed.

use std::time::Duration;

use ::relay::records::spill::Owed;
use ::relay::records::store::{HAND_OFF, Leases};
use ::relay::session::lease::{self, Lease};
use ::relay::session::machine::Input;
use protocol::{CloseCode, Time};

use super::World;
use super::session::Command;
use super::work::write_owed;
use crate::disk::Disk;
use crate::network::Packet;

/// Between two looks at which sessions are a relay's.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to start without a database.
const START_RETRY: Duration = Duration::from_secs(1);
const REPLAY_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// How long a relay sends its sessions elsewhere before it stops.
const MOVE_WITHIN: Duration = Duration::from_secs(4);

/// What a relay process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// It takes nobody any more, and sends its sessions elsewhere until this time at the latest.
    Draining(Time),
    /// It takes nobody any more, and leaves when its sessions have.
    Stopping,
    /// It is started again at this time.
    Down(Time),
}

/// A relay, with its disk, which outlives the process.
#[derive(Debug)]
pub(super) struct Relay {
    number: usize,
    /// Another one each time it starts.
    generation: u32,
    pub(super) id: String,
    state: State,
    pub(super) disk: Disk,
    /// Until when its sessions are its own.
    pub(super) lease: Lease,
    renew: Time,
    compare: Time,
    look: Time,
    replay: Time,
    sweep: Time,
}

impl Relay {
    pub(super) fn new(number: usize, now: Time, grace: Duration) -> Relay {
        Relay {
            number,
            generation: 0,
            id: String::new(),
            state: State::Down(now),
            disk: Disk::default(),
            lease: Lease::new(now, grace),
            renew: now,
            compare: now,
            look: now,
            replay: now,
            sweep: now,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether its process is there.
    fn runs(&self) -> bool {
        matches!(self.state, State::Up | State::Draining(_) | State::Stopping)
    }

    /// How long it still sends its sessions elsewhere, if it does.
    pub(super) fn moves_within(&self, now: Time) -> Option<Duration> {
        if let State::Draining(until) = self.state { Some(until.since(now)) } else { None }
    }

    pub(super) fn due(&self) -> Option<Time> {
        Some(match self.state {
            State::Down(until) => until,
            State::Draining(until) => until.min(self.tick()),
            State::Up | State::Stopping => self.tick(),
        })
    }

    /// When it does the next thing that it does all the time.
    fn tick(&self) -> Time {
        self.renew.min(self.compare).min(self.look).min(self.replay).min(self.sweep)
    }
}

impl World<'_> {
    pub(super) fn lease(&self) -> Duration {
        lease::duration(self.scenario.store_grace)
    }

    pub(super) fn start_relays(&mut self) {
        for number in 0..self.relays.len() {
            self.start_relay(number);
        }
    }

    fn start_relay(&mut self, number: usize) {
        let (now, unix_ms, grace) = (self.now, self.unix_ms(), self.scenario.store_grace);
        let relay = &mut self.relays[number];
        relay.generation += 1;
        relay.id = format!("relay-{}.{}", relay.number, relay.generation);
        relay.state = State::Up;
        relay.lease = Lease::new(now, grace);
        (relay.renew, relay.compare) = (now, now);
        (relay.look, relay.replay, relay.sweep) = (now, now, now);
        // A database file is one relay's: what others had in it is lost.
        if self.relays.len() == 1 {
            let id = self.relays[0].id.clone();
            self.store.end_leases(unix_ms, Leases::OfAllBut(&id));
        }
        self.say(|world| format!("{} starts", world.relays[number].id));
    }

    pub(super) fn step_relays(&mut self) -> Result<(), String> {
        for number in 0..self.relays.len() {
            match self.relays[number].state {
                State::Down(until) if until <= self.now => {
                    // It does not start without a database.
                    if self.is_away() {
                        self.relays[number].state = State::Down(self.now + START_RETRY);
                    } else {
                        self.start_relay(number);
                    }
                }
                State::Down(_) => {}
                State::Up | State::Draining(_) | State::Stopping => self.step_relay(number)?,
            }
        }
        Ok(())
    }

    fn step_relay(&mut self, number: usize) -> Result<(), String> {
        let (now, is_away) = (self.now, self.is_away());
        if self.relays[number].renew <= now {
            self.renew(number, is_away);
        }
        if self.relays[number].compare <= now {
            self.relays[number].compare = now + COMPARE_EVERY;
            if !is_away {
                self.compare(number)?;
            }
        }
        if self.relays[number].look <= now {
            self.relays[number].look = now + LOOK_EVERY;
            if !is_away {
                self.look(number)?;
            }
        }
        if self.relays[number].replay <= now {
            self.relays[number].replay = now + REPLAY_EVERY;
            if !is_away {
                self.replay(number, None);
            }
        }
        if self.relays[number].sweep <= now {
            self.relays[number].sweep = now + SWEEP_EVERY;
            if !is_away {
                let swept = self.store.sweep(self.unix_ms(), self.scenario.resume_window);
                self.tally.swept += u64::from(swept.ended);
                self.check_budgets()?;
            }
        }
        let is_empty = !self.live.iter().any(|live| live.relay == number);
        if let State::Draining(until) = self.relays[number].state
            && (until <= now || is_empty)
        {
            self.stop(number)?;
        }
        // What is yet to be said of its sessions it waits for.
        let is_empty = is_empty && !self.parted.iter().any(|parted| parted.relay == number);
        let is_last = is_empty && !self.ops.iter().any(|op| op.relay == number && op.key.is_some());
        if self.relays[number].state == State::Stopping && is_last {
            self.leave(number);
        }
        Ok(())
    }

    /// Renews the lease.
    fn renew(&mut self, number: usize, is_away: bool) {
        let (now, unix_ms, lease) = (self.now, self.unix_ms(), self.lease());
        let every = if self.relays.len() > 1 { lease::RENEW_EVERY } else { lease::RENEW_EVERY_ALONE };
        let relay = &mut self.relays[number];
        if is_away {
            relay.lease.handle_failure(now);
            relay.renew = now + lease::RENEW_RETRY;
            return;
        }
        relay.lease.handle_renewal(now);
        relay.renew = now + every;
        self.store.renew_lease(unix_ms, &relay.id, lease);
    }

    /// Tells sessions that are here and not this relay's any more, and gives up those that are not here.
    fn compare(&mut self, number: usize) -> Result<(), String> {
        let unix_ms = self.unix_ms();
        let id = self.relays[number].id.clone();
        let own = self.store.sessions_held(unix_ms, &id);
        let here: Vec<(u64, String)> =
            self.live.iter().filter(|one| one.relay == number).map(|one| (one.key, one.id.clone())).collect();
        for (key, session) in &here {
            if !own.contains(session) {
                self.command(*key, Command::TakenOver)?;
            }
        }
        // Sessions of this relay that nobody here carries are given up.
        for session in own.iter().filter(|session| !here.iter().any(|(_, here)| here == *session)) {
            let is_coming = self.doors.iter().any(|door| door.relay == number);
            if !is_coming {
                self.store.end_leases(unix_ms, Leases::Session { id: session, relay: &id });
            }
        }
        Ok(())
    }

    /// Looks for what others want of this relay's sessions.
    fn look(&mut self, number: usize) -> Result<(), String> {
        let id = self.relays[number].id.clone();
        for (session, reason) in self.store.ends_requested(&id) {
            let live = self.live.iter().find(|one| one.relay == number && one.id == session);
            let Some(key) = live.map(|one| one.key) else { continue };
            let command = if reason == HAND_OFF {
                self.tally.hand_offs += 1;
                Command::HandOff
            } else {
                Command::End(CloseCode::EndedByOperator)
            };
            self.command(key, command)?;
        }
        Ok(())
    }

    /// Writes what sessions that are gone have left on a relay's disk; or one session. Says whether all of it found its end.
    pub(super) fn replay(&mut self, number: usize, of: Option<&str>) -> bool {
        let (now, unix_ms) = (self.now, self.unix_ms());
        let here: Vec<&str> =
            self.live.iter().filter(|one| one.relay == number).map(|one| one.id.as_str()).collect();
        let is_wanted = |id: &str| of.map_or_else(|| !here.contains(&id), |of| of == id);
        let refuses = self.scenario.refuses;
        let (store, truth) = (&mut self.store, &mut self.truth);
        let mut written = 0;
        let is_done = self.relays[number].disk.replay(is_wanted, |session, epoch, owed| {
            written += 1;
            super::work::refused(refuses, now).inspect_err(|_| truth.refused(refuses))?;
            match owed {
                Owed::Turns { turns, committed, replayable } => {
                    store.save_kept_turns(unix_ms, session, epoch, turns, *committed, *replayable)?;
                    if store.session(session).is_some_and(|row| row.epoch != epoch) {
                        truth.outlived.insert(session.to_owned());
                    }
                    Ok(())
                }
                _ => write_owed(store, unix_ms, session, epoch, owed).map(drop),
            }
        });
        self.tally.replayed += written;
        is_done
    }

    /// A relay is told to stop.
    pub(super) fn tell_to_stop(&mut self, number: usize) -> Result<(), String> {
        if !self.scenario.drains {
            return self.stop(number);
        }
        self.say(|world| format!("{} sends its sessions elsewhere", world.relays[number].id));
        self.tally.drains += 1;
        self.relays[number].state = State::Draining(self.now + MOVE_WITHIN);
        // Whoever has said who they are may come to a session yet, which then goes elsewhere as well.
        for door in std::mem::take(&mut self.doors) {
            if door.relay == number && door.is_greeting() {
                self.close_end(door.connection, CloseCode::GoingAway);
            } else {
                self.doors.push(door);
            }
        }
        let keys: Vec<u64> = self.live.iter().filter(|one| one.relay == number).map(|one| one.key).collect();
        for key in keys {
            self.session_input(key, Input::Drain { within: MOVE_WITHIN })?;
        }
        Ok(())
    }

    /// A relay is stopped as it should be.
    fn stop(&mut self, number: usize) -> Result<(), String> {
        self.say(|world| format!("{} stops", world.relays[number].id));
        self.tally.stops += 1;
        self.relays[number].state = State::Stopping;
        self.relays[number].look = self.now;
        for door in std::mem::take(&mut self.doors) {
            if door.relay == number {
                self.close_end(door.connection, CloseCode::GoingAway);
            } else {
                self.doors.push(door);
            }
        }
        let keys: Vec<u64> = self.live.iter().filter(|one| one.relay == number).map(|one| one.key).collect();
        for key in keys {
            let is_live = self.live.iter().any(|one| one.key == key && one.machine.is_live());
            if is_live {
                self.session_input(key, Input::Shutdown)?;
            }
        }
        Ok(())
    }

    /// The sessions of a relay that stops are gone: so is the relay.
    fn leave(&mut self, number: usize) {
        let unix_ms = self.unix_ms();
        if !self.is_away() {
            self.replay(number, None);
            let id = self.relays[number].id.clone();
            self.store.end_leases(unix_ms, Leases::Of(&id));
        }
        if self.relays[number].disk.crash() {
            self.truth.is_lossy = true;
        }
        let until = self.now + self.millis(200, 4_000);
        self.relays[number].state = State::Down(until);
        self.say(|world| format!("{} is gone", world.relays[number].id));
    }

    /// A relay is killed between any two things that it does.
    pub(super) fn crash(&mut self, number: usize) -> Result<(), String> {
        self.say(|world| format!("{} is killed", world.relays[number].id));
        self.tally.crashes += 1;
        self.parted.retain(|parted| parted.relay != number);
        let until = self.now + self.millis(200, 8_000);
        self.relays[number].state = State::Down(until);
        if self.relays[number].disk.crash() {
            self.truth.is_lossy = true;
        }
        let mut gone = Vec::new();
        for door in std::mem::take(&mut self.doors) {
            if door.relay == number { gone.push(door.connection) } else { self.doors.push(door) }
        }
        for live in std::mem::take(&mut self.live) {
            if live.relay != number {
                self.live.push(live);
                continue;
            }
            gone.extend(live.connection);
            gone.extend(live.visitors.iter().map(|visitor| visitor.connection));
            gone.extend(live.commands.iter().filter_map(Command::connection));
            self.truth.crashed(&live);
            // What is under way may still be done, and nobody hears of it.
            for op in std::mem::take(&mut self.ops) {
                if op.key != Some(live.key) {
                    self.ops.push(op);
                } else if !op.is_applied() && self.random.percent(50) {
                    self.ops.push(op.orphan(self.now));
                }
            }
        }
        for id in gone {
            let (now, random) = (self.now, &mut self.random);
            if let Some(connection) = self.connections.iter_mut().find(|one| one.id == id) {
                connection.cut(now, random);
                connection.send_to_client(now, Packet::Closed(1006), random);
            }
        }
        Ok(())
    }

    pub(super) fn runs(&self, number: usize) -> bool {
        self.relays[number].runs()
    }
}
