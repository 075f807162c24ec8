//! Reserve, spend, settle.

use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use relay::money::budget::{Balance, Range, Reserved, Scope};
use relay::records::store::{
    AlertFilter, NewSession, Notice, Opened, Quality, Quota, Reserve, Settle, Store, StoreError, Swept,
    TakeOver, unix_ms,
};
use std::time::Duration;

use super::{
    Bench, LEASE, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, reserve, row, session, settle,
    usd,
};

on_both_databases! {
    what_is_reserved_is_gone_for_others_until_it_is_given_back
    a_request_that_is_repeated_reserves_once
    a_quarter_of_what_is_left_is_granted_beyond_what_is_needed
    who_waits_for_others_keeps_no_more_than_is_spent
    who_has_more_exposed_than_set_aside_is_given_no_more_than_there_is
    a_settlement_that_is_written_late_gives_no_audio_back_that_was_committed_since
    a_turn_takes_what_it_commits_from_what_may_be_played_again
    a_copy_of_a_settlement_counts_for_its_rows_alone
    a_shortage_names_the_tightest_budget_and_whether_waiting_helps
    what_is_spent_comes_out_of_what_is_reserved
    a_row_that_is_written_twice_counts_once
    what_was_used_is_owed_after_the_end
    a_lost_session_gives_back_and_what_it_had_exposed_is_charged_once
    what_was_spent_before_a_session_was_ended_from_outside_is_owed_unless_somebody_went_on
    a_new_day_has_a_new_budget
    thresholds_are_told_once
    thresholds_that_the_charge_for_a_lost_session_reaches_are_told_once
    thresholds_that_a_lower_limit_puts_below_what_is_spent_are_told_with_the_next_settlement
    a_budget_that_is_used_up_is_told_once
    whatever_the_jump_thresholds_are_told_in_order_with_the_sum_of_that_moment
    a_budget_that_is_used_up_is_told_after_its_lower_thresholds_with_what_the_ledger_says
    a_session_without_money_is_refused_and_leaves_nothing
    the_ledger_is_append_only
}

/// What the store says is left for another session of the same user.
async fn room(bench: &Bench, caps: relay::money::budget::Caps) -> Balance {
    let probe = format!("probe-{}", uuid::Uuid::now_v7());
    let quota = Quota { caps, ..quota() };
    match bench.store.open_session(&session(&probe), &quota).await.expect("answered") {
        Opened::Yes { grant, .. } => {
            bench.store.end_session(&probe, 0, "normal", Quality::default(), 1).await.expect("written");
            assert_eq!(grant.standing.user.spent, grant.standing.account.spent);
            assert_eq!(grant.standing.user.reserved, grant.standing.account.reserved);
            grant.standing.user
        }
        refused => panic!("{refused:?}"),
    }
}

async fn what_is_reserved_is_gone_for_others_until_it_is_given_back(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(100, 150, WIDE);
    let quota = Quota { caps, reserve: Range { at_least: usd(80), at_most: usd(80) }, ..quota() };
    assert_eq!(open(store, &session("a"), &quota).await, usd(80));
    let refused = store.open_session(&session("b"), &quota).await.expect("answered");
    assert!(
        matches!(refused, Opened::NoMoney(short) if short.scope == Scope::User && short.contended),
        "{refused:?}"
    );
    let other = NewSession { user_sub: "bob".into(), ..session("c") };
    assert_eq!(open(store, &other, &quota).await, usd(80), "others have a budget of their own");
    store.end_session("a", 0, "normal", Quality::default(), 1).await.expect("written");
    assert_eq!(open(store, &session("b"), &quota).await, usd(80));
}

