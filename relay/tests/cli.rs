//! The binary, as a person runs it.

#[path = "support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use records::{caps, open, quota, reserve, session};
use relay::Config;
use relay::admission::auth;
use relay::admission::auth::Verifier;
use relay::config::Secret;
use relay::records::store::{DATABASE_FILE, SqlStore, Store};

fn voxrelay(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxrelay"));
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VOXRELAY_")) {
        command.env_remove(name);
    }
    command
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().expect("it runs");
    let errors = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    (output, errors)
}

/// A relay that runs; it is killed when the test is over.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://").expect("the address").to_owned();
        Running { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn token_prints_a_token_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path()).args(["token", "--sub", "ada", "--ttl", "90s"]));
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let token = printed.strip_suffix('\n').expect("one line");
    assert!(!token.contains(char::is_whitespace), "{printed:?}");

    let mut config = Config::defaults().auth;
    config.hs256_secret =
        Some(auth::development_secret(&folder.path().join("voxrelay-data")).expect("a secret"));
    let identity = Verifier::from_config(&config).expect("a verifier").verify(token).await.expect("good");
    assert_eq!(identity.sub, "ada");
    let again = run(voxrelay(folder.path()).args(["token", "--sub", "ada"])).0;
    let again = String::from_utf8(again.stdout).expect("UTF-8");
    Verifier::from_config(&config).expect("a verifier").verify(again.trim()).await.expect("the same secret");
}

#[tokio::test]
async fn token_signs_as_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "a-configured-secret-of-more-than-32-bytes";
    let toml =
        format!("[auth]\nhs256_secret = \"{secret}\"\nissuer = [\"me\", \"you\"]\naudience = \"them\"\n");
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let (output, errors) =
        run(voxrelay(folder.path()).args(["token", "--sub", "ada", "--config", "voxrelay.toml"]));
    assert!(output.status.success(), "{errors}");
    let mut config = Config::defaults().auth;
    config.hs256_secret = Some(Secret::new(secret.into()));
    config.issuers = vec!["me".into()];
    config.audiences = vec!["them".into()];
    let token = String::from_utf8(output.stdout).expect("UTF-8");
    Verifier::from_config(&config).expect("a verifier").verify(token.trim()).await.expect("good");
    assert!(!folder.path().join("voxrelay-data").exists(), "no secret was needed, so none was made");
}

#[test]
fn token_cannot_sign_for_somebody_elses_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path())
        .args(["token", "--sub", "ada"])
        .env("VOXRELAY_AUTH__JWKS_URL", "https://example.com/jwks.json")
        .env("VOXRELAY_AUTH__ISSUER", "https://example.com")
        .env("VOXRELAY_AUTH__AUDIENCE", "relay"));
    assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()));
    assert!(errors.contains("auth.jwks_url"), "{errors}");
}

#[test]
fn dev_makes_what_it_needs_and_stops_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    assert!(relay.get("/livez").ends_with("ok\n"));
    assert!(relay.get("/dev/token").starts_with("HTTP/1.1 200"));
    for file in ["voxrelay.db", "dev-secret"] {
        assert!(folder.path().join("voxrelay-data").join(file).exists(), "{file}");
    }
    let pid = relay.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        match relay.child.try_wait().expect("waited") {
            Some(status) => break status,
            None if Instant::now() > deadline => panic!("it goes on"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "{status}");
    let mut log = String::new();
    relay.child.stderr.take().expect("piped").read_to_string(&mut log).expect("UTF-8");
    assert!(log.contains("open http://127.0.0.1:") && log.contains("has stopped"), "{log}");
    assert!(!folder.path().join("voxrelay-data/voxrelay.db-wal").exists(), "the log was folded in");
}

const SECRET: &str = "a-configured-secret-of-more-than-32-bytes";

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

