//! SIGHUP: what is read again while a relay runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use super::call::{speech, wav};
use super::*;

const OTHER: &str = "another-configured-secret-of-more-than-32-bytes";

/// Tells a relay to read its configuration again.
pub(crate) fn hang_up(relay: &Running) {
    let pid = relay.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
}

/// Waits until it holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a relay logs, as it comes.
pub(crate) fn logged(relay: &mut Running) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let (kept, stderr) = (Arc::clone(&log), relay.child.stderr.take().expect("piped"));
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = kept.lock().expect("no panic");
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}

fn token(secret: &str) -> String {
    let mut config = Config::defaults().auth;
    config.hs256_secret = Some(Secret::new(secret.to_owned()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    auth::mint(&config, "ada", now, Duration::from_secs(600)).expect("signed")
}

/// The answer to a page of this origin that asks for its user's sessions.
fn asked(relay: &Running, secret: &str, origin: &str) -> String {
    let mut stream = TcpStream::connect(&relay.address).expect("connected");
    let (host, token) = (&relay.address, token(secret));
    let headers = format!("host: {host}\r\norigin: {origin}\r\nauthorization: Bearer {token}");
    write!(stream, "GET /v1/sessions HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn what_may_change_changes_at_once_what_cannot_is_named_and_a_faulty_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |secrets: &str, rest: &str| {
        let toml = format!("{rest}\n[auth]\nhs256_secret = {secrets}\n[api]\nrequests_per_minute = 100000\n");
        std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    };
    let (a, b) = ("https://a.example.com", "https://b.example.com");
    write(&format!("{SECRET:?}"), &format!("listen = \"127.0.0.1:0\"\norigins = {a:?}"));
    let mut relay = Running::start(voxrelay(folder.path()).args(["serve", "--config", "voxrelay.toml"]));
    let log = logged(&mut relay);
    let is_good = |secret: &str| asked(&relay, secret, a).starts_with("HTTP/1.1 200");
    let may_read = |origin: &str| {
        let answer = asked(&relay, SECRET, origin);
        answer.lines().any(|line| line == format!("access-control-allow-origin: {origin}"))
    };
    assert!(is_good(SECRET) && !is_good(OTHER));
    assert!(may_read(a) && !may_read(b));

    write(&format!("[{OTHER:?}, {SECRET:?}]"), &format!("listen = \"127.0.0.1:1\"\norigins = {b:?}"));
    hang_up(&relay);
    until("the new secret is good", || is_good(OTHER));
    assert!(is_good(SECRET), "the old one is as well");
    until("the other page may call", || may_read(b));
    assert!(!may_read(a));
    let said = || log.lock().expect("no panic").clone();
    until("what needs a restart is named", || said().contains("listen differs, and needs a restart"));

    let faulty = "resume_window_seconds = 9999\n[limits]\nsession_minutes = 0";
    write(&format!("{OTHER:?}"), &format!("listen = \"127.0.0.1:1\"\norigins = {a:?}\n{faulty}"));
    hang_up(&relay);
    until("the faults are said", || said().contains("nothing has changed"));
    for fault in ["limits.session_minutes = 0", "resume_window_seconds = 9999", "voxrelay.toml, line"] {
        assert!(said().contains(fault), "{fault}: {}", said());
    }
    assert!(is_good(SECRET) && is_good(OTHER) && may_read(b) && !may_read(a));

    write(&format!("{OTHER:?}"), &format!("listen = \"127.0.0.1:0\"\norigins = {b:?}"));
    hang_up(&relay);
    until("the old secret is no more", || !is_good(SECRET));
    assert!(is_good(OTHER));
    for secret in [SECRET, OTHER] {
        assert!(!said().contains(secret), "no secret is in the log");
    }
}

/// What the rows of a session cost in all, and by which versions and prices of a million samples they do.
async fn billed(folder: &Path, said: &str) -> (u64, BTreeSet<(String, u64)>) {
    let session = said.lines().find_map(|line| line.strip_prefix("session    ")).expect("it says which");
    let store = SqlStore::sqlite_to_read(&folder.join("voxrelay-data").join(DATABASE_FILE)).await;
    let store = store.expect("it is there");
    let rows = store.ledger(session).await.expect("read");
    Store::close(&store).await;
    for row in &rows {
        assert_eq!(row.cost.get(), row.quantity * row.price.get() / row.per, "{row:?}");
    }
    let prices = rows.iter().map(|row| (row.price_version.clone(), row.price.get() * 1_000_000 / row.per));
    (rows.iter().map(|row| row.cost.get()).sum(), prices.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_is_on_the_bill_of_calls_that_begin_afterwards_and_on_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let price = |version: &str, usd: &str| {
        let item = format!("{{ name = \"echo/listening\", unit = \"second\", usd = {usd:?}, per = 60 }}");
        let toml = format!("version = {version:?}\nitem = [{item}]\n");
        std::fs::write(folder.join("prices.toml"), toml).expect("written");
    };
    price("one", "0.0048");
    let toml = format!(
        "listen = \"127.0.0.1:0\"\n[auth]\nhs256_secret = {SECRET:?}\n[prices]\nfile = \"prices.toml\"\n"
    );
    std::fs::write(folder.join("voxrelay.toml"), toml).expect("written");
    std::fs::write(folder.join("in.wav"), wav(&[speech(), speech()].concat())).expect("written");
    let mut relay = Running::start(voxrelay(folder).args(["serve", "--config", "voxrelay.toml"]));
    let log = logged(&mut relay);
    let (url, token) = (format!("ws://{}/v1/call", relay.address), token(SECRET));
    let call = || {
        let mut command = voxrelay(folder);
        command.args(["call", &url, "--token", &token, "--audio", "in.wav"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let ended = |call: Child| {
        let output = call.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let mut before = call();
    let mut told = BufReader::new(before.stderr.take().expect("piped"));
    let mut line = String::new();
    told.read_line(&mut line).expect("a line");
    assert_eq!(line.trim_end(), "connected");
    price("two", "0.048");
    hang_up(&relay);
    until("the new price is read", || log.lock().expect("no panic").contains("read again, and applies"));
    let running = ended(before);
    let after = ended(call());

    let (cost, prices) = billed(folder, &running).await;
    let [(version, price)] = &prices.iter().collect::<Vec<_>>()[..] else { panic!("one price: {prices:?}") };
    assert!(version.ends_with("+one") && cost > 0, "{version} {cost}");
    assert_eq!(*price, 5_000_000, "the call that ran goes on as it began");
    let (cost, prices) = billed(folder, &after).await;
    let [(version, price)] = &prices.iter().collect::<Vec<_>>()[..] else { panic!("one price: {prices:?}") };
    assert!(version.ends_with("+two") && cost > 0, "{version} {cost}");
    assert_eq!(*price, 50_000_000, "ten times as much");
}
