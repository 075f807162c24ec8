//! `voxrelay serve` and `voxrelay dev`.

use super::*;

#[test]
fn dev_makes_what_it_needs_and_stops_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    assert!(relay.get("/livez").ends_with("ok\n"));
    assert!(relay.get("/dev/token").starts_with("HTTP/1.1 200"));
    for file in ["voxrelay.db", "dev-secret"] {
        assert!(folder.path().join("voxrelay-data").join(file).exists(), "{file}");
    }
    let status = stopped(&mut relay);
    assert!(status.success(), "{status}");
    let mut log = String::new();
    relay.child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
    assert!(log.contains("open http://127.0.0.1:") && log.contains("has stopped"), "{log}");
    assert!(!folder.path().join("voxrelay-data/voxrelay.db-wal").exists(), "the log was folded in");
}

/// Tells a relay to stop, and says how it ends.
fn stopped(relay: &mut Running) -> std::process::ExitStatus {
    let pid = relay.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match relay.child.try_wait().expect("waited") {
            Some(status) => return status,
            None if Instant::now() > deadline => panic!("it goes on"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Fails unless every line is a JSON object of the log.
fn all_json(said: &str) -> Vec<serde_json::Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let lines: Vec<serde_json::Value> = said.lines().map(read).collect();
    for line in &lines {
        assert!(["message", "timestamp", "level"].iter().all(|key| line[key].is_string()), "{line}");
    }
    lines
}

#[test]
fn serve_listens_where_the_configuration_says_and_says_everything_in_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[auth]\nhs256_secret = \"{SECRET}\"\n[log]\nformat = \"json\"\n"
    );
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let mut command = voxrelay(folder.path());
    command.args(["serve", "--config", "voxrelay.toml"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    let first = all_json(&first).remove(0);
    let address = first["message"].as_str().and_then(|message| message.strip_prefix("listening on http://"));
    let mut relay = Running { child, address: address.expect("the address").to_owned() };
    assert!(relay.get("/livez").ends_with("ok\n"));
    assert!(relay.get("/dev/token").starts_with("HTTP/1.1 404"));
    assert!(folder.path().join("data/voxrelay.db").exists());
    relay.child.kill().expect("killed");
    let (mut rest, mut log) = (String::new(), String::new());
    out.read_to_string(&mut rest).expect("UTF-8");
    relay.child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
    assert_eq!(rest, "");
    all_json(&log);
    assert!(log.contains(&relay.address), "{log}");
}

#[test]
fn why_a_relay_does_not_start_is_said_in_json_if_the_log_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let log = "[log]\nformat = \"json\"\n";
    let auth = format!("[auth]\nhs256_secret = \"{SECRET}\"\n");
    for (toml, code, says) in [
        (format!("listen = \"{address}\"\n{auth}{log}"), 1, "cannot listen on"),
        (format!("{auth}[prices]\nfile = \"gone.toml\"\n{log}"), 2, "gone.toml"),
        (format!("{auth}{log}[limits]\nsession_minutes = 0\n"), 2, "session_minutes"),
        (format!("{log}[auth]\n"), 2, "auth.hs256_secret"),
        (format!("listen = \n{log}"), 2, "configuration"),
        (format!("log.format = \"json\"\nnonsense = 1\n{auth}"), 2, "nonsense"),
    ] {
        std::fs::write(folder.path().join("voxrelay.toml"), &toml).expect("written");
        let (output, errors) = run(voxrelay(folder.path()).args([
            "serve",
            "--listen",
            &address.to_string(),
            "--config",
            "voxrelay.toml",
        ]));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{errors}");
        let said = all_json(&errors);
        let last = said.last().expect("a line");
        assert!(last["message"].as_str().is_some_and(|message| message.contains(says)), "{toml}: {errors}");
        assert_eq!(last["level"], "ERROR");
    }
    let (_, errors) = run(voxrelay(folder.path()).arg("serve").env("VOXRELAY_LOG__FORMAT", "json"));
    all_json(&errors);
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("sh");
    let relay = "ulimit -Sn 100; exec \"$0\" dev --listen 127.0.0.1:0";
    command.args(["-c", relay, env!("CARGO_BIN_EXE_voxrelay")]).current_dir(folder.path());
    let running = Running::start(&mut command);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.child.id())).expect("it runs");
    let files: Vec<&str> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .expect("a line")
        .split_whitespace()
        .collect();
    assert_eq!(files[0], files[1], "soft and hard: {limits}");
    assert_ne!(files[0], "100");
}

/// A session that a relay has for a long time to come, with money set aside.
async fn live_session(folder: &Path) -> SqlStore {
    let store = SqlStore::sqlite(&folder.join("voxrelay-data").join(DATABASE_FILE)).await.expect("opened");
    open(&store, &session("a"), &quota()).await;
    let caps = caps(1_000, 1_000, 1_000);
    store.reserve(&reserve("a", 100, 100, caps)).await.expect("answered");
    store
}

/// Its lease as the database has it, and what is set aside.
async fn held(store: &SqlStore) -> (i64, relay::NanoUsd) {
    let live = store.live_sessions(None, 10).await.expect("read").rows;
    let [row] = live.as_slice() else { panic!("{live:?}") };
    (row.lease_until_ms, row.session.authorised)
}

