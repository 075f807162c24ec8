//! What ended sessions come to, added up as they end, beside the rows that it is added up from.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{Mark, Role};
use relay::call::{Latency, Turn};
use relay::money::ledger::LedgerRow;
use relay::records::store::{
    DAY_MS, HOUR_MS, NewSession, OverviewFilter, Quality, RolledUp, STAGE_BUCKETS_MS, Settle, SpendBy,
    SpendFilter, Store,
};

use super::{
    Bench, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, row, session, settle, turn, usd,
};

on_both_databases! {
    the_sums_agree_with_the_rows_whatever_becomes_of_sessions_and_are_made_anew_from_them
    what_an_earlier_version_has_ended_is_added_up_once
    an_erased_user_is_in_no_sum_and_in_no_row_of_them
    sums_are_read_by_the_hour_and_the_day_and_by_whom
    a_session_that_ends_is_added_up_by_its_id_and_no_other_is_looked_for
    sums_are_emptied_in_steps_that_anybody_goes_on_with
}

/// 2026-03-01, midnight.
const MIDNIGHT: i64 = 1_772_323_200_000;
const SESSIONS: u32 = 60;

/// A small generator that is the same on every machine (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }

    fn time(&mut self) -> i64 {
        MIDNIGHT + i64::from(self.below(3 * 24 * 60)) * 60_000
    }

    fn turn(&mut self, number: u32) -> Turn {
        let role = if self.below(2) == 0 { Role::User } else { Role::Agent };
        let mut stage = || Some(self.below(12_000)).filter(|ms| ms % 3 > 0);
        let latency = Latency {
            stt_ms: stage(),
            llm_ms: stage(),
            tts_ms: stage(),
            send_ms: stage(),
            heard_ms: stage(),
            total_ms: stage(),
        };
        let heard = [None, Some(8_000), Some(16_000)][self.below(3) as usize];
        Turn { heard, latency, ..turn(number, role, "words") }
    }
}

/// Each sum by its name; what comes to nothing is left out.
type SumsByName = BTreeMap<String, Vec<i64>>;

/// The sums as they are stored.
async fn stored(bench: &Bench) -> SumsByName {
    let mut connection = bench.connect().await;
    let mut sums = SumsByName::new();
    for sql in [
        "SELECT 'calls ' || CAST(hour AS TEXT) || ' ' || account || ' ' || agent || ' ' || reason, calls, milliseconds,
            reconnects FROM rollup_calls",
        "SELECT 'money ' || CAST(hour AS TEXT) || ' ' || account || ' ' || agent || ' ' || provider || ' ' || item || ' '
            || unit, quantity, cost_nano_usd, 0 + hour - hour FROM rollup_money",
        "SELECT 'turns ' || CAST(hour AS TEXT) || ' ' || account || ' ' || agent || ' ' || stage || ' '
            || CAST(bucket AS TEXT), turns, hour - hour, hour - hour FROM rollup_turns",
        "SELECT 'user ' || CAST(day AS TEXT) || ' ' || account || ' ' || user_sub, calls, milliseconds, cost_nano_usd
            FROM rollup_users",
    ] {
        let rows: Vec<(String, i64, i64, i64)> =
            sqlx::query_as(sql).fetch_all(&mut connection).await.expect("read");
        for (name, first, second, third) in rows {
            sums.insert(name, vec![first, second, third]);
        }
    }
    sums.retain(|_, sums| sums.iter().any(|sum| *sum != 0));
    sums
}