#[tokio::test]
async fn token_says_who_pays_which_plan_and_which_role_in_the_configured_claims() {
    let folder = tempfile::tempdir().expect("a folder");
    let says = ["token", "--sub", "ada", "--account", "acme", "--plan", "pro", "--role", "voxrelay_admin"];
    for claims in
        ["", "account_claim = \"org\"\nplan_claim = \"https://acme.example/plan\"\nrole_claim = \"a.b.c\"\n"]
    {
        let toml = format!("[auth]\nhs256_secret = \"{SECRET}\"\n{claims}");
        let file = folder.path().join("voxrelay.toml");
        std::fs::write(&file, toml).expect("written");
        let config = Config::load(Some(&file), []).expect("a good configuration").auth;
        let verifier = Verifier::from_config(&config).expect("a verifier");
        for (arguments, account, plan, is_admin) in
            [(&says[..], "acme", Some("pro"), true), (&says[..3], "default", None, false)]
        {
            let (output, errors) =
                run(voxrelay(folder.path()).args(arguments).args(["--config", "voxrelay.toml"]));
            assert!(output.status.success(), "{errors}");
            let token = String::from_utf8(output.stdout).expect("UTF-8");
            let identity = verifier.verify(token.trim()).await.expect("good");
            assert_eq!(
                (&*identity.sub, &*identity.account, identity.plan.as_deref(), identity.is_admin),
                ("ada", account, plan, is_admin)
            );
        }
    }
}

/// Half a second of silence and two of what counts as speech.
fn speech() -> Vec<i16> {
    let tone = |n: i32| (f64::from(n) * 0.2).sin() * 9_000.0 * (0.6 + 0.4 * (f64::from(n) * 0.0016).sin());
    (0..40_000).map(|n| if n < 8_000 { 0 } else { tone(n) as i16 }).collect()
}

/// As ffmpeg writes it when it cannot go back: no lengths, and a note before the audio.
fn wav(samples: &[i16]) -> Vec<u8> {
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80>\0\0\0}\0\0\x02\0\x10\0".to_vec();
    wav.extend(b"LIST\x0e\0\0\0INFOISFT\x02\0\0\0x\0data\xff\xff\xff\xff");
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

#[test]
fn a_call_speaks_what_comes_through_a_pipe_and_says_how_it_went() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let url = format!("ws://{}/v1/call", relay.address);
    let (output, _) = run(voxrelay(folder.path()).args(["token", "--sub", "ada"]));
    let token = String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned();
    let wav = wav(&speech());
    let mut call = voxrelay(folder.path())
        .args(["call", &url, "--token", &token, "--audio", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    call.stdin.take().expect("piped").write_all(&wav).expect("taken");
    let output = call.wait_with_output().expect("it ends");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said} {errors}");
    assert!(said.contains("after the end of what was said") && said.contains("reconnects 0"), "{said}");

    std::fs::write(folder.path().join("in.wav"), &wav).expect("written");
    let (output, errors) =
        run(voxrelay(folder.path()).args(["call", &url, "--token", "none", "--audio", "in.wav"]));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(said.contains("answered   nothing\n") && said.contains("round trip not measured\n"), "{said}");
    assert!(said.lines().all(|line| line.trim_end() == line), "{said:?}");
}

/// Answers every request with this, until the test is over.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Who asked may have gone.
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(answer);
        }
    });
    format!("ws://{address}/v1/call")
}

