//! The model of the store against the real one, in SQLite: the same operations, at random, have the same answers and leave the same rows.

use std::net::Ipv4Addr;
use std::time::Duration;

use protocol::{Mark, Role};
use relay::NanoUsd;
use relay::admission::throttle::Excess;
use relay::agent::tool::{Called, Runs, ToolNote, ToolOutput};
use relay::call::{Latency, Turn};
use relay::money::budget::{Balance, Caps, Range, Scope, TokenCaps};
use relay::money::ledger::{LateCredit, LedgerRow};
use relay::records::store::{
    Alert, AlertFilter, CreditFilter, InsteadOf, Leases, Lost, NewSession, Opened, Payer, Quality, Quota,
    Reserve, SessionRow, Settle, Settled, SqlStore, Store, StoreError, TakeOver, unix_ms,
};
use simulation::store::Model;

/// Sequences of operations, and how long each is.
const SEEDS: u64 = 10;
const STEPS: usize = 150;
/// A busy machine may be too slow for the real store's own time-outs: then a sequence is begun anew, so often at most.
const AGAIN: u32 = 5;
/// Ten seconds before a new year.
const LATE: i64 = 1_798_761_590_000;
const HOUR: Duration = Duration::from_secs(3_600);
const RELAYS: [&str; 2] = ["relay-1", "relay-2"];

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn usd(&mut self, end: u64) -> NanoUsd {
        NanoUsd::new(self.below(end))
    }

    fn mark(&mut self) -> Mark {
        let seq = self.below(40) as u32;
        Mark { seq, position: seq * 100 }
    }
}

/// An answer without what the two cannot agree on: who was told in which words, ids, and the clock of the moment.
fn said<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(StoreError::Fenced { .. }) => "fenced".into(),
        Err(StoreError::Erased { .. }) => "erased".into(),
        Err(StoreError::NoSession { .. }) => "no session".into(),
        Err(other) if other.is_away() => AWAY.into(),
        Err(other) => format!("{other}"),
    }
}

const AWAY: &str = "away";

fn alert(alert: &Alert) -> impl std::fmt::Debug + use<> {
    let Alert { scope, period, percent, session_id, limit, spent, .. } = alert.clone();
    (scope, period, percent, session_id, limit, spent)
}

/// An alert as it is kept, in any order.
fn kept(alert: &Alert) -> impl Ord + std::fmt::Debug + use<> {
    let Alert { scope, period, percent, session_id, user_sub, account, limit, spent, .. } = alert.clone();
    (scope.name(), period, percent, session_id, user_sub, account, limit, spent)
}

fn settled(settled: &Settled) -> String {
    let alerts: Vec<_> = settled.alerts.iter().map(alert).collect();
    format!("{:?} {:?} {alerts:?}", settled.cost, settled.standing)
}

/// When to come back is a little sooner where it was asked a little later.
fn opened(opened: Opened) -> Opened {
    match opened {
        Opened::TooOften(excess) => Opened::TooOften(Excess { retry_after: Duration::ZERO, ..excess }),
        opened => opened,
    }
}

fn row(row: Option<SessionRow>) -> Option<SessionRow> {
    row.map(|row| SessionRow { ended_at_ms: row.ended_at_ms.map(|_| 0), ..row })
}

struct Bench {
    real: SqlStore,
    model: Model,
    dice: Dice,
    /// How many sessions a user, and how many an address may begin in a minute.
    per_minute: (u32, u32),
    /// Counts rows of the ledger, so that some are written twice and most are not.
    rows: u64,
}

impl Bench {
    fn caps(&mut self) -> Caps {
        let session = NanoUsd::new([300, 1_000_000][self.dice.below(2) as usize]);
        Caps {
            session,
            user_day: NanoUsd::new(700),
            account_month: NanoUsd::new(900),
            token: TokenCaps::NONE,
        }
    }

    fn id(&mut self) -> String {
        format!("s{}", self.dice.below(6))
    }

    fn ledger_row(&mut self) -> LedgerRow {
        if self.dice.below(5) > 0 {
            self.rows += 1;
        }
        let is_audio = self.dice.below(2) == 0;
        let (item, unit) = if is_audio { ("ear", "sample") } else { ("mind", "output_token") };
        LedgerRow {
            key: format!("{item}@{}", self.rows),
            provider: "acme".into(),
            item: item.into(),
            unit: unit.into(),
            quantity: self.dice.below(50),
            price: NanoUsd::new(1),
            per: 1,
            price_version: "1".into(),
            cost: self.dice.usd(40),
            estimated: false,
            turn: None,
            request_id: None,
        }
    }