/// The same, added up from the rows of sessions that have ended. `written` says when each ledger row was.
async fn added_up(store: &dyn Store, ids: &[String], written: &BTreeMap<String, i64>) -> SumsByName {
    let mut sums = SumsByName::new();
    let mut add = |name: String, more: [i64; 3]| {
        let sum = sums.entry(name).or_insert_with(|| vec![0; 3]);
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    };
    let floor = |at: i64, step: i64| at - at % step;
    for id in ids {
        let Some(session) = store.session(id).await.expect("read") else { continue };
        let (Some(ended), Some(reason)) = (session.ended_at_ms, &session.end_reason) else { continue };
        let (begun, account, agent) = (session.started_at_ms, &session.account, &session.agent);
        let lasted = (ended - begun).max(0);
        let name = format!("calls {} {account} {agent} {reason}", floor(begun, HOUR_MS));
        add(name, [1, lasted, session.reconnects.into()]);
        let user = |at| format!("user {} {account} {}", floor(at, DAY_MS), session.user_sub);
        add(user(begun), [1, lasted, 0]);
        for row in store.ledger(id).await.expect("read") {
            let (at, LedgerRow { provider, item, unit, .. }) = (written[&row.key], &row);
            let name = format!("money {} {account} {agent} {provider} {item} {unit}", floor(at, HOUR_MS));
            let cost = row.cost.get() as i64;
            add(name, [row.quantity as i64, cost, 0]);
            add(user(at), [0, 0, cost]);
        }
        for said in store.turns(id).await.expect("read") {
            let Latency { stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms } = said.turn.latency;
            let is_answer = said.turn.role == Role::Agent;
            let is_cut = is_answer && said.turn.heard.is_some_and(|heard| heard < said.turn.end);
            for (stage, ms) in [
                ("stt", stt_ms),
                ("llm", llm_ms),
                ("tts", tts_ms),
                ("send", send_ms),
                ("heard", heard_ms),
                ("total", total_ms),
                ("answer", is_answer.then_some(0)),
                ("interrupted", is_cut.then_some(0)),
            ] {
                let Some(ms) = ms else { continue };
                let bucket = STAGE_BUCKETS_MS.iter().position(|end| ms <= *end);
                let (hour, bucket) = (floor(said.created_at_ms, HOUR_MS), bucket.unwrap_or(14));
                add(format!("turns {hour} {account} {agent} {stage} {bucket}"), [1, 0, 0]);
            }
        }
    }
    sums.retain(|_, sums| sums.iter().any(|sum| *sum != 0));
    sums
}

async fn add_all(store: &dyn Store) -> u64 {
    let mut all = 0;
    loop {
        match store.roll_up(7).await.expect("added") {
            RolledUp::Emptied(_) => {}
            RolledUp::Added(0) => return all,
            RolledUp::Added(added) => all += added,
        }
    }
}

/// Sessions of several users, accounts and agents, which end in every way there is, or not at all. Much comes late, and some are erased.
async fn live_through(store: &dyn Store, dice: &mut Dice) -> (Vec<String>, BTreeMap<String, i64>) {
    let (mut ids, mut written) = (Vec::new(), BTreeMap::new());
    for number in 0..SESSIONS {
        let id = format!("s{number}");
        let new = NewSession {
            user_sub: format!("user-{}", dice.below(4)),
            account: format!("account-{}", dice.below(2)),
            agent: format!("agent-{}", dice.below(2)),
            started_at_ms: dice.time(),
            ..session(&id)
        };
        let end = dice.below(6);
        let limits = if end == 0 { of_a_lost_relay() } else { quota() };
        open(store, &new, &limits).await;
        spend(store, &id, dice, &mut written).await;
        let turns: Vec<Turn> = (0..dice.below(6)).map(|number| dice.turn(number)).collect();
        store.save_turns(&id, 0, &turns, Mark::default(), 0).await.expect("written");
        store.rotate_resume(&id, 0, &[8; 32], None, dice.below(4)).await.expect("written");
        match end {
            // Its relay is lost, or it goes on.
            0 | 1 => {}
            2 => assert!(store.end_elsewhere(&id, "ended_by_operator").await.expect("ended")),
            _ => {
                let lasted = i64::from(dice.below(600_000));
                let ended = new.started_at_ms + lasted;
                store.end_session(&id, 0, "normal", Quality::default(), ended).await.expect("ended");
                if dice.below(2) == 0 {
                    spend(store, &id, dice, &mut written).await;
                    let late = [dice.turn(0), dice.turn(9)];
                    let mark = Mark { seq: 5, position: 5 };
                    store.save_kept_turns(&id, 0, &late, mark, 0).await.expect("written");
                }
            }
        }
        ids.push(id);
    }
    while store.sweep(Duration::ZERO).await.expect("swept").ended > 0 {}
    for id in ids.iter().step_by(7) {
        assert!(store.delete_session(id, None).await.expect("erased"));
    }
    assert!(store.delete_user("user-3", Some("root"), "act").await.expect("erased") > 0);
    (ids, written)
}

