use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use protocol::client::Event;
use protocol::{CloseCode, RelayMessage};
use relay::NanoUsd;
use relay::client::{Options, Report, run};
use relay::records::store::{SqlStore, Store};
use tests::http::get;
use tests::ports::free_address;
use tests::sound::voice;
use tests::{Heard, Raw, Relay, hello, token};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// A small disk of one's own.
struct Disk(PathBuf);

impl Disk {
    /// `None` where nothing may be mounted.
    fn mount(folder: &Path) -> Option<Disk> {
        std::fs::create_dir_all(folder).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs"])
            .arg(folder)
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Disk(folder.to_owned()))
    }

    /// Until not a byte more goes onto it.
    fn fill(&self) {
        let file = File::options().create(true).append(true).open(self.0.join("filling"));
        let mut file = file.expect("room for a name");
        for size in [65_536, 4_096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.join("filling")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Says that this was not looked at. The gate reads it, so it is written past what keeps the output of tests that pass to itself.
fn not_checked() {
    let line = "NOT CHECKED: a full disk: nothing may be mounted here; run this as root";
    writeln!(std::io::stderr(), "{line}").expect("somebody hears it");
}

async fn metric(address: SocketAddr, name: &str) -> String {
    let text = get(address, "/metrics").await;
    let line = text.lines().find(|line| line.starts_with(name)).expect("it is always there");
    line.rsplit(' ').next().expect("a value").to_owned()
}

async fn call(relay: &Relay, seconds: f64, tell: mpsc::UnboundedSender<Event>) -> Report {
    let mut speech = voice(seconds);
    for piece in speech.chunks_mut(48_000) {
        piece.iter_mut().skip(28_800).for_each(|sample| *sample = 0);
    }
    let options = Options { longest: Duration::from_secs(120), ..Options::new(relay.url(), token(), speech) };
    run(options, move |event| {
        let _ = tell.send(event.clone());
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_while_the_disk_is_full_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = Disk::mount(&folder.path().join("data")) else {
        return not_checked();
    };
    let free = free_address();
    let extra = format!("[metrics]\nlisten = \"{free}\"\n[store]\ngrace_seconds = 60\n");
    let relay = Relay::start(folder.path(), "127.0.0.1:0", &extra).await;
    let (tell, mut events) = mpsc::unbounded_channel();
    let (report, ()) = tokio::join!(call(&relay, 20.0, tell), async {
        loop {
            match events.recv().await.expect("it goes on") {
                Event::Transcript(_) => break,
                Event::Ended { .. } => panic!("it ended"),
                _ => {}
            }
        }
        assert_eq!(metric(free, "voxrelay_store_away ").await, "0");
        disk.fill();
        sleep(Duration::from_secs(8)).await;
        let mut raw = Raw::connect(&relay, None).await.expect("connects");
        raw.say(&protocol::ClientMessage::from(hello(&token(), None)).to_json()).await;
        assert_eq!(raw.end().await, (vec!["store_unavailable".to_owned()], CloseCode::TryLater.code()));
        assert_eq!(metric(free, "voxrelay_store_away ").await, "1", "who watches hears of it");
        relay.has_database("away").await;
        assert_eq!(relay.status("/readyz").await, 200, "the calls that it has may come back");
        disk.clear();
    });
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.reconnects, report.missing()), (0, 0), "the page did not notice");
    let (tell, _events) = mpsc::unbounded_channel();
    assert!(call(&relay, 3.0, tell).await.is_good(), "new calls are taken without a restart");
    relay.terminate().await;

    let store = SqlStore::sqlite(&disk.0.join("voxrelay.db")).await.expect("opened");
    let id = report.session_id.as_deref().expect("there was a session");
    let session = store.session(id).await.expect("readable").expect("stored");
    let ledger = store.ledger(id).await.expect("readable");
    let cost = ledger.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
    assert_eq!(
        (session.cost, report.usage.cost_nano_usd),
        (cost, cost.get()),
        "told, stored, and in the ledger"
    );
    assert!(session.audio_samples >= 20 * 16_000);
    let stored: Vec<String> =
        store.turns(id).await.expect("readable").into_iter().map(|row| row.turn.text).collect();
    let told: Vec<String> = report.turns.iter().map(|turn| turn.text.clone()).collect();
    assert_eq!(stored, told, "every word that was told is stored");
    store.close().await;
}

/// Speaks until the relay closes, and does not come back. The session, the close code, and the cost that the caller was told last.
async fn speak_until_closed(relay: &Relay, sub: &str) -> (String, u16, u64) {
    let (mut raw, welcome) = Raw::welcomed(relay, sub).await;
    let mut told = 0;
    for number in 0.. {
        raw.send(Message::binary(tests::chunk(number))).await;
        sleep(Duration::from_millis(100)).await;
        while let Ok(heard) = timeout(Duration::from_millis(1), raw.next()).await {
            match heard {
                Heard::Said(RelayMessage::Usage(usage)) => told = usage.cost_nano_usd,
                Heard::Closed(code) => return (welcome.session_id, code, told),
                _ => {}
            }
        }
    }
    unreachable!("the numbers have no end")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_reaches_the_ledger_though_the_disk_was_full_for_longer_than_the_grace() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = Disk::mount(&folder.path().join("data")) else {
        return not_checked();
    };
    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[store]\ngrace_seconds = 10\n").await;
    let begun = Instant::now();
    let told = {
        let users = ["ada", "grace", "alan", "edsger"];
        let mut callers = pin!(join_all(users.map(|sub| speak_until_closed(&relay, sub))));
        loop {
            tokio::select! {
                told = &mut callers => break told,
                // What the databases give back is taken as well.
                () = sleep(Duration::from_secs(1)) => if begun.elapsed() > Duration::from_secs(4) {
                    disk.fill();
                },
            }
        }
    };
    // Nobody is there any more whose write could still be under way.
    sleep(Duration::from_secs(5)).await;
    disk.clear();
    let store = SqlStore::sqlite(&disk.0.join("voxrelay.db")).await.expect("opened");
    for (id, code, told) in &told {
        assert_eq!(*code, CloseCode::TryLater.code());
        let mut cost = NanoUsd::ZERO;
        for _ in 0..60 {
            let ledger = store.ledger(id).await.expect("readable");
            cost = ledger.iter().fold(NanoUsd::ZERO, |sum, row| sum + row.cost);
            if cost.get() >= *told {
                break;
            }
            sleep(Duration::from_millis(500)).await;
        }
        // What was heard between the last word and the close is in it as well.
        let second = NanoUsd::new(80_000).get();
        assert!(*told > 8 * second && (*told..*told + 3 * second).contains(&cost.get()), "{told} {cost:?}");
    }
    store.close().await;
    relay.terminate().await;
}