async fn a_request_that_is_repeated_reserves_once(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(100, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    for _ in 0..3 {
        let Reserved::Granted(grant) = store.reserve(&reserve("a", 10, 60, caps)).await.expect("answered")
        else {
            panic!("there is money");
        };
        assert_eq!((grant.authorised, grant.standing.user.reserved), (usd(60), usd(60)));
        assert_eq!(grant.standing.session, Balance { limit: usd(100), spent: usd(0), reserved: usd(60) });
    }
    let Reserved::Granted(less) = store.reserve(&reserve("a", 10, 20, caps)).await.expect("answered") else {
        panic!("there is money");
    };
    assert_eq!(less.authorised, usd(60), "what was granted stays granted");
}

async fn a_quarter_of_what_is_left_is_granted_beyond_what_is_needed(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(WIDE, 100, WIDE);
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let granted = async |id: &str, least, most| match store.reserve(&reserve(id, least, most, caps)).await {
        Ok(Reserved::Granted(grant)) => Ok(grant.authorised.get()),
        Ok(Reserved::Short(short)) => Err(short.authorised.get()),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(granted("a", 1, 70).await, Ok(25), "a quarter of 100, so that b finds something");
    assert_eq!(granted("b", 1, 70).await, Ok(18), "a quarter of 75");
    assert_eq!(granted("b", 18, 20).await, Ok(20), "never more than was asked for");
    assert_eq!(granted("b", 60, 70).await, Ok(60), "what is needed is granted while it is there");
    assert_eq!(granted("a", 40, 70).await, Ok(40), "to the last");
    assert_eq!(granted("b", 60, 70).await, Ok(60), "and what was granted stays");

    let own = self::caps(100, WIDE, WIDE);
    open(store, &session("c"), &quota()).await;
    let Ok(Reserved::Granted(grant)) = store.reserve(&reserve("c", 1, 400, own)).await else {
        panic!("there is money");
    };
    assert_eq!(grant.authorised, usd(100), "a session shares its own budget with nobody");
}

async fn who_waits_for_others_keeps_no_more_than_is_spent(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(WIDE, 100, WIDE);
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let ask = async |id: &str, spent, least| {
        let ask = Reserve { spent: usd(spent), ..reserve(id, least, least, caps) };
        match store.reserve(&ask).await.expect("answered") {
            Reserved::Granted(grant) => Ok(grant.authorised.get()),
            Reserved::Short(short) => Err((short.contended, short.authorised.get())),
        }
    };
    assert_eq!((ask("a", 0, 55).await, ask("b", 0, 45).await), (Ok(55), Ok(45)));
    store.settle(&settle("a", vec![row("1", 1, 30)], caps)).await.expect("written");
    // Each would wait for the other: of a's 55, 50 are spent, 30 of them are settled.
    assert_eq!(ask("a", 50, 60).await, Err((true, 50)));
    assert_eq!(ask("a", 50, 60).await, Err((true, 50)), "asked again, nothing changes");
    assert_eq!(ask("b", 44, 50).await, Ok(50));
    assert_eq!(ask("a", 50, 51).await, Err((true, 50)), "what is spent stays reserved until it is settled");
    store.settle(&settle("a", vec![row("2", 1, 20)], caps)).await.expect("written");
    store.settle(&settle("b", vec![row("1", 1, 50)], caps)).await.expect("written");
    assert_eq!(ask("a", 50, 51).await, Err((false, 50)), "there is nothing to wait for");
    let mut connection = bench.connect().await;
    let budgets: Vec<(i64, i64)> = sqlx::query_as("SELECT spent_nano_usd, reserved_nano_usd FROM budgets")
        .fetch_all(&mut connection)
        .await
        .expect("read");
    assert_eq!(budgets, [(100, 0); 2]);
}

async fn who_has_more_exposed_than_set_aside_is_given_no_more_than_there_is(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(100, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    let ask = Reserve { exposed: usd(40), ..reserve("a", 100, 100, caps) };
    assert!(matches!(store.reserve(&ask).await.expect("answered"), Reserved::Granted(_)));
    let spent = Settle { exposed: usd(40), ..settle("a", vec![row("1", 1, 90)], caps) };
    store.settle(&spent).await.expect("written");
    let ask = Reserve { spent: usd(90), ..reserve("a", 120, 120, caps) };
    let Reserved::Short(short) = store.reserve(&ask).await.expect("answered") else { panic!("granted") };
    assert_eq!((short.scope, short.authorised), (Scope::Session, usd(100)), "the cap holds");
    let stored = store.session("a").await.expect("read").expect("there");
    assert_eq!(stored.authorised, usd(100));
}

async fn a_settlement_that_is_written_late_gives_no_audio_back_that_was_committed_since(bench: Bench) {
    let (store, caps) = (&*bench.store, caps(WIDE, WIDE, WIDE));
    open(store, &session("a"), &quota()).await;
    let settlement = |seq, position, replayable_samples| Settle {
        metered_position: 4_000,
        committed: protocol::Mark { seq, position },
        replayable_samples,
        ..settle("a", vec![row("1", 4_000, 20)], caps)
    };
    store.settle(&settlement(0, 0, 4_000)).await.expect("written");
    store.settle(&settlement(3, 3_000, 1_000)).await.expect("written");
    // A copy of the first one, from the disk of a relay that was killed.
    store.settle(&settlement(0, 0, 4_000)).await.expect("written");
    assert_eq!(store.session("a").await.expect("read").expect("there").replayable_samples, 1_000);
}

async fn a_turn_takes_what_it_commits_from_what_may_be_played_again(bench: Bench) {
    let (store, caps) = (&*bench.store, caps(WIDE, WIDE, WIDE));
    open(store, &session("a"), &quota()).await;
    // Of 4,000 samples only 1,000 were heard by anybody, so that positions do not tell how many are left.
    let heard = Settle {
        metered_position: 4_000,
        replayable_samples: 1_000,
        ..settle("a", vec![row("1", 1_000, 20)], caps)
    };
    store.settle(&heard).await.expect("written");
    // The third and the fourth are copies of the first two, from the disk of a relay that was killed: more may have been heard since they were
    // made. The last knows of more than is written.
    for (seq, replayable, left) in [(1, 900, 900), (2, 400, 400), (1, 100, 400), (2, 300, 400), (3, 700, 400)]
    {
        let committed = protocol::Mark { seq, position: seq * 100 };
        store.save_turns("a", 0, &[], committed, replayable).await.expect("written");
        let stored = store.session("a").await.expect("read").expect("there");
        assert_eq!(stored.replayable_samples, left, "after the turn at {seq}");
    }
}

async fn a_copy_of_a_settlement_counts_for_its_rows_alone(bench: Bench) {
    let (store, caps) = (&*bench.store, caps(WIDE, WIDE, WIDE));
    open(store, &session("a"), &quota()).await;
    store.reserve(&reserve("a", 100, 100, caps)).await.expect("answered");
    let settlement = |number, key, replayable_samples, exposed| Settle {
        number,
        metered_position: 4_000,
        replayable_samples,
        exposed: usd(exposed),
        ..settle("a", vec![row(key, 100, 5)], caps)
    };
    store.settle(&settlement(1, "1", 100, 30)).await.expect("written");
    store.settle(&settlement(2, "2", 4_000, 10)).await.expect("written");
    // Both from the disk of a relay, the second one with a row that is not there yet, and an order to give everything back.
    store.settle(&settlement(1, "1", 100, 30)).await.expect("written");
    store.settle(&Settle { release: true, ..settlement(2, "3", 0, 0) }).await.expect("written");
    let stored = store.session("a").await.expect("read").expect("there");
    assert_eq!((stored.replayable_samples, stored.settlements), (4_000, 2));
    assert_eq!(
        (stored.cost, stored.authorised),
        (usd(15), usd(100)),
        "a row counts, and nothing is given back"
    );
    store.settle(&Settle { release: true, ..settlement(3, "3", 0, 0) }).await.expect("written");
    let stored = store.session("a").await.expect("read").expect("there");
    assert_eq!((stored.replayable_samples, stored.authorised), (0, usd(15)), "the next one does");
}

async fn a_shortage_names_the_tightest_budget_and_whether_waiting_helps(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let short = async |id: &str, least, caps| match store.reserve(&reserve(id, least, least, caps)).await {
        Ok(Reserved::Short(short)) => (short.scope, short.contended),
        other => panic!("{other:?}"),
    };
    assert_eq!(short("a", 11, caps(10, 100, 1_000)).await, (Scope::Session, false));
    assert_eq!(short("a", 101, caps(1_000, 100, 1_000)).await, (Scope::User, false));
    assert_eq!(short("a", 1_001, caps(WIDE, WIDE, 1_000)).await, (Scope::Account, false));
    let Ok(Reserved::Granted(_)) = store.reserve(&reserve("b", 60, 60, caps(WIDE, 100, WIDE))).await else {
        panic!("there is money");
    };
    assert_eq!(short("a", 50, caps(WIDE, 100, WIDE)).await, (Scope::User, true), "b may give it back");
    store.settle(&settle("b", vec![row("1", 1, 60)], caps(WIDE, 100, WIDE))).await.expect("written");
    assert_eq!(short("a", 50, caps(WIDE, 100, WIDE)).await, (Scope::User, false), "b has spent it");
}

async fn what_is_spent_comes_out_of_what_is_reserved(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(100, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    store.reserve(&reserve("a", 60, 60, caps)).await.expect("answered");
    let rows = vec![row("1", 1_600, 8), row("2", 3_200, 16)];
    let settled = store
        .settle(&Settle { metered_position: 4_800, ..settle("a", rows.clone(), caps) })
        .await
        .expect("written");
    assert_eq!(settled.cost, usd(24));
    assert_eq!(settled.standing.session, Balance { limit: usd(100), spent: usd(24), reserved: usd(36) });
    assert_eq!(settled.standing.user, Balance { limit: usd(WIDE), spent: usd(24), reserved: usd(36) });
    assert_eq!(store.ledger("a").await.expect("read"), rows);
    let stored = store.session("a").await.expect("read").expect("there");
    assert_eq!((stored.audio_samples, stored.cost, stored.authorised), (4_800, usd(24), usd(60)));
    assert_eq!(stored.metered_position, 4_800);

    let released =
        store.settle(&Settle { release: true, ..settle("a", vec![], caps) }).await.expect("written");
    assert_eq!(released.standing.user, Balance { limit: usd(WIDE), spent: usd(24), reserved: usd(0) });
    assert_eq!(store.session("a").await.expect("read").expect("there").authorised, usd(24));
}

async fn a_row_that_is_written_twice_counts_once(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let all = caps(WIDE, WIDE, WIDE);
    store.reserve(&reserve("a", 100, 100, all)).await.expect("answered");
    let rows: Vec<_> = (0..7).map(|n| row(&format!("{n}"), 1_600, 8)).collect();
    for part in [&rows[..3], &rows[..3], &rows[1..7], &rows[..], &[]] {
        store.settle(&settle("a", part.to_vec(), all)).await.expect("written");
    }
    let disguised = row("3", 999_999, 999_999);
    store.settle(&settle("a", vec![disguised], all)).await.expect("written");
    assert_eq!(store.ledger("a").await.expect("read"), rows);
    let stored = store.session("a").await.expect("read").expect("there");
    assert_eq!((stored.audio_samples, stored.cost), (11_200, usd(56)));
    assert_eq!(room(&bench, all).await, Balance { limit: usd(WIDE), spent: usd(56), reserved: usd(44) });
}

async fn what_was_used_is_owed_after_the_end(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    store.reserve(&reserve("a", 100, 100, all)).await.expect("answered");
    store.end_session("a", 0, "normal", Quality::default(), 1).await.expect("written");
    assert_eq!(room(&bench, all).await.reserved, usd(0));
    let settled = store.settle(&settle("a", vec![row("1", 1_600, 8)], all)).await.expect("written");
    assert_eq!((settled.cost, settled.standing.user.spent), (usd(8), usd(8)));
    assert_eq!(settled.standing.user.reserved, usd(0));
    for refused in [
        store.reserve(&reserve("a", 200, 200, all)).await.map(drop),
        store.reserve(&reserve("nobody", 200, 200, all)).await.map(drop),
        store.settle(&settle("nobody", vec![row("1", 1, 1)], all)).await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::NoSession { .. })), "{refused:?}");
    }
}

async fn a_lost_session_gives_back_and_what_it_had_exposed_is_charged_once(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    let brief = of_a_lost_relay();
    for id in ["swept", "taken", "idle"] {
        open(store, &session(id), &brief).await;
        let exposed = if id == "idle" { usd(0) } else { usd(30) };
        store.reserve(&Reserve { exposed, ..reserve(id, 100, 100, all) }).await.expect("answered");
    }
    let by =
        TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    let taken = store.take_over("taken", &by).await.expect("written").expect("live");
    assert_eq!((taken.session.cost, taken.session.authorised), (usd(30), usd(30)));
    let window = Duration::from_secs(600);
    assert_eq!(store.sweep(window).await.expect("swept"), Swept { released: 2, ended: 0 });
    assert_eq!(store.sweep(window).await.expect("swept"), Swept::default());
    for id in ["swept", "taken"] {
        let ledger = store.ledger(id).await.expect("read");
        assert_eq!((ledger.len(), ledger[0].cost, ledger[0].estimated), (1, usd(30), true), "{id}");
    }
    assert_eq!(store.ledger("idle").await.expect("read"), []);
    assert_eq!(room(&bench, all).await, Balance { limit: usd(WIDE), spent: usd(60), reserved: usd(0) });
    for id in ["swept", "taken"] {
        let late = store.settle(&settle(id, vec![row("late", 1, 1)], all)).await;
        assert!(matches!(late, Err(StoreError::Fenced { .. })), "{id} is charged already: {late:?}");
    }
    let owed = store.settle(&settle("idle", vec![row("late", 1, 1)], all)).await.expect("written");
    assert_eq!(owed.cost, usd(1), "nothing was charged for it yet");
}

async fn what_was_spent_before_a_session_was_ended_from_outside_is_owed_unless_somebody_went_on(
    bench: Bench,
) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    let (first, late) = (row("echo/listening@0", 1_600, 8), row("echo/listening@1600", 800, 4));
    for id in ["ended", "taken", "charged"] {
        open(store, &session(id), &quota()).await;
        store.settle(&settle(id, vec![first.clone()], all)).await.expect("written");
    }
    assert!(store.end_elsewhere("ended", "normal").await.expect("ended"));
    for _ in 0..2 {
        let owed = store.settle(&settle("ended", vec![late.clone()], all)).await.expect("written");
        assert_eq!(owed.cost, usd(12));
    }
    assert_eq!(store.ledger("ended").await.expect("read").len(), 2, "once");

    let by =
        TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    store.take_over("taken", &by).await.expect("written").expect("live");
    let refused = store.settle(&settle("taken", vec![late.clone()], all)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "it goes on there: {refused:?}");
    let again = Settle { epoch: 1, ..settle("taken", vec![row("echo/listening@1600", 400, 2)], all) };
    store.settle(&again).await.expect("played again there");
    store.end_session("taken", 1, "normal", Quality::default(), 1).await.expect("written");
    let refused = store.settle(&settle("taken", vec![late.clone()], all)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "it was metered there: {refused:?}");

    let exposed = Reserve { exposed: usd(30), ..reserve("charged", 100, 100, all) };
    store.reserve(&exposed).await.expect("answered");
    assert!(store.end_elsewhere("charged", "normal").await.expect("ended"));
    let refused = store.settle(&settle("charged", vec![late], all)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "it was charged as lost: {refused:?}");
}