/// Settles some rows, twice as often as not.
async fn spend(store: &dyn Store, id: &str, dice: &mut Dice, written: &mut BTreeMap<String, i64>) {
    for _ in 0..dice.below(4) {
        let (at, key) = (dice.time(), format!("key-{}", written.len()));
        let item = format!("ear/{}", dice.below(2));
        let row = LedgerRow { item, ..row(&key, u64::from(dice.below(1_000)), u64::from(dice.below(1_000))) };
        written.insert(key, at);
        let settle = Settle { at_ms: at, ..settle(id, vec![row], caps(WIDE, WIDE, WIDE)) };
        for _ in 0..=dice.below(2) {
            store.settle(&settle).await.expect("written");
        }
    }
}

async fn the_sums_agree_with_the_rows_whatever_becomes_of_sessions_and_are_made_anew_from_them(bench: Bench) {
    let store = &*bench.store;
    let (ids, written) = live_through(store, &mut Dice(20)).await;
    let expected = added_up(store, &ids, &written).await;
    assert!(expected.len() > 100, "there is something to compare");
    let sums = stored(&bench).await;
    assert_eq!(sums, expected, "as they ended");
    assert_eq!(store.roll_up(7).await.expect("looked"), RolledUp::Added(0), "none is left out");
    assert!(store.is_rolled_up().await.expect("read"));

    store.roll_up_anew().await.expect("asked for");
    assert!(!store.is_rolled_up().await.expect("read"), "they are being emptied");
    while store.roll_up(7).await.expect("emptied") != RolledUp::Emptied(0) {}
    assert_eq!(stored(&bench).await, SumsByName::new());
    assert!(!store.is_rolled_up().await.expect("read"), "they are empty");
    // What happens while they are made anew counts once as well.
    let (first, rest) = ids.split_at(ids.len() / 2);
    store.roll_up(7).await.expect("added");
    for id in first {
        store.delete_session(id, None).await.expect("answered");
    }
    assert!(!store.is_rolled_up().await.expect("read"), "some are left");
    assert!(add_all(store).await > 0);
    assert!(store.is_rolled_up().await.expect("read"));
    assert_eq!(stored(&bench).await, added_up(store, rest, &written).await, "made anew");
    assert_eq!(add_all(store).await, 0);
}

async fn what_an_earlier_version_has_ended_is_added_up_once(bench: Bench) {
    let store = &*bench.store;
    let (ids, written) = live_through(store, &mut Dice(7)).await;
    // As that version leaves them: it knows nothing of sums.
    let mut connection = bench.connect().await;
    for sql in [
        "UPDATE sessions SET rolled_up = 0",
        "DELETE FROM rollup_calls",
        "DELETE FROM rollup_money",
        "DELETE FROM rollup_turns",
        "DELETE FROM rollup_users",
    ] {
        sqlx::query(sql).execute(&mut connection).await.expect("changed");
    }
    drop(connection);
    let late = &ids[1];
    let before = stored(&bench).await;
    store.delete_session(late, None).await.expect("answered");
    assert_eq!(stored(&bench).await, before, "what is in no sum is taken out of none");
    assert!(add_all(store).await > 0);
    assert_eq!(stored(&bench).await, added_up(store, &ids, &written).await);
}

