//! One call, whole, on simulated time: a user with a client, bad networks, relays with real sessions, a database with bad days.

mod door;
mod page;
mod parted;
mod proof;
mod relay;
mod session;
mod truth;
mod work;

use std::time::Duration;

use ::relay::admission::auth::Identity;
use ::relay::money::bill::ItemPrice;
use ::relay::money::price::{Price, PriceTable};
use ::relay::provider::Provider;
use protocol::client::{self, Client};
use protocol::{CloseCode, Time};

use crate::network::Connection;
use crate::provider;
use crate::random::Random;
use crate::scenario::{Leave, Scenario};
use crate::store::Model;
use crate::trouble::Without;
use crate::voice::Script;
use crate::{Tally, Trace};
use door::Door;
use page::Page;
use parted::Parted;
use relay::Relay;
use session::Live;
use truth::Truth;
use work::Op;

/// The user, and who pays.
const USER: &str = "ada";
const ACCOUNT: &str = "acme";
/// When a call begins.
const START: Time = Time::from_millis(1_000);
/// After the call, this long is enough for everything to come to its end.
const AFTERMATH: Duration = Duration::from_secs(900);
/// So many times rarer something goes wrong while a user only stays on the line.
const RARER: u64 = 20;
/// No call lasts longer.
const LONGEST: Duration = Duration::from_secs(1_200);

/// What is the same in every call.
pub struct Fixed {
    prices: PriceTable,
    listening: [Price; 2],
    /// Language models, by their dialects: OpenAI's and Anthropic's. Both are billed alike.
    models: [Provider; 2],
    item: ItemPrice,
    /// Recognisers that hear all of a call, each at a price of its own, and those that are asked about each utterance; and voices.
    streams: [ItemPrice; 2],
    utterances: ItemPrice,
    voice: ItemPrice,
    without: Without,
}

impl Fixed {
    /// Leaves these kinds of trouble out of every call.
    #[must_use]
    pub fn without(self, without: Without) -> Fixed {
        Fixed { without, ..self }
    }

    /// How many calls there are from a seed on until so many of them are conversations.
    #[must_use]
    pub fn calls_with(&self, conversations: u64, seed: u64) -> u64 {
        let (mut calls, mut found) = (0, 0);
        while found < conversations {
            let (scenario, _) = self.scenario(seed.wrapping_add(calls));
            found += u64::from(scenario.who.is_conversation());
            calls += 1;
        }
        calls
    }

    /// What the call of a seed is like, and the random numbers for the rest of it. Most of it is drawn apart from the rest, so that everything
    /// else of a call stays as its seed has always made it.
    fn scenario(&self, seed: u64) -> (Scenario, Random) {
        let mut random = Random::new(seed);
        let apart = |salt: u64| Random::new(seed ^ salt);
        let scenario = Scenario::new(START, &mut random)
            .with_voices(&mut apart(0x00c0_ffee))
            .with_more_conversations(&mut apart(0x0add_ed00))
            .with_troubles(&mut apart(0x0bad_da75))
            .with_words_to_say(&mut apart(0x5a1d_50a5))
            .without(&self.without);
        (scenario, random)
    }
}

impl Default for Fixed {
    fn default() -> Fixed {
        let prices = PriceTable::shipped();
        let price = |item| prices.second_price_at(item, 0).expect("the shipped table prices it").clone();
        let listening = [price("echo/listening"), price("relay/audio")];
        let models = [provider::OPENAI, provider::ANTHROPIC].map(provider::provider);
        // A price that begins on some day is in force by then.
        let item = models[0].price(&prices, 1_900_000_000_000).expect("the shipped table prices it");
        let streams = ["echo/listening", "deepgram/flux-general-en"];
        let streams = streams.map(|item| ItemPrice::stream(&prices, item, 0).expect("priced"));
        let utterances = ItemPrice::utterances(&prices, "deepgram/nova-3", 0).expect("priced");
        let voice = ItemPrice::voice(&prices, "deepgram/aura-2", 0).expect("priced");
        let without = Without::default();
        Fixed { listening, models, item, streams, utterances, voice, prices, without }
    }
}

