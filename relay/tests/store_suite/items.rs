//! Sessions that pay for several things: audio, tokens, characters; and what a relay that is lost may have paid for.

use std::time::Duration;

use relay::money::ledger::{ItemSum, LedgerRow};
use relay::records::store::{
    Leases, Payer, Quality, Reserve, Settle, StoreError, Swept, TakeOver, TakenOver,
};

use super::{
    Bench, LEASE, RELAY, WIDE, caps, of_a_lost_relay, on_both_databases, open, quota, reserve, row, session,
    settle, usd,
};

on_both_databases! {
    a_session_of_several_items_is_summed_by_unit_and_goes_on_elsewhere_by_item
    a_row_says_for_which_turn_and_which_request_of_the_provider_it_was_spent
    what_a_lost_relay_had_exposed_is_charged_once_as_a_row_that_says_so
    what_was_settled_is_exposed_no_more
    of_several_items_what_was_spent_before_an_end_from_outside_is_owed
}

const EXPOSED: u64 = 5_000;

fn of_item(item: &str, unit: &str, key: &str, quantity: u64, cost: u64) -> LedgerRow {
    let provider = item.split('/').next().expect("a provider").to_owned();
    LedgerRow { provider, item: item.into(), unit: unit.into(), ..row(key, quantity, cost) }
}

fn sum(item: &str, unit: &str, quantity: u64, cost: u64) -> ItemSum {
    ItemSum { item: item.into(), unit: unit.into(), quantity, cost: usd(cost) }
}

/// One turn: heard, thought about, spoken.
fn turn_of(number: u32) -> Vec<LedgerRow> {
    let for_turn =
        |row: LedgerRow| LedgerRow { turn: Some(number), request_id: Some(format!("req_{number}")), ..row };
    vec![
        of_item("ear/nova", "sample", &format!("ear/nova@{}", number * 1_600), 1_600, 8),
        for_turn(of_item("mind/small", "input_token", &format!("mind@0.{number}/input_token"), 900, 90)),
        for_turn(of_item("mind/small", "cached_token", &format!("mind@0.{number}/cached_token"), 100, 1)),
        for_turn(of_item("mind/small", "output_token", &format!("mind@0.{number}/output_token"), 40, 20)),
        for_turn(of_item("voice/flash", "character", &format!("voice@0.{number}/character"), 120, 60)),
        of_item("voice/own", "sample", &format!("voice/own@{}", number * 800), 800, 2),
    ]
}

fn cost(rows: &[LedgerRow]) -> u64 {
    rows.iter().map(|row| row.cost.get()).sum()
}

async fn taken_over(bench: &Bench, id: &str, epoch: u32) -> Option<TakenOver> {
    let by =
        TakeOver { epoch, resume_hash: [8; 32], previous: [7; 32], relay: "relay-2".into(), lease: LEASE };
    bench.store.take_over(id, &by).await.expect("answered")
}

async fn budgets(bench: &Bench) -> Vec<(i64, i64)> {
    let mut connection = bench.connect().await;
    let read = sqlx::query_as("SELECT spent_nano_usd, reserved_nano_usd FROM budgets");
    read.fetch_all(&mut connection).await.expect("read")
}

async fn a_session_of_several_items_is_summed_by_unit_and_goes_on_elsewhere_by_item(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    open(store, &session("a"), &quota()).await;
    let empty = taken_over(&bench, "a", 0).await.expect("live");
    assert_eq!(empty.by_item, []);
    store.reserve(&Reserve { epoch: 1, ..reserve("a", 1_000, 1_000, all) }).await.expect("answered");
    for number in 0..2 {
        // Twice: what is there already adds to no sum.
        for _ in 0..2 {
            let settle = Settle { epoch: 1, ..settle("a", turn_of(number), all) };
            store.settle(&settle).await.expect("written");
        }
    }
    let taken = taken_over(&bench, "a", 1).await.expect("live");
    assert_eq!(
        taken.by_item,
        [
            sum("ear/nova", "sample", 3_200, 16),
            sum("mind/small", "cached_token", 200, 2),
            sum("mind/small", "input_token", 1_800, 180),
            sum("mind/small", "output_token", 80, 40),
            sum("voice/flash", "character", 240, 120),
            sum("voice/own", "sample", 1_600, 4),
        ]
    );
    let row = taken.session;
    assert_eq!((row.audio_samples, row.tokens, row.characters), (4_800, 2_080, 240));
    assert_eq!((row.cost, row.authorised), (usd(362), usd(362)));
    assert_eq!(store.ledger("a").await.expect("read").len(), 12);
    assert_eq!(budgets(&bench).await, [(362, 0); 2]);
}

async fn a_row_says_for_which_turn_and_which_request_of_the_provider_it_was_spent(bench: Bench) {
    let store = &*bench.store;
    open(store, &session("a"), &quota()).await;
    store.settle(&settle("a", turn_of(7), caps(WIDE, WIDE, WIDE))).await.expect("written");
    let mut written = turn_of(7);
    written.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(store.ledger("a").await.expect("read"), written);
    assert!(written.iter().any(|row| row.turn.is_none()) && written.iter().any(|row| row.turn == Some(7)));
}