async fn an_erased_user_is_in_no_sum_and_in_no_row_of_them(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    for (ids, is_emptied) in [(["a", "b"], false), (["c", "d"], true)] {
        for id in ids {
            open(store, &session(id), &quota()).await;
            store.settle(&settle(id, vec![row("1", 1, 8)], wide)).await.expect("written");
            let said = [turn(0, Role::Agent, "hello")];
            store.save_turns(id, 0, &said, Mark::default(), 0).await.expect("written");
            store.end_session(id, 0, "normal", Quality::default(), 1).await.expect("ended");
        }
        assert!(!stored(&bench).await.is_empty());
        if is_emptied {
            store.roll_up_anew().await.expect("asked for");
        }
        store.delete_user("ada", Some("root"), "act").await.expect("erased");
        let mut connection = bench.connect().await;
        let named: Vec<(String,)> = sqlx::query_as("SELECT user_sub FROM rollup_users")
            .fetch_all(&mut connection)
            .await
            .expect("read");
        assert_eq!(named, [], "nor is the name");
        drop(connection);
        assert_eq!(add_all(store).await, 0);
        assert_eq!(stored(&bench).await, SumsByName::new());
    }
}

async fn sums_are_read_by_the_hour_and_the_day_and_by_whom(bench: Bench) {
    let store = &*bench.store;
    let wide = caps(WIDE, WIDE, WIDE);
    for (id, user, hour, cost) in [("a", "ada", 1, 30), ("b", "bob", 1, 5), ("c", "bob", 30, 40)] {
        let at = MIDNIGHT + hour * HOUR_MS + 60_000;
        let new = NewSession { user_sub: user.into(), started_at_ms: at, ..session(id) };
        open(store, &new, &quota()).await;
        let settle = Settle { at_ms: at, ..settle(id, vec![row(&format!("{id}@0"), 1, cost)], wide) };
        store.settle(&settle).await.expect("written");
        store.end_session(id, 0, "normal", Quality::default(), at + 10_000).await.expect("ended");
    }
    let filter = |step_ms| OverviewFilter {
        from_ms: MIDNIGHT,
        to_ms: MIDNIGHT + 2 * DAY_MS,
        step_ms,
        account: Some("acme".into()),
        agent: None,
    };
    for (step_ms, expected) in [
        (HOUR_MS, [(HOUR_MS, 2, 20_000), (30 * HOUR_MS, 1, 10_000)]),
        (DAY_MS, [(0, 2, 20_000), (DAY_MS, 1, 10_000)]),
    ] {
        let found = store.overview(&filter(step_ms)).await.expect("read");
        let calls: Vec<(i64, u64, u64)> =
            found.calls.iter().map(|sum| (sum.at_ms - MIDNIGHT, sum.calls, sum.milliseconds)).collect();
        assert_eq!(calls, expected);
        assert_eq!(found.money.iter().map(|sum| sum.cost.get()).collect::<Vec<_>>(), [35, 40]);
    }
    let other = OverviewFilter { account: Some("other".into()), ..filter(DAY_MS) };
    assert_eq!(store.overview(&other).await.expect("read"), Default::default());

    let spend = async |by, limit| {
        let filter =
            SpendFilter { from_ms: MIDNIGHT, to_ms: MIDNIGHT + 2 * DAY_MS, by, account: None, limit };
        store.spend(&filter).await.expect("read")
    };
    for (by, expected) in [
        (SpendBy::Day, vec![("2026-03-01", 35), ("2026-03-02", 40)]),
        (SpendBy::User, vec![("bob", 45), ("ada", 30)]),
        (SpendBy::Account, vec![("acme", 75)]),
        (SpendBy::Agent, vec![("echo", 75)]),
        (SpendBy::Provider, vec![("echo", 75)]),
        (SpendBy::Item, vec![("echo/listening", 75)]),
    ] {
        let found = spend(by, 100).await;
        let rows: Vec<(&str, u64)> =
            found.rows.iter().map(|row| (row.name.as_str(), row.cost.get())).collect();
        assert_eq!(rows, expected, "{by:?}");
        assert_eq!((found.total, found.erased), (usd(75), usd(0)));
    }
    store.delete_session("c", None).await.expect("erased");
    let found = spend(SpendBy::User, 1).await;
    assert_eq!(
        (found.rows.len(), found.total, found.erased),
        (1, usd(35), usd(40)),
        "the sum knows what the rows leave out"
    );
}