    /// What a session gets back, mostly once.
    fn credit(&mut self) -> LateCredit {
        let key = format!("ear@0.{}.late", self.dice.below(30));
        LateCredit { key, samples: self.dice.below(50), amount: self.dice.usd(40) }
    }

    /// One operation on both; what each said.
    async fn step(&mut self) -> (String, String, String) {
        let (id, now, at_ms) = (self.id(), unix_ms(), LATE + self.dice.below(2) as i64 * 20_000);
        let (epoch, caps) = (self.dice.below(3) as u32, self.caps());
        // Mostly as the session's own relay would ask.
        let stored = self.model.session(&id);
        let epoch = stored.filter(|_| self.dice.below(4) > 0).map_or(epoch, |row| row.epoch);
        let relay = RELAYS[self.dice.below(2) as usize];
        let what = self.dice.below(20);
        let address = Ipv4Addr::new(192, 0, 2, if ["s0", "s2", "s4"].contains(&&*id) { 1 } else { 2 });
        let (real, model) = match what {
            0..=2 => {
                let session = NewSession {
                    conversation_id: if self.dice.below(4) == 0 { "s0".into() } else { id.clone() },
                    user_sub: ["ada", "bob"][self.dice.below(2) as usize].into(),
                    account: "acme".into(),
                    plan: None,
                    login: None,
                    client: "test".into(),
                    agent: "echo".into(),
                    started_at_ms: at_ms,
                    epoch: 0,
                    committed: self.dice.mark(),
                    resume_hash: [self.dice.below(9) as u8; 32],
                    recording: None,
                    instead_of: (self.dice.below(3) == 0).then(|| InsteadOf {
                        session_id: format!("s{}", self.dice.below(4)),
                        resume_hash: [self.dice.below(9) as u8; 32],
                    }),
                    id: id.clone(),
                };
                let at_least = self.dice.usd(150);
                let quota = Quota {
                    sessions_per_user: 2,
                    sessions_per_account: 3,
                    sessions_per_minute: self.per_minute.0,
                    address: address.into(),
                    sessions_per_minute_per_address: self.per_minute.1,
                    caps,
                    reserve: Range { at_least, at_most: at_least + self.dice.usd(200) },
                    relay: relay.into(),
                    lease: HOUR,
                };
                if self.model.session(&id).is_some() {
                    return (format!("{id} is there"), String::new(), String::new());
                }
                let model = self.model.open_session(now, &session, &quota);
                let real = self.real.open_session(&session, &quota).await;
                (said(real.map(opened)), said(Ok(opened(model))))
            }
            3..=6 => {
                let at_least = self.dice.usd(400);
                let through = Range { at_least, at_most: at_least + self.dice.usd(200) };
                let (spent, exposed) = (self.dice.usd(200), self.dice.usd(60));
                let ask = Reserve { session_id: &id, epoch, through, spent, exposed, caps, at_ms };
                (said(self.real.reserve(&ask).await), said(self.model.reserve(&ask)))
            }
            7..=10 => {
                let settle = Settle {
                    session_id: id.clone(),
                    payer: Some(Payer { user_sub: "ada".into(), account: "acme".into() }),
                    epoch,
                    number: self.dice.below(12) as u32,
                    rows: (0..self.dice.below(3)).map(|_| self.ledger_row()).collect(),
                    credits: (0..self.dice.below(6) / 4).map(|_| self.credit()).collect(),
                    metered_position: self.dice.below(4_000) as u32,
                    committed: self.dice.mark(),
                    replayable_samples: self.dice.below(500) as u32,
                    exposed: self.dice.usd(60),
                    release: self.dice.below(5) == 0,
                    caps,
                    at_ms,
                };
                let real = self.real.settle(&settle).await.map(|done| settled(&done));
                (said(real), said(self.model.settle(&settle).map(|done| settled(&done))))
            }
            11 | 12 => {
                let turn = Turn {
                    turn: self.dice.below(4) as u32,
                    role: if self.dice.below(2) == 0 { Role::User } else { Role::Agent },
                    text: format!("text {}", self.dice.below(9)),
                    start: 0,
                    end: self.dice.below(900) as u32,
                    heard: (self.dice.below(2) == 0).then_some(7),
                    latency: Latency { stt_ms: (self.dice.below(2) == 0).then_some(3), ..Latency::default() },
                    revision: self.dice.below(3) as u32,
                };
                let (turns, committed, again) = ([turn], self.dice.mark(), self.dice.below(900) as u32);
                // What a relay had kept may come when the session has ended.
                if again.is_multiple_of(2) {
                    let real = self.real.save_kept_turns(&id, epoch, &turns, committed, again).await;
                    (said(real), said(self.model.save_kept_turns(now, &id, epoch, &turns, committed, again)))
                } else {
                    let real = self.real.save_turns(&id, epoch, &turns, committed, again).await;
                    (said(real), said(self.model.save_turns(now, &id, epoch, &turns, committed, again)))
                }
            }
            13 => {
                let (hash, before) = ([self.dice.below(9) as u8; 32], [1; 32]);
                let real = self.real.rotate_resume(&id, epoch, &hash, Some(&before), 2).await;
                (said(real), said(self.model.rotate_resume(&id, epoch, &hash, Some(&before), 2)))
            }
            14 if self.dice.below(3) == 0 => {
                let strikes = self.dice.below(9) as u32;
                let real = self.real.note_strikes(&id, epoch, strikes).await;
                (said(real), said(self.model.note_strikes(&id, epoch, strikes)))
            }
            14 if self.dice.below(2) == 0 => {
                let call_id = format!("call_{}", self.dice.below(12));
                let note = if self.dice.below(2) == 0 {
                    let text = |dice: &mut Dice| format!("text {}", dice.below(9));
                    let (model_id, name, arguments) = ("m".into(), "look".into(), text(&mut self.dice));
                    let runs = [Runs::Page, Runs::Webhook][self.dice.below(2) as usize];
                    let called = Called { call_id, model_id, name, arguments, runs };
                    ToolNote::Called { called, turn: self.dice.below(4) as u32 }
                } else {
                    let (output, is_error) =
                        (format!("text {}", self.dice.below(9)), self.dice.below(2) == 0);
                    ToolNote::Output { call_id, output: ToolOutput { output, is_error } }
                };
                // Of calls of one moment the one with the lower number is the older one.
                tokio::time::sleep(Duration::from_millis(2)).await;
                let real = self.real.note_tool(&id, epoch, &note).await;
                (said(real), said(self.model.note_tool(&id, epoch, &note)))
            }
            14 => {
                let attached = self.dice.below(2) == 0;
                let real = self.real.set_attached(&id, epoch, attached).await;
                (said(real), said(self.model.set_attached(now, &id, epoch, attached)))
            }
            15 => {
                let quality = Quality { rtt_avg_us: 1, rtt_max_us: 2, lost_samples: 3 };
                let real = self.real.end_session(&id, epoch, "normal", quality, at_ms).await;
                (said(real), said(self.model.end_session(&id, epoch, "normal", quality, at_ms)))
            }
            16 => {
                let by = TakeOver {
                    epoch,
                    resume_hash: [5; 32],
                    previous: [6; 32],
                    relay: relay.into(),
                    lease: HOUR,
                };
                let real = self.real.take_over(&id, &by).await;
                (said(real), said(Ok(self.model.take_over(now, &id, &by))))
            }
            17 => match self.dice.below(5) {
                0 => {
                    let real = self.real.delete_session(&id, None).await;
                    (said(real), said(Ok(self.model.delete_session(now, &id))))
                }
                1 => {
                    let real = self.real.end_elsewhere(&id, "idle").await;
                    (said(real), said(Ok(self.model.end_elsewhere(now, &id, "idle"))))
                }
                _ => {
                    let scope = [Scope::Session, Scope::User, Scope::Account][self.dice.below(3) as usize];
                    let balance =
                        Balance { limit: NanoUsd::new(500), spent: self.dice.usd(500), ..Balance::default() };
                    let real = self.real.exhausted(&id, scope, balance, at_ms).await;
                    let model = self.model.exhausted(&id, scope, balance, at_ms);
                    let told = |told: Option<Alert>| told.as_ref().map(alert);
                    (said(real.map(told)), said(model.map(told)))
                }
            },
            18 => {
                let leases = match self.dice.below(3) {
                    0 => Leases::Of(relay),
                    1 => Leases::OfAllBut(relay),
                    _ => Leases::Session { id: &id, relay },
                };
                let real = self.real.end_leases(leases).await;
                self.model.end_leases(now, leases);
                // What is over is over a moment later.
                tokio::time::sleep(Duration::from_millis(3)).await;
                if self.dice.below(2) == 0 {
                    self.real.renew_lease(relay, HOUR).await.expect("renewed");
                    self.model.renew_lease(unix_ms(), relay, HOUR);
                }
                (said(real), said(Ok(())))
            }
            _ => match self.dice.below(3) {
                0 => {
                    let window = [Duration::ZERO, HOUR][self.dice.below(2) as usize];
                    (said(self.real.sweep(window).await), said(Ok(self.model.sweep(now, window))))
                }
                1 => {
                    let left = [Duration::ZERO, 2 * HOUR][self.dice.below(2) as usize];
                    // A relay that was never heard of is there by its lease; one that was is silent at once, or not for an hour.
                    let unseen = [None, Some(Duration::ZERO), Some(HOUR)][self.dice.below(3) as usize];
                    let lost = Lost { left, unseen };
                    let real = self.real.ask_for(&id, relay, lost).await;
                    (said(real), said(Ok(self.model.ask_for(now, &id, relay, lost))))
                }
                _ => {
                    let mut real = self.real.sessions_held(relay).await.expect("read");
                    real.sort();
                    (said(Ok(real)), said(Ok(self.model.sessions_held(now, relay))))
                }
            },
        };
        (format!("{what} of {id} in epoch {epoch} at {at_ms}"), real, model)
    }