async fn a_new_day_has_a_new_budget(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(WIDE, 100, 1_000);
    // 2026-11-30 23:59:59 UTC.
    let night = 1_796_083_199_000;
    let morning = night + 2_000;
    open(store, &NewSession { started_at_ms: night, ..session("a") }, &quota()).await;
    let at = |at_ms, least, most| Reserve { at_ms, ..reserve("a", least, most, caps) };
    assert!(matches!(store.reserve(&at(night, 90, 90)).await, Ok(Reserved::Granted(_))));
    store.settle(&settle("a", vec![row("1", 1, 80)], caps)).await.expect("written");
    assert!(matches!(store.reserve(&at(night, 120, 120)).await, Ok(Reserved::Short(_))));
    let Ok(Reserved::Granted(grant)) = store.reserve(&at(morning, 120, 120)).await else {
        panic!("it is a new day");
    };
    assert_eq!(grant.standing.user, Balance { limit: usd(100), spent: usd(0), reserved: usd(40) });
    assert_eq!(grant.standing.account, Balance { limit: usd(1_000), spent: usd(0), reserved: usd(40) });
    // The old day has what was spent in it, and nothing is set aside there any more.
    let before = NewSession { started_at_ms: night, ..session("b") };
    let Ok(Opened::Yes { grant, .. }) = store.open_session(&before, &Quota { caps, ..quota() }).await else {
        panic!("there is room");
    };
    assert_eq!(grant.standing.user, Balance { limit: usd(100), spent: usd(80), reserved: usd(0) });
}