/// How many calls there are in all sums.
async fn calls(bench: &Bench) -> i64 {
    let mut connection = bench.connect().await;
    let sum: (i64,) = sqlx::query_as("SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT) FROM rollup_calls")
        .fetch_one(&mut connection)
        .await
        .expect("read");
    sum.0
}

async fn end(store: &dyn Store, id: &str) {
    open(store, &session(id), &quota()).await;
    store.end_session(id, 0, "normal", Quality::default(), MIDNIGHT).await.expect("ended");
}

async fn a_session_that_ends_is_added_up_by_its_id_and_no_other_is_looked_for(bench: Bench) {
    let store = &*bench.store;
    end(store, "a").await;
    // As an earlier version marks it while it adds it up. Whoever looks for the mark finds another transaction's session.
    let mut connection = bench.connect().await;
    let mark = "UPDATE sessions SET rolled_up = -1 WHERE id = 'a'";
    sqlx::query(mark).execute(&mut connection).await.expect("changed");
    drop(connection);
    end(store, "b").await;
    assert_eq!(calls(&bench).await, 2, "each once");
    open(store, &session("c"), &quota()).await;
    assert!(store.end_elsewhere("c", "ended_by_operator").await.expect("ended"));
    assert_eq!(calls(&bench).await, 3);
    assert!(store.delete_session("b", None).await.expect("erased"));
    assert_eq!(calls(&bench).await, 2);
}

async fn sums_are_emptied_in_steps_that_anybody_goes_on_with(bench: Bench) {
    let (store, other) = (&*bench.store, bench.another().await);
    end(store, "a").await;
    let mut connection = bench.connect().await;
    let many = "INSERT INTO rollup_calls (hour, account, agent, reason, calls, milliseconds, reconnects)
        WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
        SELECT i * 3600000, 'acme', 'echo', 'normal', 1, 1, 0 FROM n";
    sqlx::query(many).execute(&mut connection).await.expect("written");
    drop(connection);
    store.roll_up_anew().await.expect("asked for");
    assert_eq!(store.roll_up(7).await.expect("emptied"), RolledUp::Emptied(10_001), "some at a time");
    // Neither one that ends now nor one that is erased now is in the sums that are being emptied.
    end(store, "b").await;
    end(store, "c").await;
    assert!(store.delete_session("c", None).await.expect("erased"));
    assert_eq!(calls(&bench).await, 25_001 - 10_001);
    store.roll_up_anew().await.expect("asked for again: it goes on");
    let mut emptied = 0;
    loop {
        match other.roll_up(7).await.expect("emptied") {
            RolledUp::Emptied(0) => break,
            RolledUp::Emptied(more) => emptied += more,
            RolledUp::Added(added) => panic!("{added} were added too early"),
        }
    }
    // What was left of the calls. The row of the user went with the session that was erased.
    assert_eq!((emptied, calls(&bench).await), (25_001 - 10_001, 0));
    assert_eq!(other.roll_up(7).await.expect("added"), RolledUp::Added(2));
    assert_eq!(calls(&bench).await, 2, "a and b");
    end(store, "d").await;
    assert_eq!(calls(&bench).await, 3, "and whoever ends from then on");
}