#[tokio::test]
async fn a_second_relay_on_a_data_folder_is_refused_and_takes_nothing_from_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = ("VOXRELAY_AUTH__HS256_SECRET", "a-configured-secret-of-more-than-32-bytes");
    let serve = |listen: &str| {
        let mut command = voxrelay(folder.path());
        command.args(["serve", "--listen", listen]).env(secret.0, secret.1);
        command
    };
    let mut relay = Running::start(&mut serve("127.0.0.1:0"));
    let store = live_session(folder.path()).await;
    let before = held(&store).await;
    let mut others =
        [serve("127.0.0.1:0"), serve(&relay.address), voxrelay(folder.path()), voxrelay(folder.path())];
    others[2].args(["dev", "--listen", "127.0.0.1:0"]);
    others[3].arg("migrate");
    for other in &mut others {
        let said = refused(other);
        let pid = format!("process {} since ", relay.child.id());
        assert!(said.contains("voxrelay-data is in use by") && said.contains(&pid), "{said}");
        assert!(said.contains(&relay.address), "{said}");
        assert_eq!(held(&store).await, before);
    }
    assert!(relay.get("/livez").ends_with("ok\n"), "the first one goes on");

    // However the first one ends, the folder is free at once, and what it left is found.
    relay.child.kill().expect("killed");
    relay.child.wait().expect("ended");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let mut elsewhere = serve("127.0.0.1:0");
    elsewhere.env("VOXRELAY_METRICS__LISTEN", &address);
    for other in [&mut serve(&address), &mut elsewhere] {
        let said = refused(other);
        assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
        assert_eq!(held(&store).await, before, "whose port is taken touches nothing");
    }
    drop(taken);
    let _next = Running::start(&mut serve("127.0.0.1:0"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while held(&store).await == before {
        assert!(Instant::now() < deadline, "the relay that has the folder takes over what was left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until somebody connects.
fn visited(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("set");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream,
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("nobody has come: {error}"),
        }
    }
}

#[test]
fn nobody_can_connect_to_a_relay_that_starts_before_it_answers() {
    let listener = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener().local_addr().expect("bound").to_string();
    let is_refused =
        || TcpStream::connect(&own).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    let folder = tempfile::tempdir().expect("a folder");
    let serve = || {
        let mut command = voxrelay(folder.path());
        command.args(["serve", "--listen", &own]).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };

    let database = listener();
    let mut waiting = serve();
    let there = database.local_addr().expect("bound");
    waiting.env("DATABASE_URL", format!("postgres://voxrelay@{there}/voxrelay"));
    waiting.env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
    let relay = Running { child: waiting.spawn().expect("it starts"), address: own.clone() };
    let _unanswered = visited(&database);
    assert!(is_refused(), "its database does not answer");
    drop(relay);

    let issuer = listener();
    let mut waiting = serve();
    let there = issuer.local_addr().expect("bound");
    waiting.env("VOXRELAY_AUTH__JWKS_URL", format!("http://{there}/keys"));
    waiting
        .env("VOXRELAY_AUTH__ISSUER", "https://issuer.test")
        .env("VOXRELAY_AUTH__AUDIENCE", "authenticated");
    let mut relay = Running { child: waiting.spawn().expect("it starts"), address: own.clone() };
    let _unanswered = visited(&issuer);
    assert!(is_refused(), "its issuer does not answer");
    let mut line = String::new();
    let stdout = relay.child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line.trim_end(), format!("listening on http://{own}"), "it does not wait for ever");
    assert!(relay.get("/readyz").contains("\"reasons\":[\"no_keys\"]"));
}

#[test]
#[cfg(unix)]
fn a_relay_that_is_told_to_stop_while_its_database_does_not_answer_stops_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://voxrelay@{}/voxrelay", database.local_addr().expect("bound"));
    let mut command = voxrelay(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("DATABASE_URL", url).env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
    let mut relay = Running { child: command.spawn().expect("it starts"), address: String::new() };
    let log = reload::logged(&mut relay);
    let _unanswered = visited(&database);
    reload::hang_up(&relay);
    let status = stopped(&mut relay);
    assert_eq!(status.code(), Some(0), "{status}");
    let said = || log.lock().expect("no panic").clone();
    reload::until("it says why", || said().contains("told to stop while it was starting"));
}

#[test]
#[cfg(unix)]
fn a_relay_that_is_told_to_read_its_configuration_again_while_it_starts_does_so_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let issuer = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", issuer.local_addr().expect("bound"));
    let mut command = voxrelay(folder.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("VOXRELAY_AUTH__JWKS_URL", url);
    command
        .env("VOXRELAY_AUTH__ISSUER", "https://issuer.test")
        .env("VOXRELAY_AUTH__AUDIENCE", "authenticated");
    let mut relay = Running { child: command.spawn().expect("it starts"), address: String::new() };
    let log = reload::logged(&mut relay);
    let _unanswered = visited(&issuer);
    reload::hang_up(&relay);
    let said = || log.lock().expect("no panic").clone();
    reload::until("it is read again", || said().contains("the configuration was read again, and applies"));
}

/// As in a container that has none.
fn without_certificates(command: &mut Command) -> &mut Command {
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent")
}

#[test]
#[cfg(target_os = "linux")]
fn a_relay_that_asks_nobody_needs_no_certificates_and_one_that_does_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = voxrelay(folder.path());
    let relay = Running::start(without_certificates(command.args(["dev", "--listen", "127.0.0.1:0"])));
    assert!(relay.get("/livez").ends_with("ok\n"));
    drop(relay);

    let folder = tempfile::tempdir().expect("a folder");
    let toml = format!(
        "data_dir = \"data\"\n[auth]\nhs256_secret = \"{SECRET}\"\n[providers.openai]\nmodel = \"tts-1\"\nprice = \"anthropic/claude-haiku-4-5\"\n"
    );
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let mut command = voxrelay(folder.path());
    let serve = command.args(["serve", "--config", "voxrelay.toml", "--listen", "127.0.0.1:0"]);
    let (output, errors) = run(without_certificates(serve));
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("ca-certificates") && !errors.contains("panicked"), "{errors}");
}