async fn thresholds_are_told_once(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(100, 200, 1_000);
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let mut count = 0;
    let mut spend = async |id: &str, cost: u64| {
        count += 1;
        let rows = vec![row(&format!("{count}"), 1, cost)];
        let settled = store.settle(&settle(id, rows, caps)).await.expect("written");
        settled.alerts.iter().map(|alert| (alert.scope, alert.percent)).collect::<Vec<_>>()
    };
    assert_eq!(spend("a", 49).await, []);
    assert_eq!(spend("a", 1).await, [(Scope::Session, 50)]);
    assert_eq!(spend("a", 1).await, []);
    assert_eq!(spend("a", 49).await, [(Scope::Session, 80), (Scope::Session, 100), (Scope::User, 50)]);
    assert_eq!(spend("b", 0).await, []);
    assert_eq!(
        spend("b", 100).await,
        [
            (Scope::Session, 50),
            (Scope::Session, 80),
            (Scope::Session, 100),
            (Scope::User, 80),
            (Scope::User, 100)
        ]
    );
}

/// The thresholds of users and accounts that are noted, with what was spent by then.
async fn noted(store: &dyn Store) -> Vec<(&'static str, u32, u64)> {
    let rows = store.list_alerts(&AlertFilter::default(), None, 100).await.expect("read").rows;
    let budgets = rows.iter().filter_map(|row| row.alert.budget());
    let shared = budgets.filter(|alert| alert.scope != Scope::Session);
    let mut noted: Vec<_> =
        shared.map(|alert| (alert.scope.name(), alert.percent, alert.spent.get())).collect();
    noted.sort_unstable();
    noted
}