async fn what_a_lost_relay_had_exposed_is_charged_once_as_a_row_that_says_so(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    for id in ["taken", "swept", "ended"] {
        open(store, &session(id), &quota()).await;
        // The audio of the turn is settled, the request is under way.
        let exposed = Reserve { exposed: usd(EXPOSED), ..reserve(id, 9_000, 9_000, all) };
        store.reserve(&exposed).await.expect("answered");
        let heard = vec![of_item("ear/nova", "sample", "ear/nova@0", 1_600, 8)];
        let settle = Settle { exposed: usd(EXPOSED), at_ms: 1_000, ..settle(id, heard, all) };
        store.settle(&settle).await.expect("written");
    }
    let lost = LedgerRow {
        key: "lost@0".into(),
        provider: "unknown".into(),
        item: "unknown/lost".into(),
        unit: "nano_usd".into(),
        quantity: EXPOSED,
        price: usd(1),
        per: 1,
        price_version: "none".into(),
        cost: usd(EXPOSED),
        estimated: true,
        turn: None,
        request_id: None,
    };

    let taken = taken_over(&bench, "taken", 0).await.expect("live");
    let charged = [sum("ear/nova", "sample", 1_600, 8), sum("unknown/lost", "nano_usd", EXPOSED, EXPOSED)];
    assert_eq!((taken.by_item.as_slice(), taken.metered_at_ms), (charged.as_slice(), Some(1_000)));
    assert_eq!((taken.session.cost, taken.session.authorised), (usd(8 + EXPOSED), usd(8 + EXPOSED)));

    store.end_leases(Leases::Of(RELAY)).await.expect("written");
    let window = Duration::from_secs(600);
    assert_eq!(store.sweep(window).await.expect("swept"), Swept { released: 2, ended: 0 });
    assert_eq!(store.sweep(window).await.expect("swept"), Swept::default());
    assert_eq!(store.sweep(Duration::ZERO).await.expect("swept").ended, 2, "nobody came for them");
    assert!(!store.end_elsewhere("ended", "normal").await.expect("answered"), "it is over");
    for id in ["taken", "swept", "ended"] {
        let ledger = store.ledger(id).await.expect("read");
        assert_eq!(ledger.iter().filter(|row| row.cost == usd(EXPOSED)).collect::<Vec<_>>(), [&lost], "{id}");
        assert_eq!(cost(&ledger), 8 + EXPOSED, "{id}");
        let late = store.settle(&settle(id, turn_of(0), all)).await;
        assert!(matches!(late, Err(StoreError::Fenced { .. })), "{id} is charged already: {late:?}");
    }
    let next = taken.session.epoch;
    assert!(
        taken_over(&bench, "taken", next).await.expect("live").by_item == charged,
        "nothing is exposed now"
    );
    assert_eq!(budgets(&bench).await, [(3 * (8 + EXPOSED as i64), 0); 2]);
}

async fn what_was_settled_is_exposed_no_more(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    let brief = of_a_lost_relay();
    for id in ["settled", "refused", "handed over"] {
        open(store, &session(id), &brief).await;
        let exposed = Reserve { exposed: usd(EXPOSED), ..reserve(id, EXPOSED, EXPOSED, all) };
        store.reserve(&exposed).await.expect("answered");
    }
    // The request is answered; it is given up, and cost nothing; the relay leaves with all it owes written.
    store.settle(&settle("settled", turn_of(0), all)).await.expect("written");
    store.settle(&settle("refused", Vec::new(), all)).await.expect("written");
    let release = Settle { release: true, ..settle("handed over", turn_of(0), all) };
    store.settle(&release).await.expect("written");
    store.sweep(Duration::from_secs(600)).await.expect("swept");
    for (id, spent) in [("settled", 181), ("refused", 0), ("handed over", 181)] {
        let ledger = store.ledger(id).await.expect("read");
        assert_eq!((cost(&ledger), ledger.iter().any(|row| row.estimated)), (spent, false), "{id}");
    }
    assert_eq!(budgets(&bench).await, [(2 * 181, 0); 2]);
}

async fn of_several_items_what_was_spent_before_an_end_from_outside_is_owed(bench: Bench) {
    let store = &*bench.store;
    let all = caps(WIDE, WIDE, WIDE);
    let payer = Some(Payer { user_sub: "ada".into(), account: "acme".into() });
    let owed = |id: &str, rows| Settle { payer: payer.clone(), ..settle(id, rows, all) };
    // What is owed begins with a request; or with audio of the second of two items that are heard.
    let requests = turn_of(1)[1..5].to_vec();
    let audio = vec![of_item("voice/own", "sample", "voice/own@800", 800, 2)];
    for (id, late) in [("request", &requests), ("audio", &audio)] {
        let erased = format!("{id} of one that was erased");
        for id in [id, &erased] {
            open(store, &session(id), &quota()).await;
            store.settle(&owed(id, turn_of(0))).await.expect("written");
            assert!(store.end_elsewhere(id, "normal").await.expect("ended"));
        }
        for _ in 0..2 {
            let settled = store.settle(&owed(id, late.clone())).await.expect("owed");
            assert_eq!(settled.cost, usd(181 + cost(late)), "{id}");
        }
        assert!(store.delete_session(&erased, None).await.expect("erased"));
        for _ in 0..2 {
            let answer = store.settle(&owed(&erased, late.clone())).await;
            assert!(matches!(answer, Err(StoreError::Erased { .. })), "{id}: {answer:?}");
        }
    }
    let spent = 4 * 181 + 2 * cost(&requests) + 2 * cost(&audio);
    assert_eq!(budgets(&bench).await, [(spent as i64, 0); 2]);

    // Audio of an item that another relay went on with is not owed, however little was heard of the others.
    open(store, &session("taken"), &quota()).await;
    store.settle(&owed("taken", turn_of(0))).await.expect("written");
    taken_over(&bench, "taken", 0).await.expect("live");
    let again = vec![of_item("voice/own", "sample", "voice/own@800", 400, 1)];
    store.settle(&Settle { epoch: 1, ..owed("taken", again) }).await.expect("written");
    store.end_session("taken", 1, "normal", Quality::default(), 1).await.expect("written");
    let refused = store.settle(&owed("taken", audio.clone())).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
}
