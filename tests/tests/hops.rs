//! Somebody who goes from relay to relay in the middle of a call, of two that live and share a database: nothing is heard that is not paid
//! for, but what is played again, once. `take_over` has the limits.

use protocol::{ClientMessage, Gap, Mark};
use relay::records::store::{SessionRow, SqlStore, Store};
use tests::Relay;
use tests::hopper::{CHUNK, Hopper};
use tests::postgres::shared;

/// Two relays on one database, which may be looked at.
struct Bench {
    relays: [Relay; 2],
    store: SqlStore,
    _folders: [tempfile::TempDir; 2],
}

impl Bench {
    async fn start(limits: &str) -> Bench {
        let database = shared().database().await;
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let limits = format!("[limits]\n{limits}");
        let relays = [
            Relay::start_on(&database, folders[0].path(), &limits).await,
            Relay::start_on(&database, folders[1].path(), &limits).await,
        ];
        let store = SqlStore::postgres(&database).await.expect("opened");
        Bench { relays, store, _folders: folders }
    }

    async fn row(&self, id: &str) -> SessionRow {
        self.store.session(id).await.expect("readable").expect("stored")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hops_between_two_relays_pays_for_every_sample_but_what_is_played_again_once() {
    let bench = Bench::start("").await;
    let mut hopper = Hopper::begin(&bench.relays[0], "ada").await;
    let mut spoken = 0;
    for hop in 1..=6 {
        // Three seconds that nobody has written anything of yet, and of which nothing is committed: the sentence goes on.
        hopper.speak(30).await.expect("no limit is near");
        spoken += 30 * CHUNK;
        let resumed = hopper.hop(&bench.relays[hop % 2], Mark::default()).await.expect("it is theirs");
        assert_eq!(
            (resumed.epoch as usize, resumed.received),
            (hop, Mark::default()),
            "nothing is committed"
        );
        let row = bench.row(&hopper.id).await;
        // What the relay before had metered may be played again here, and what was played again there may not.
        let metered = hop.div_ceil(2) as u32 * 30 * CHUNK;
        let again = if hop % 2 == 1 { 30 * CHUNK } else { 0 };
        assert_eq!((row.audio_samples, row.replayable_samples), (metered.into(), again), "after {hop}");
    }
    hopper.speak(30).await.expect("no limit is near");
    spoken += 30 * CHUNK;
    let id = hopper.id.clone();
    let told = hopper.hang_up().await;
    let row = bench.row(&id).await;
    assert_eq!(
        row.audio_samples,
        4 * 30 * u64::from(CHUNK),
        "of {spoken} that were said three times was free"
    );
    assert_eq!(told, row.audio_samples / 16);
    let ledger = bench.store.ledger(&id).await.expect("readable");
    assert_eq!(ledger.iter().map(|row| row.quantity).sum::<u64>(), row.audio_samples);
    assert_eq!(row.authorised, row.cost, "nothing stays set aside");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_place_that_a_client_claims_gives_it_anything() {
    let bench = Bench::start("sessions_per_user = 20\n").await;
    let mut hopper = Hopper::begin(&bench.relays[0], "ada").await;
    hopper.speak(20).await.expect("no limit is near");
    for start in [
        Mark { seq: 1, position: 0 },
        Mark { seq: 20, position: 20 * CHUNK },
        Mark { seq: 0, position: 4_200_000_000 },
    ] {
        let refused = hopper.hop(&bench.relays[1], start).await;
        assert!(refused.is_none(), "{start:?}: {refused:?}");
    }
    // The relay that has it was not disturbed.
    hopper.speak(20).await.expect("it goes on");
    assert_eq!(bench.row(&hopper.id).await.epoch, 0);

    let mut far = Hopper::begin(&bench.relays[0], "bob").await;
    let to = Mark { seq: 1, position: 4_200_000_000 };
    far.raw.say(&ClientMessage::from(Gap { from: Mark::default(), to }).to_json()).await;
    assert_eq!(far.raw.end().await.1, 4400, "no frame is that long");

    // A long gap first, as somebody may have who was away; what follows is metered wherever it stands.
    let mut away = Hopper::begin(&bench.relays[0], "cyd").await;
    let mut spoken = 0;
    for hop in 1..=3 {
        let to = Mark { seq: away.next.seq + 3_000, position: away.next.position + 300 * 16_000 };
        away.raw.say(&ClientMessage::from(Gap { from: away.next, to }).to_json()).await;
        away.next = to;
        away.speak(20).await.expect("no limit is near");
        spoken += 20 * u64::from(CHUNK);
        away.hop(&bench.relays[hop % 2], Mark::default()).await.expect("it is theirs");
        let row = bench.row(&away.id).await;
        assert!(row.audio_samples * 2 >= spoken, "{} of {spoken}", row.audio_samples);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_a_sessions_own_whatever_relay_it_is_on() {
    let bench = Bench::start("burst_seconds = 20\n").await;
    let mut hopper = Hopper::begin(&bench.relays[0], "ada").await;
    // One sentence that is not over: nothing of it is committed.
    hopper.speak(190).await.expect("that is what the burst is for");
    hopper.hop(&bench.relays[1], Mark::default()).await.expect("it is theirs");
    hopper.speak(185).await.expect("what is played again passes at once");
    hopper.hop(&bench.relays[0], Mark::default()).await.expect("it is theirs");
    let (told, code) = hopper.speak(190).await.expect_err("there was no time for that");
    assert_eq!((told.map(|error| error.code).as_deref(), code), (Some("audio_too_fast"), 4429));
}