async fn thresholds_that_the_charge_for_a_lost_session_reaches_are_told_once(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(WIDE, 100, 1_000);
    let begins = Quota { caps, ..quota() };
    open(store, &session("a"), &begins).await;
    store.settle(&settle("a", vec![row("1", 1, 60)], caps)).await.expect("written");
    assert_eq!(noted(store).await, [("user", 50, 60)]);
    let exposed = Reserve { exposed: usd(25), ..reserve("a", 95, 95, caps) };
    assert!(matches!(store.reserve(&exposed).await, Ok(Reserved::Granted(_))));
    let by =
        TakeOver { epoch: 0, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    let taken = store.take_over("a", &by).await.expect("written").expect("live");
    assert_eq!(taken.session.cost, usd(85));
    assert_eq!(noted(store).await, [("user", 50, 60), ("user", 80, 85)], "before anybody settles again");
    let epoch = taken.session.epoch;
    let goes_on = Settle { epoch, ..settle("a", vec![row("2", 1, 5)], caps) };
    let settled = store.settle(&goes_on).await.expect("written");
    assert_eq!(settled.alerts, [], "it was told");
    // Nobody comes back to it.
    let exposed = Reserve { epoch, exposed: usd(10), ..reserve("a", 100, 100, caps) };
    assert!(matches!(store.reserve(&exposed).await, Ok(Reserved::Granted(_))));
    assert!(store.end_elsewhere("a", "abnormal").await.expect("ended"));
    assert_eq!(noted(store).await, [("user", 50, 60), ("user", 80, 85), ("user", 100, 100)]);
}

async fn thresholds_that_a_lower_limit_puts_below_what_is_spent_are_told_with_the_next_settlement(
    bench: Bench,
) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    let told = async |key: &'static str, caps| {
        let settled = store.settle(&settle("a", vec![row(key, 1, 1)], caps)).await.expect("written");
        settled.alerts.iter().map(|alert| (alert.scope, alert.percent)).collect::<Vec<_>>()
    };
    store.settle(&settle("a", vec![row("1", 1, 89)], caps(WIDE, 1_000, 1_000))).await.expect("written");
    assert_eq!(told("2", caps(WIDE, 1_000, 1_000)).await, []);
    // The plan changes while the call goes on.
    let first = [(Scope::User, 50), (Scope::User, 80)];
    assert_eq!(told("3", caps(WIDE, 100, 1_000)).await, first);
    assert_eq!(told("4", caps(WIDE, 100, 1_000)).await, []);
    assert_eq!(told("5", caps(WIDE, 100, 150)).await, [(Scope::Account, 50)]);
}