#[test]
fn a_call_that_cannot_be_made_says_why_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.wav"), wav(&speech())).expect("written");
    let relay = Running::start(
        voxrelay(folder.path())
            .args(["dev", "--listen", "127.0.0.1:0"])
            .env("VOXRELAY_ORIGINS", "https://app.example.com")
            .env("VOXRELAY_REQUIRE_ORIGIN", "true"),
    );
    let of_relay = |path: &str| format!("ws://{}{path}", relay.address);
    for (url, says) in [
        (of_relay("/v1/call"), "origin_refused: This relay takes calls from browsers only."),
        (
            of_relay("/v1/cal"),
            "no_relay: There is no relay at this address. Check `url`: its path is mostly `/v1/call`. The address answered with status 404.",
        ),
        (
            answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>"),
            "no_relay: There is no relay at this address.",
        ),
        (
            answering(b"HTTP/1.1 301 Moved\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n"),
            "with status 301.",
        ),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"), "with status 200."),
    ] {
        let began = Instant::now();
        let (output, errors) =
            run(voxrelay(folder.path()).args(["call", &url, "--token", "none", "--audio", "in.wav"]));
        assert_eq!(output.status.code(), Some(1), "{url}: {errors}");
        let last = errors.lines().last().expect("a line");
        assert!(
            last.starts_with("The call did not go as it should: ") && last.contains(says),
            "{url}: {errors}"
        );
        // Trying for as long as one tries without a reason takes 30 s.
        assert!(began.elapsed() < Duration::from_secs(20), "{url}: {:?}", began.elapsed());
    }
    let (output, errors) = run(voxrelay(folder.path()).args([
        "call",
        "https://voice.example.com/v1/call",
        "--token",
        "none",
        "--audio",
        "in.wav",
    ]));
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("begin with ws:// or wss://"), "{errors}");
}

#[test]
fn a_call_that_gets_no_relay_to_answer_says_what_it_got() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.wav"), wav(&speech())).expect("written");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let plain_to_tls = answering(
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 42\r\n\r\nplain HTTP request was sent to HTTPS port",
    );
    let refused = "no connection came about in 5 s: nothing listens at this address (connection refused)";
    let calls = [
        (format!("ws://{closed}/v1/call"), "5", refused),
        (plain_to_tls, "600", "gave_up: The relay could not be reached"),
        (answering(b"\x15\x03\x01\0\x02\x02\x46"), "600", "no connection came about in 30 s: "),
    ]
    .map(|(url, longest, says)| {
        let mut call = voxrelay(folder.path());
        call.args(["call", &url, "--token", "none", "--audio", "in.wav", "--longest", longest]);
        (call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts"), says)
    });
    for (call, says) in calls {
        let output = call.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let last = errors.lines().last().expect("a line");
        assert!(last.starts_with("The call did not go as it should: ") && last.contains(says), "{errors}");
        assert!(!last.contains("os error"), "{errors}");
    }
}