/// See the module.
pub(crate) struct World<'a> {
    fixed: &'a Fixed,
    now: Time,
    start: Time,
    random: Random,
    /// What the agent is told to say is drawn apart, so that a call without it stays as it is.
    says: Random,
    scenario: Scenario,
    script: Script,
    client: Client,
    page: Page,
    connections: Vec<Connection>,
    next_connection: u32,
    doors: Vec<Door>,
    relays: Vec<Relay>,
    live: Vec<Live>,
    parted: Vec<Parted>,
    next_key: u64,
    ops: Vec<Op>,
    store: Model,
    next_misfortune: Time,
    /// The user is done, and only what is owed is still to be written.
    is_aftermath: bool,
    tokens: u64,
    truth: Truth,
    tally: Tally,
    trace: Trace,
}

impl<'a> World<'a> {
    pub(crate) fn new(fixed: &'a Fixed, seed: u64, trace: Trace) -> World<'a> {
        let start = START;
        let (scenario, mut random) = fixed.scenario(seed);
        let script = Script::new(scenario.chunks * scenario.chunk, &mut random)
            .with_coughs(scenario.coughs, &mut Random::new(seed ^ 0x00c0_4911));
        let config = client::Config {
            buffer: scenario.buffer,
            give_up_after: Duration::from_secs(90),
            seed: random.next(),
            ..client::Config::default()
        };
        let world = World {
            fixed,
            now: start,
            start,
            client: Client::new(config),
            page: Page::new(start, &scenario),
            connections: Vec::new(),
            next_connection: 0,
            doors: Vec::new(),
            relays: (0..scenario.relays)
                .map(|number| Relay::new(number, start, scenario.store_grace))
                .collect(),
            live: Vec::new(),
            parted: Vec::new(),
            next_key: 0,
            ops: Vec::new(),
            store: Model::default(),
            next_misfortune: start + Duration::from_millis(300),
            is_aftermath: false,
            tokens: 0,
            truth: Truth::default(),
            tally: Tally {
                calls: 1,
                conversations: u64::from(scenario.who.is_conversation()),
                coughs: script.coughs() as u64,
                ..Tally::default()
            },
            scenario,
            script,
            random,
            says: Random::new(seed ^ 0x0005_a15a),
            trace,
        };
        world.say(|world| format!("{:?}", world.scenario));
        world
    }

    /// Runs the call to its end, and everything that is owed after it, and compares what is stored with what was.
    pub(crate) fn run(mut self) -> Result<Tally, String> {
        self.start_relays();
        self.client_input(client::Input::Start)?;
        while !self.is_quiet() {
            let next = self.next_time();
            let longest = if self.is_aftermath { LONGEST + AFTERMATH } else { LONGEST };
            if next.since(self.start) > longest {
                return Err(self.unfinished());
            }
            self.now = self.now.max(next);
            self.step()?;
        }
        self.check()?;
        Ok(self.tally)
    }

    /// Whether nothing more can happen.
    fn is_quiet(&self) -> bool {
        self.is_aftermath
            && self.live.is_empty()
            && self.parted.is_empty()
            && self.doors.is_empty()
            && self.ops.is_empty()
            && self.relays.iter().all(|relay| relay.disk.is_empty())
            && self.store.ids().all(|id| !self.is_live_in_store(id))
    }

    fn unfinished(&self) -> String {
        let kept = self.relays.iter().filter(|relay| !relay.disk.is_empty()).count();
        let live: Vec<_> = self.store.ids().filter(|id| self.is_live_in_store(id)).collect();
        format!(
            "it does not end: client {:?}, {} sessions, {} at the door, {} under way, {kept} disks with something, live {live:?}",
            self.client.state(),
            self.live.len(),
            self.doors.len(),
            self.ops.len()
        )
    }

    fn is_live_in_store(&self, id: &str) -> bool {
        use ::relay::records::store::SessionState;
        self.store.session(id).is_some_and(|row| row.state == SessionState::Live)
    }

    fn next_time(&self) -> Time {
        let client = (!self.page.is_gone).then(|| self.client.poll_timeout()).flatten();
        let network = self.connections.iter().filter_map(|connection| self.connection_due(connection));
        let doors = self.doors.iter().filter_map(Door::due);
        let live = self.live.iter().filter_map(Live::due);
        let parted = self.parted.iter().filter_map(Parted::due);
        let ops = self.ops.iter().map(Op::due);
        let relays = self.relays.iter().filter_map(Relay::due);
        let page = self.page.due(self.is_aftermath);
        let misfortune = (!self.is_aftermath).then_some(self.next_misfortune);
        let all = network.chain(doors).chain(live).chain(parted).chain(ops).chain(relays);
        all.chain(client).chain(page).chain(misfortune).min().unwrap_or(self.now)
    }

    fn step(&mut self) -> Result<(), String> {
        if !self.page.is_gone && self.client.poll_timeout().is_some_and(|due| due <= self.now) {
            self.look_at_socket()?;
            self.client_input(client::Input::Timeout)?;
        }
        self.step_page()?;
        self.step_network()?;
        self.step_doors()?;
        self.step_ops()?;
        self.step_sessions()?;
        self.step_parted();
        self.step_relays()?;
        if !self.is_aftermath && self.next_misfortune <= self.now {
            // Whoever says nothing any more waits for minutes, and as much goes wrong for them as for others.
            let rarer = if self.page.has_lingered { RARER } else { 1 };
            self.next_misfortune = self.now + Duration::from_millis(rarer * self.random.between(50, 800));
            self.misfortune()?;
        }
        if !self.is_aftermath && self.page.is_over() {
            self.say(|_| "aftermath".to_owned());
            let now = self.unix_ms();
            self.truth.leave_elsewhere(&mut self.store, now);
            self.is_aftermath = true;
        }
        Ok(())
    }

    /// The wall clock at a time, in milliseconds since 1970.
    fn unix_ms_at(&self, time: Time) -> i64 {
        self.scenario.begins_ms + (time.since(self.start).as_millis() as i64)
    }

    fn unix_ms(&self) -> i64 {
        self.unix_ms_at(self.now)
    }

    fn identity(&self) -> Identity {
        let expires_at = self.unix_ms() as u64 / 1_000 + self.scenario.token.as_secs();
        Identity::new(USER.into(), ACCOUNT.into(), expires_at)
    }

    fn is_away(&self) -> bool {
        self.scenario.away.iter().any(|span| span.holds(self.now))
    }

    /// Somewhat unequal times.
    fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.random.between(low * 1_000, high * 1_000))
    }

    fn connection(&mut self, id: u32) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    /// Cuts, network changes, sleep; relays that are killed or stopped; what others do.
    fn misfortune(&mut self) -> Result<(), String> {
        if self.scenario.bad_network && !self.page.hung_up {
            if self.random.percent(5)
                && let Some(id) = self.page.connection
            {
                let now = self.now;
                let random = &mut self.random;
                if let Some(connection) = self.connections.iter_mut().find(|one| one.id == id) {
                    connection.cut(now, random);
                }
            }
            if self.random.percent(3) {
                self.client_input(client::Input::Offline)?;
            }
            if self.random.percent(10) {
                let online = self.random.percent(50);
                self.client_input(if online { client::Input::Online } else { client::Input::Woke })?;
            }
        }
        for number in 0..self.relays.len() {
            let is_draining = self.relays[number].moves_within(self.now).is_some();
            let may_crash = self.relays[number].is_up() || is_draining;
            if may_crash && self.random.between(0, 999) < self.scenario.crash {
                self.crash(number)?;
            } else if self.relays[number].is_up() && self.random.between(0, 999) < self.scenario.stop {
                self.tell_to_stop(number)?;
            }
        }
        if let Some(amount) = self.scenario.others
            && self.random.percent(20)
        {
            self.spend_elsewhere(amount)?;
        }
        if self.scenario.erased.is_some_and(|at| at <= self.now) {
            self.scenario.erased = None;
            let ids: Vec<String> = self.store.ids().map(str::to_owned).collect();
            let now = self.unix_ms();
            for id in ids.into_iter().filter(|id| id.starts_with("session")) {
                self.say(|_| format!("{id} is deleted"));
                self.store.delete_session(now, &id);
                self.truth.is_erased = true;
            }
        }
        if self.scenario.ended.is_some_and(|at| at <= self.now) {
            self.scenario.ended = None;
            let ids: Vec<String> = self.store.ids().map(str::to_owned).collect();
            for id in ids {
                self.store.request_end(&id, CloseCode::EndedByOperator.name());
            }
        }
        Ok(())
    }

    /// Somebody else of the same account talks to somebody.
    fn spend_elsewhere(&mut self, amount: ::relay::NanoUsd) -> Result<(), String> {
        self.tally.others += 1;
        let now = self.unix_ms();
        self.truth.spend_elsewhere(&mut self.store, now, amount, self.scenario.caps)?;
        self.check_budgets()
    }

    fn say(&self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_on() {
            self.trace.line(self.now.since(self.start), &what(self));
        }
    }

    fn is_vanishing(&self) -> bool {
        self.scenario.leave == Leave::Vanishes
    }
}