/// On one thread, which the counters are read on.
#[tokio::test]
async fn what_is_charged_for_a_lost_session_is_counted_whoever_finds_it_and_whether_or_not_they_wait() {
    for bench in [Bench::sqlite().await, Bench::postgres().await] {
        let store = &*bench.store;
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = recorder.handle();
        let _local = metrics::set_default_local_recorder(&recorder);
        let all = caps(WIDE, WIDE, WIDE);
        let lose = async |id: &'static str, cost| {
            open(store, &session(id), &of_a_lost_relay()).await;
            let exposed = Reserve { exposed: usd(cost), ..reserve(id, 100, 100, all) };
            store.reserve(&exposed).await.expect("answered");
        };
        let count = async |cost: u64| {
            let line = format!(
                "voxrelay_cost_nano_usd_total{{provider=\"unknown\",unit=\"nano_usd\",estimated=\"true\"}} {cost}"
            );
            let is_counted = || counted.render().lines().any(|said| said == line);
            let waiting = async {
                while !is_counted() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
            assert!(waited.is_ok(), "no {line} in {}", counted.render());
        };
        let alone = Quota { sessions_per_user: 1, ..quota() };
        let by = TakeOver {
            epoch: 0,
            resume_hash: [8; 32],
            previous: [7; 32],
            relay: "relay-2".into(),
            lease: LEASE,
        };
        lose("replaced", 1).await;
        let opened = store.open_session(&session("new"), &alone).await.expect("answered");
        assert!(matches!(&opened, Opened::Yes { replaced: Some(id), .. } if id == "replaced"), "{opened:?}");
        count(1).await;
        assert!(store.end_elsewhere("new", "abnormal").await.expect("ended"));
        lose("taken", 10).await;
        store.take_over("taken", &by).await.expect("written").expect("live");
        count(11).await;
        assert!(store.end_elsewhere("taken", "abnormal").await.expect("ended"));
        lose("ended", 20).await;
        assert!(store.end_elsewhere("ended", "abnormal").await.expect("ended"));
        count(31).await;
        lose("swept", 30).await;
        assert_eq!(store.sweep(Duration::from_secs(600)).await.expect("swept").released, 1);
        count(61).await;
        assert!(store.end_elsewhere("swept", "abnormal").await.expect("ended"));

        // Whoever asks for it is gone before it is done.
        lose("replaced and gone", 40).await;
        assert!(store.open_session(&session("next"), &alone).now_or_never().is_none());
        count(101).await;
        assert!(store.end_elsewhere("next", "abnormal").await.expect("ended"));
        lose("taken and gone", 50).await;
        assert!(store.take_over("taken and gone", &by).now_or_never().is_none());
        count(151).await;
        assert!(store.end_elsewhere("taken and gone", "abnormal").await.expect("ended"));
        lose("ended and gone", 60).await;
        assert!(store.end_elsewhere("ended and gone", "abnormal").now_or_never().is_none());
        count(211).await;
    }
}