#[tokio::test]
async fn the_command_that_dev_names_prints_a_token_for_it_wherever_it_is_typed() {
    for name in ["plain", "it's a folder"] {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).expect("made");
        let mut relay = Running::start(voxrelay(&folder).args(["dev", "--listen", "127.0.0.1:0"]));
        let icon = relay.get("/favicon.ico");
        assert!(icon.starts_with("HTTP/1.1 200") && icon.contains("content-type: image/svg+xml"), "{icon}");
        let log = BufReader::new(relay.child.stderr.take().expect("piped"));
        let says = "or get a token with: ";
        let line = log.lines().map_while(Result::ok).find(|line| line.contains(says)).expect("said");
        let (_, command) = line.split_once(says).expect("said");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir("/").env_remove("VOXRELAY_AUTH__HS256_SECRET");
        let (output, errors) = run(&mut shell);
        assert!(output.status.success(), "{command}: {errors}");
        let token = String::from_utf8(output.stdout).expect("UTF-8");
        let mut config = Config::defaults().auth;
        let secret = auth::development_secret(&folder.join("voxrelay-data"));
        config.hs256_secret = Some(secret.expect("a secret"));
        Verifier::from_config(&config).expect("a verifier").verify(token.trim()).await.expect("good");
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_what_to_write_instead() {
    let folder = tempfile::tempdir().expect("a folder");
    for (given, says) in [
        ("localhost:8080/v1/call", "write ws://localhost:8080/v1/call"),
        ("127.0.0.1:8080/v1/call", "write ws://127.0.0.1:8080/v1/call"),
        ("[::1]:8080/v1/call", "write ws://[::1]:8080/v1/call"),
        ("voice.example.com/v1/call", "write wss://voice.example.com/v1/call"),
        ("http://localhost:8080/v1/call", "write ws://localhost:8080/v1/call"),
        ("HTTPS://voice.example.com/v1/call", "write wss://voice.example.com/v1/call"),
        ("ftp://voice.example.com", "begin with ws:// or wss://"),
        ("/v1/call", "write an address such as ws://127.0.0.1:8080/v1/call"),
        ("", "write an address such as ws://127.0.0.1:8080/v1/call"),
        ("ws://", "it is no address"),
        ("ws://a b/v1/call", "it is no address"),
        ("ws://localhost:99999/v1/call", "it is no address"),
        ("wss://voice.example.com/v1/call#here", "leave #here away"),
    ] {
        let (output, errors) =
            run(voxrelay(folder.path()).args(["call", given, "--token", "none", "--text", "a"]));
        assert_eq!(output.status.code(), Some(2), "{given}: {errors}");
        assert!(errors.contains(says) && !errors.contains("without a base"), "{given}: {errors}");
    }
}

#[test]
fn a_folder_where_a_file_should_be_is_called_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for (args, key) in [
        (["config", "--check", "--config", "."].as_slice(), "configuration: .: "),
        (&["serve", "--config", "."], "configuration: .: "),
        (&["token", "--sub", "ada", "--config", "."], "configuration: .: "),
        (&["call", "ws://127.0.0.1:1/v1/call", "--token", "a", "--audio", "."], "cannot read .: "),
    ] {
        let (output, errors) = run(voxrelay(folder.path()).args(args));
        assert!(!output.status.success(), "{args:?}");
        assert!(errors.contains(key) && errors.contains("it is a folder"), "{args:?}: {errors}");
        assert!(!errors.contains("os error"), "{args:?}: {errors}");
    }
    for name in ["VOXRELAY_PRICES__FILE", "VOXRELAY_AUTH__PUBLIC_KEYS"] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(["config", "--check"])
            .env(name, folder.path())
            .env("VOXRELAY_AUTH__ISSUER", "https://example.com")
            .env("VOXRELAY_AUTH__AUDIENCE", "relay"));
        assert!(!output.status.success(), "{name}");
        assert!(errors.contains("it is a folder") && !errors.contains("os error"), "{name}: {errors}");
    }
}

#[test]
fn token_signs_nothing_that_the_relay_would_refuse() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "a".repeat(256);
    let wrong =
        ["a\tb", "a\nb", " a", "a ", " ", "\u{200b}", "a\u{202e}b", "\u{feff}a", "a\u{7f}b", long.as_str()];
    for option in ["--sub", "--account", "--plan"] {
        for value in wrong {
            let mut command = voxrelay(folder.path());
            command.args(["token", option, value]);
            if option != "--sub" {
                command.args(["--sub", "ada"]);
            }
            let (output, errors) = run(&mut command);
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                (output.status.code(), printed.as_str()),
                (Some(2), ""),
                "{option} {value:?}: {errors}"
            );
            assert!(errors.contains("a text of 1 to 255 visible characters"), "{option} {value:?}: {errors}");
        }
    }
    for role in ["anon", "service_role"] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(["token", "--sub", "ada", "--role", role])
            .env("VOXRELAY_AUTH__ROLE_CLAIM", "role"));
        assert_eq!(output.status.code(), Some(2), "{errors}");
    }
    for value in ["ada", "Ada Lovelace", "ä", "日本", &"a".repeat(255)] {
        let (output, errors) = run(voxrelay(folder.path()).args(["token", "--sub", value]));
        assert!(output.status.success(), "{value}: {errors}");
    }
}

