//! A rolling deploy: a relay of an older version and the one that was just built, side by side on one PostgreSQL, and their clients.
//!
//! `cargo xtask rolling` builds the older one out of the repository's history and runs these tests; without it there is none to run.

use std::path::{Path, PathBuf};

use protocol::Mark;
use relay::config::Secret;
use relay::records::store::{SessionRow, SqlStore, Store};
use serde_json::Value;
use tempfile::TempDir;
use tests::hopper::{CHUNK, Hopper};
use tests::postgres::shared;
use tests::sound::{silence, voice};
use tests::{Relay, binary, sharing, token};
use tokio::process::Command;

/// The variable that says where the older program is.
const OLDER: &str = "E2E_OLDER_RELAY";

fn older() -> PathBuf {
    std::env::var_os(OLDER).expect("cargo xtask rolling says where it is").into()
}

/// Both relays on one database, which may be looked at.
struct Deploy {
    older: Relay,
    newer: Relay,
    store: SqlStore,
    _folders: [TempDir; 2],
}

/// What brings the schema up to what this program knows.
async fn migrate(program: &Path, database: &Secret) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program);
    command.arg("migrate").current_dir(folder.path()).env("DATABASE_URL", database.expose());
    let done = command.env("VOXRELAY_AUTH__HS256_SECRET", tests::SECRET).output().await.expect("it runs");
    assert!(done.status.success(), "{done:?}");
}

/// A relay of the older version on this database.
async fn start_older(database: &Secret, folder: &Path) -> Relay {
    let config = sharing(database, folder, "[limits]\nsessions_per_minute = 1000\n");
    Relay::start_program(&older(), folder, "127.0.0.1:0", &config, &[]).await
}

impl Deploy {
    /// In the order of the documentation: the older relay runs, the schema is migrated under it, and the newer one starts beside it.
    async fn start() -> Deploy {
        let database = shared().empty_database().await;
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        migrate(&older(), &database).await;
        let older = start_older(&database, folders[0].path()).await;
        let mut early = Hopper::begin(&older, "eve").await;
        early.speak(10).await.expect("the schema is its own");
        migrate(&binary(), &database).await;
        early.speak(10).await.expect("the schema is a newer one, and it goes on");
        early.hang_up().await;
        let newer = Relay::start_on(&database, folders[1].path(), "").await;
        let store = SqlStore::postgres(&database).await.expect("opened");
        Deploy { older, newer, store, _folders: folders }
    }
}

/// A session that has ended, whose money is in order.
async fn in_order(store: &SqlStore, id: &str) -> SessionRow {
    let row = store.session(id).await.expect("readable").expect("stored");
    let ledger = store.ledger(id).await.expect("readable");
    assert_eq!(ledger.iter().map(|row| row.quantity).sum::<u64>(), row.audio_samples);
    assert_eq!(row.authorised, row.cost, "nothing stays set aside");
    row
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs a relay of an older version: cargo xtask rolling"]
async fn a_session_goes_between_an_older_relay_and_this_one_and_pays_for_every_sample_but_what_is_played_again_once()
 {
    let deploy = Deploy::start().await;
    let relays = [&deploy.older, &deploy.newer];
    for first in [0, 1] {
        let mut hopper = Hopper::begin(relays[first], ["ada", "bob"][first]).await;
        for hop in 1..=6 {
            // Three seconds of a sentence that goes on, of which nothing is committed.
            hopper.speak(30).await.expect("no limit is near");
            let resumed = hopper.hop(relays[(first + hop) % 2], Mark::default()).await.expect("it is theirs");
            assert_eq!((resumed.epoch as usize, resumed.received), (hop, Mark::default()));
        }
        hopper.speak(30).await.expect("no limit is near");
        let id = hopper.id.clone();
        let told = hopper.hang_up().await;
        let row = in_order(&deploy.store, &id).await;
        assert_eq!(row.audio_samples, 4 * 30 * u64::from(CHUNK), "begun at {first}");
        assert_eq!(told, row.audio_samples / 16);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs a relay of an older version: cargo xtask rolling"]
async fn the_calls_of_an_older_relay_go_on_at_this_one_when_it_is_stopped_and_the_other_way_round() {
    for stops_older in [true, false] {
        let deploy = Deploy::start().await;
        let (stops, stays) = match stops_older {
            true => (deploy.older, deploy.newer),
            false => (deploy.newer, deploy.older),
        };
        let mut hoppers = Vec::new();
        for sub in ["ada", "bob", "cyd"] {
            let mut hopper = Hopper::begin(&stops, sub).await;
            hopper.speak(20).await.expect("no limit is near");
            hoppers.push(hopper);
        }
        stops.terminate().await;
        for mut hopper in hoppers {
            let resumed = hopper.hop(&stays, Mark::default()).await.expect("it is taken over");
            assert_eq!(resumed.epoch, 1);
            hopper.speak(30).await.expect("no limit is near");
            let id = hopper.id.clone();
            hopper.hang_up().await;
            let row = in_order(&deploy.store, &id).await;
            assert_eq!(row.audio_samples, 30 * u64::from(CHUNK), "two of three seconds were played again");
        }
        stays.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it needs a relay of an older version: cargo xtask rolling"]
async fn an_old_and_a_new_client_are_served_by_an_old_and_a_new_relay() {
    let deploy = Deploy::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let speech = folder.path().join("speech.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&speech, spec).expect("created");
    for sample in [voice(2.0), silence(1.5)].concat() {
        wav.write_sample(sample).expect("written");
    }
    wav.finalize().expect("written");
    for (client, relay) in [
        (older(), &deploy.older),
        (older(), &deploy.newer),
        (binary(), &deploy.older),
        (binary(), &deploy.newer),
    ] {
        let mut call = Command::new(&client);
        call.args(["call", &relay.url(), "--token", &token(), "--json", "--audio"]).arg(&speech);
        let done = call.output().await.expect("it runs");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{}: {done:?}", client.display());
        let told: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(told["ended"], "normal", "{told}");
        assert_eq!(told["missing_ms"], 0, "{told}");
        let who: Vec<_> =
            told["turns"].as_array().expect("a list").iter().map(|turn| &turn["role"]).collect();
        assert_eq!(who, ["user", "agent"], "{told}");
        let row = in_order(&deploy.store, told["session_id"].as_str().expect("an id")).await;
        assert_eq!(row.audio_samples, 16 * told["audio_ms"].as_u64().expect("a number"));
        assert_eq!(deploy.store.turns(&row.id).await.expect("readable").len(), 2);
    }
}