async fn a_budget_that_is_used_up_is_told_once(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    open(store, &session("b"), &quota()).await;
    let balance = Balance { limit: usd(100), spent: usd(99), reserved: usd(0) };
    let first = store.exhausted("a", Scope::User, balance, unix_ms()).await.expect("written").expect("new");
    assert_eq!((first.scope, first.percent, first.spent, first.limit), (Scope::User, 100, usd(99), usd(100)));
    assert_eq!(
        (first.session_id.as_str(), first.user_sub.as_str(), first.account.as_str()),
        ("a", "ada", "acme")
    );
    assert_eq!(store.exhausted("b", Scope::User, balance, unix_ms()).await.expect("written"), None);
    assert!(store.exhausted("b", Scope::Session, balance, unix_ms()).await.expect("written").is_some());
}

async fn whatever_the_jump_thresholds_are_told_in_order_with_the_sum_of_that_moment(bench: Bench) {
    let store = &*bench.store;
    // A generator of numbers that are the same each time (Knuth's MMIX).
    let mut state = 54_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for user in 0..12 {
        let user = format!("user {user}");
        let ids = [format!("{user} a"), format!("{user} b")];
        for id in &ids {
            let new = NewSession { user_sub: user.clone(), account: user.clone(), ..session(id) };
            open(store, &new, &quota()).await;
        }
        let (mut told, mut of_user) = (std::collections::HashMap::<_, Vec<u32>>::new(), 0);
        let mut of_session = [0, 0];
        for step in 0..12 {
            let which = next(2) as usize;
            // Plans differ, and so do the limits of two sessions of one user.
            let caps = caps(100, 150 + 200 * which as u64, 400);
            let cost = [0, 1, 20, 60, 130][next(5) as usize];
            of_session[which] += cost;
            of_user += cost;
            let rows = vec![row(&step.to_string(), 1, cost)];
            let settled = store.settle(&settle(&ids[which], rows, caps)).await.expect("written");
            for alert in &settled.alerts {
                let sum = if alert.scope == Scope::Session { of_session[which] } else { of_user };
                assert_eq!(alert.spent, usd(sum), "{alert:?}");
                let budget = (alert.scope, (alert.scope == Scope::Session).then_some(which));
                told.entry(budget).or_default().push(alert.percent);
            }
        }
        for (budget, percents) in &told {
            let all = [50, 80, 100];
            assert_eq!(percents.as_slice(), &all[..percents.len()], "{budget:?} of {user}");
        }
    }
    let claimed = store.claim_alerts(LEASE, 1_000).await.expect("claimed");
    assert!(claimed.len() > 60, "{}", claimed.len());
    assert!(claimed.is_sorted_by_key(|alert| (alert.created_at_ms(), alert.id().to_owned())));
}