#[test]
fn config_says_what_applies_and_shows_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "a-configured-secret-of-more-than-32-bytes";
    let toml = format!("[auth]\nhs256_secret = \"{secret}\"\n[plans.pro]\nsession_usd = 12.5\n");
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    let (output, errors) = run(voxrelay(folder.path())
        .args(["config", "--check", "--config", "voxrelay.toml"])
        .env("VOXRELAY_LIMITS__SESSION_MINUTES", "7"));
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!said.contains(secret) && !errors.contains(secret), "{said}");
    for line in [
        "auth.hs256_secret = [secret]  # file",
        "limits.session_minutes = 7  # environment",
        "limits.idle_minutes = 10  # default",
        "plans.pro.session_usd = 12.5  # file",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in {said}");
    }
}

#[test]
fn everything_that_keeps_a_relay_from_starting_is_said_at_once_and_by_the_check_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let toml = "\
        data_dir = \"file/data\"\n\
        origins = [\"https://app.example.com/\", \"https://ok.example\", \"null\"]\n\
        colour = \"red\"\n\
        [limits]\n\
        session_minutes = 0\n\
        sesion_usd = 1\n\
        [plans.pro]\n\
        idle_minutes = \"soon\"\n\
        [webhook]\n\
        url = \"https://hooks.example/\"\n\
        [recording]\n\
        dir = \"file/recordings\"\n\
        [prices]\n\
        file = \"gone.toml\"\n";
    std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
    std::fs::write(folder.path().join("file"), "no folder").expect("written");
    for args in [&["serve"][..], &["config", "--check"]] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(args)
            .args(["--config", "voxrelay.toml"])
            .env("VOXRELAY_ECHO__RATE", "8000")
            .env("VOXRELAY_METRICS__LISTEN", "here"));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {errors}");
        for (part, place) in [
            ("there is no key colour", "(voxrelay.toml, line 3)"),
            ("limits.sesion_usd", "(voxrelay.toml, line 6)"),
            ("limits.session_minutes = 0", "(voxrelay.toml, line 5)"),
            ("plans.pro.idle_minutes = soon", "(voxrelay.toml, line 8)"),
            ("\"https://app.example.com/\", \"null\"", "(voxrelay.toml, line 2)"),
            ("webhook.secret is missing", "webhook.url"),
            ("echo.rate = 8000", "(VOXRELAY_ECHO__RATE)"),
            ("metrics.listen = \"here\"", "(VOXRELAY_METRICS__LISTEN)"),
            ("prices.file = \"gone.toml\"", "(voxrelay.toml, line 14)"),
            ("recording.dir = \"file/recordings\": it cannot be written", "(voxrelay.toml, line 12)"),
            ("data_dir = \"file/data\": it cannot be written", "(voxrelay.toml, line 1)"),
            ("auth.hs256_secret", "auth.jwks_url"),
        ] {
            let line = errors.lines().find(|line| line.contains(part));
            let line = line.unwrap_or_else(|| panic!("{args:?} does not say {part:?}: {errors}"));
            assert!(line.contains(place), "{line}");
        }
        assert!(!errors.contains("ok.example"), "{errors}");
    }
    assert!(!folder.path().join("voxrelay-data").exists());
}