    /// What is stored is the same.
    async fn compare(&self, what: &str) {
        for number in 0..6 {
            let id = format!("s{number}");
            let real = self.real.session(&id).await.expect("read");
            assert_eq!(row(real), row(self.model.session(&id)), "{what}: the session");
            let mut real = self.real.ledger(&id).await.expect("read");
            real.sort_by(|one, other| one.key.cmp(&other.key));
            assert_eq!(real, self.model.ledger(&id), "{what}: the ledger");
            let turns = self.real.turns(&id).await.expect("read");
            let turns: Vec<Turn> = turns.into_iter().map(|row| row.turn).collect();
            let model: Vec<Turn> = self.model.turns(&id).into_iter().map(|row| row.turn).collect();
            assert_eq!(turns, model, "{what}: the turns");
            let calls = self.real.tool_calls(&id).await.expect("read");
            assert_eq!(calls, self.model.tool_calls(&id), "{what}: the calls of tools");
        }
        let real = self.real.list_credits(&CreditFilter::default(), None, 1_000).await.expect("read");
        let mut real: Vec<_> = real.rows.into_iter().map(|credit| (credit.key, credit.amount)).collect();
        real.sort_unstable();
        assert_eq!(real, self.model.credits_by_day(), "{what}: the credits");
        let real = self.real.list_alerts(&AlertFilter::default(), None, 1_000).await.expect("read");
        let mut real: Vec<_> = real.rows.iter().filter_map(|row| row.alert.budget()).map(kept).collect();
        let mut model: Vec<_> = self.model.alerts().iter().map(kept).collect();
        real.sort_unstable();
        model.sort_unstable();
        assert_eq!(real, model, "{what}: the alerts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_answers_as_the_real_store_does_and_keeps_the_same_rows() {
    let (mut granted, mut refused, mut kinds) = (0, 0, std::collections::BTreeSet::new());
    let mut again = 0;
    let mut seed = 0;
    'sequences: while seed < SEEDS {
        let dir = tempfile::tempdir().expect("a folder");
        let real = SqlStore::sqlite(&dir.path().join("data/voxrelay.db")).await.expect("opened");
        // Of so few a minute each takes 20 s of it or more, which no sequence gets back: none is as long.
        let per_minute = if seed.is_multiple_of(4) { (2, 3) } else { (1_000, 1_000) };
        let mut bench = Bench { real, model: Model::default(), dice: Dice(seed), per_minute, rows: 0 };
        for step in 0..STEPS {
            let (what, real, model) = bench.step().await;
            if real == AWAY && again < AGAIN {
                again += 1;
                continue 'sequences;
            }
            let what = format!("seed {seed}, step {step}, {what}");
            assert_eq!(real, model, "{what}");
            granted += u32::from(real.starts_with("Granted"));
            refused += u32::from(real.starts_with("Short"));
            kinds.insert(real.split(' ').next().unwrap_or_default().to_owned());
            if step % 5 == 0 {
                bench.compare(&what).await;
            }
        }
        bench.compare(&format!("seed {seed}, at its end")).await;
        Store::close(&bench.real).await;
        seed += 1;
    }
    // Otherwise little of all this was tried.
    assert!(granted > 50 && refused > 5 && kinds.len() > 8, "{granted} {refused} {kinds:?}");
    assert!(kinds.contains("TooOften(Excess"), "{kinds:?}");
}