async fn a_budget_that_is_used_up_is_told_after_its_lower_thresholds_with_what_the_ledger_says(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(100, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    // What the relay knew when it asked for more, before it wrote what it had spent since.
    let known = Balance { limit: usd(100), spent: usd(20), reserved: usd(80) };
    store.settle(&settle("a", vec![row("1", 1, 65)], caps)).await.expect("written");
    let alert = store.exhausted("a", Scope::Session, known, unix_ms()).await.expect("written").expect("new");
    assert_eq!((alert.percent, alert.spent, alert.limit), (100, usd(65), usd(100)));
    store.settle(&settle("a", vec![row("2", 1, 30)], caps)).await.expect("written");
    let claimed = store.claim_alerts(LEASE, 10).await.expect("claimed");
    let budgets = claimed.iter().filter_map(Notice::budget);
    let told: Vec<_> = budgets.map(|alert| (alert.percent, alert.spent)).collect();
    assert_eq!(told, [(50, usd(65)), (80, usd(65)), (100, usd(65))], "and 80 % is not told after it");
}

async fn a_session_without_money_is_refused_and_leaves_nothing(bench: Bench) {
    let store = &*bench.store;
    let caps = caps(5, WIDE, WIDE);
    let quota = Quota { caps, reserve: Range { at_least: usd(6), at_most: usd(9) }, ..quota() };
    let refused = store.open_session(&session("a"), &quota).await.expect("answered");
    assert!(matches!(refused, Opened::NoMoney(short) if short.scope == Scope::Session && !short.contended));
    assert_eq!(store.session("a").await.expect("read"), None);
    assert_eq!(room(&bench, caps).await.reserved, usd(0));
}

async fn the_ledger_is_append_only(bench: Bench) {
    open(&*bench.store, &session("a"), &quota()).await;
    let all = caps(WIDE, WIDE, WIDE);
    bench.store.settle(&settle("a", vec![row("1", 1, 8)], all)).await.expect("written");
    let mut connection = bench.connect().await;
    let changed = sqlx::query("UPDATE ledger SET cost_nano_usd = 0").execute(&mut connection).await;
    assert!(changed.is_err_and(|error| error.to_string().contains("append-only")));
}