#[test]
fn the_check_leaves_no_file_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path())
        .args(["config", "--check"])
        .env("VOXRELAY_RECORDING__DIR", "recordings/deep")
        .env("VOXRELAY_AUTH__HS256_SECRET", "a-configured-secret-of-more-than-32-bytes"));
    assert!(output.status.success(), "{errors}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.contains("auth.issuer = [\"voxrelay\"]  # default"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn the_check_tries_what_the_configuration_names_if_it_is_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let variables = [
        ("DATABASE_URL", format!("postgres://ada:hunter2@{closed}/db")),
        ("VOXRELAY_AUTH__JWKS_URL", format!("http://{closed}/jwks")),
        ("VOXRELAY_AUTH__ISSUER", "me".to_owned()),
        ("VOXRELAY_AUTH__AUDIENCE", "relay".to_owned()),
        ("VOXRELAY_WEBHOOK__URL", format!("http://{closed}/")),
        ("VOXRELAY_WEBHOOK__SECRET", "a-configured-secret-of-more-than-32-bytes".to_owned()),
        ("VOXRELAY_RECORDING__URL", "s3://calls".to_owned()),
        ("AWS_ENDPOINT", format!("http://{closed}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "key".to_owned()),
    ];
    let (output, errors) = run(voxrelay(folder.path()).args(["config", "--check"]).envs(variables.clone()));
    assert!(output.status.success(), "{errors}");
    let (output, errors) =
        run(voxrelay(folder.path()).args(["config", "--check", "--connect"]).envs(variables));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    for key in ["database_url: ", "auth: the issuer's keys", "webhook.url: ", "recording: "] {
        assert!(errors.contains(key), "{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn the_check_says_what_serve_would_say_of_its_files_and_addresses_and_that_all_is_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = voxrelay(folder.path());
        command.args(["config", "--check"]).args(more).env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
        let (output, errors) = run(command.envs(variables.iter().copied()));
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code(), said.lines().last().unwrap_or_default().to_owned(), errors)
    };
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let (code, last, errors) = check(&["--connect"], &[("VOXRELAY_LISTEN", &relay.address)]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "a relay that runs is no fault");
    assert_eq!(last, "# All is well, also with what it names.");
    assert!(relay.get("/livez").ends_with("ok\n"));
    drop(relay);
    assert!(check(&[], &[]).1.starts_with("# All is well."));
    let url = ("DATABASE_URL", "postgres://ada:hunter2@localhost/db?sslmode=bogus");
    let (code, _, errors) = check(&[], &[url]);
    assert!(code == Some(2) && errors.contains("bogus") && !errors.contains("hunter2"), "{errors}");
    let data = folder.path().join("voxrelay-data");
    for log in ["voxrelay.db-wal", "spill.db-wal"] {
        std::fs::remove_file(data.join(log)).expect("it was killed, so they are there");
    }
    for (file, key) in [("voxrelay.db", "data_dir: "), ("spill.db", "data_dir: ")] {
        let path = data.join(file);
        let kept = std::fs::read(&path).expect("it is there");
        std::fs::write(&path, "dear somebody, this is no database but a letter. ".repeat(20))
            .expect("written");
        let (code, _, errors) = check(&["--connect"], &[]);
        assert!(code == Some(1) && errors.contains(key) && errors.contains(file), "{errors}");
        std::fs::write(&path, kept).expect("written");
    }
    let foreign = [("VOXRELAY_LISTEN", "203.0.113.7:80"), ("VOXRELAY_METRICS__LISTEN", "203.0.113.7:9464")];
    let (code, _, errors) = check(&["--connect"], &foreign);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("(VOXRELAY_LISTEN)") && errors.contains("(VOXRELAY_METRICS__LISTEN)"),
        "{errors}"
    );
}

#[test]
fn the_first_configuration_of_the_readme_is_whole_but_for_a_secret() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("one");
    let (toml, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    let check = |toml: &str| {
        std::fs::write(folder.path().join("voxrelay.toml"), toml).expect("written");
        run(voxrelay(folder.path()).args(["config", "--check"]).env("VOXRELAY_CONFIG", "voxrelay.toml"))
    };
    let (output, errors) = check(toml);
    assert_eq!((output.status.code(), errors.lines().count()), (Some(2), 1), "{errors}");
    assert!(errors.contains("auth.hs256_secret") && errors.contains("openssl rand -base64 48"), "{errors}");
    let (output, errors) = check(&toml.replacen("openssl rand -base64 48", SECRET, 1));
    assert!(output.status.success(), "{errors}");
}

/// The keys, the bucket and the webhook bring their clients with them: none of them may lean on what another one has set up.
#[test]
fn the_check_tries_a_webhook_that_is_all_there_is_to_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    for (url, code) in [(format!("http://{closed}/"), 1), (answering(b"HTTP/1.1 405 No\r\n\r\n"), 0)] {
        let (output, errors) = run(voxrelay(folder.path())
            .args(["config", "--check", "--connect"])
            .env("VOXRELAY_AUTH__HS256_SECRET", SECRET)
            .env("VOXRELAY_WEBHOOK__URL", url.replace("ws:", "http:"))
            .env("VOXRELAY_WEBHOOK__SECRET", SECRET));
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert_eq!(code == 1, errors.contains("webhook.url: "), "{errors}");
    }
}

#[test]
fn config_prints_the_reference_that_is_in_the_docs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, errors) = run(voxrelay(folder.path()).args(["config", "--reference"]));
    assert!(output.status.success(), "{errors}");
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let committed = std::fs::read(docs).expect("readable");
    assert!(committed == output.stdout, "run `voxrelay config --reference > docs/configuration.md`");
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_and_nothing_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("voxrelay.toml"), "[limits]\nsession_minutes = 0\n").expect("written");
    for (args, variable, says) in [
        (&["serve"][..], ("VOXRELAY_LOG__LEVEL", "info"), &["auth.hs256_secret", "auth.jwks_url"][..]),
        (&["serve", "--config", "voxrelay.toml"], ("A", "b"), &["limits.session_minutes = 0", "1 to 1440"]),
        (&["config", "--check", "--config", "voxrelay.toml"], ("A", "b"), &["limits.session_minutes = 0"]),
        (&["config"], ("A", "b"), &["--check", "--reference"]),
        (&["serve", "--config", "gone.toml"], ("A", "b"), &["gone.toml"]),
        (&["dev"], ("VOXRELAY_ECHO__RATE", "8000"), &["echo.rate = 8000", "16000 or 24000"]),
        (&["token", "--sub", "a"], ("VOXRELAY_SESSION_MINUTES", "1"), &["session_minutes"]),
        (&["token", "--sub", ""], ("A", "b"), &["--sub"]),
        (&["token", "--sub", "a", "--ttl", "soon"], ("A", "b"), &["--ttl", "90s or 1h"]),
    ] {
        let (output, errors) = run(voxrelay(folder.path()).args(args).env(variable.0, variable.1));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {errors}");
        for part in says {
            assert!(errors.contains(part), "{args:?} gave {errors:?}, which does not say {part:?}");
        }
    }
    assert!(!folder.path().join("voxrelay-data").exists());
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

/// What it says when it does not start.
fn refused(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        match child.try_wait().expect("waited") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill().expect("killed");
                panic!("it runs, and should not");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(status.code(), Some(1));
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    said
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

/// What a command says on standard error, and how it ends, when nobody reads what it answers.
fn unread(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("it runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn a_command_whose_answer_nobody_reads_to_its_end_ends_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = ("VOXRELAY_AUTH__HS256_SECRET", SECRET);
    for arguments in [
        &["config", "--reference"][..],
        &["config", "--check"],
        &["token", "--sub", "ada"],
        &["migrate"],
        &["--help"],
        &["--version"],
    ] {
        let ended = unread(voxrelay(folder.path()).args(arguments).env(secret.0, secret.1));
        assert_eq!(ended, (Some(0), String::new()), "{arguments:?}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let url = format!("ws://{closed}/v1/call");
    for more in [&[][..], &["--json"]] {
        let call = ["call", &url, "--token", "a.b.c", "--text", "hello", "--longest", "1"];
        let (code, errors) = unread(voxrelay(folder.path()).args(call).args(more));
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("did not go as it should") && !errors.contains("panicked"), "{errors}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_whose_answer_finds_no_room_says_so_and_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = ("VOXRELAY_AUTH__HS256_SECRET", SECRET);
    for arguments in [&["config", "--reference"][..], &["token", "--sub", "ada"], &["migrate"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let (output, errors) =
            run(voxrelay(folder.path()).args(arguments).env(secret.0, secret.1).stdout(full));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(errors.contains("standard output: No space left"), "{arguments:?}: {errors}");
    }
}
