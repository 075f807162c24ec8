//! The HTTP API against its own document: schemathesis asks whatever the document allows, and much that it does not, as a user
//! and as an administrator. It comes from PyPI; where that is out of reach, the step says so instead of calling it passed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::outcome::Outcome;
use crate::pypi;
use crate::step::{output, step, watch};
use crate::workspace;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// What an answer has to hold to. A request that the document allows may still be refused (a cursor is a text, but not every text
/// is a cursor), so `positive_data_acceptance` is not among them.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,\
    missing_required_header,ignored_auth,use_after_free,ensure_resource_availability";

/// A body that is too large and wrong besides is refused for its size: schemathesis does not expect that by itself.
const REJECTIONS: &str = r#"
[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
"#;
/// An answer that goes on as long as somebody reads it, which schemathesis waits for to end. The tests of the API read it.
const ENDLESS: &str = "/v1/admin/live/watch";
/// For each of the two runs.
const SECONDS: &str = "40";
/// The same questions in every run of the gate, so that what fails was changed; `schemathesis run --seed` asks others.
const SEED: &str = "1";
/// Of each operation and phase.
const EXAMPLES: &str = "30";
/// Calls that are made before, so that there is something to read and to erase.
const CALLS: usize = 3;
/// Of the speech, a second.
const RATE: u32 = 16_000;

/// The administrator is the user `root`, so that `voxrelay token` can say so.
const CONFIG: &str = r#"
data_dir = "data"
[auth]
hs256_secret = "a secret of the fuzzer that nobody else knows"
role_claim = "sub"
admin_role = "root"
[api]
requests_per_minute = 1000000
preflights_per_minute = 100000
[log]
level = "warn"
"#;

/// A relay that is stopped however this ends.
struct Relay {
    child: Child,
    address: String,
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn api() -> Result<Outcome> {
    let Some(schemathesis) = pypi::program(SCHEMATHESIS, "schemathesis") else {
        return Ok(Outcome::ok().not_checked("HTTP API: NOT CHECKED, Python 3 or PyPI cannot be reached"));
    };
    let folder = workspace::cache().join("fuzz");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("voxrelay.toml"), CONFIG)?;
    fs::write(folder.join("speech.wav"), speech())?;
    let relay = start(&folder)?;
    let (user, admin) = (token(&folder, "ada")?, token(&folder, "root")?);
    step("calls, so that there is something to find", || call(&folder, &relay, &user))?;
    let mut outcome = Outcome::ok();
    fs::write(folder.join("schemathesis.toml"), REJECTIONS)?;
    for (who, token) in [("a user", &user), ("an administrator", &admin)] {
        let mut facts = Vec::new();
        let mut is_found = false;
        let passed = watch(
            Command::new(&schemathesis)
                .current_dir(&folder)
                .args(["run", &format!("http://{}/v1/openapi.json", relay.address)])
                .args(["--header", &format!("Authorization: Bearer {token}")])
                .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--max-time", SECONDS, "--seed", SEED])
                .args(["--continue-on-failure", "--warnings", "off", "--exclude-path", ENDLESS])
                .env("NO_COLOR", "1"),
            "the virtual environment in the cache may be broken: delete it",
            |line| {
                if line.contains(" generated") || line.starts_with("Seed:") {
                    facts.push(line.trim().to_owned());
                }
                // Each section begins with its name between two lines.
                if line.starts_with("=====") {
                    is_found = line.contains(" FAILURES ") || line.contains(" ERRORS ");
                }
                if is_found {
                    outcome.failures.say(line);
                }
            },
        )?;
        outcome.passed += u64::from(passed);
        outcome.failed += u64::from(!passed);
        outcome = outcome.note(format!("as {who}: {}", facts.join("; ")));
    }
    Ok(outcome)
}

fn voxrelay(folder: &Path) -> Command {
    let mut command = Command::new(workspace::program("voxrelay"));
    command.current_dir(folder);
    command
}

fn start(folder: &Path) -> Result<Relay> {
    let mut child = voxrelay(folder)
        .args(["serve", "--config", "voxrelay.toml", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("run `cargo build -p relay` first")?;
    let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let mut relay = Relay { child, address: String::new() };
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    match line.trim().strip_prefix("listening on http://") {
        Some(address) => relay.address = address.to_owned(),
        None => bail!("the relay did not say where it listens but {line:?}"),
    }
    Ok(relay)
}

fn token(folder: &Path, sub: &str) -> Result<String> {
    let mut command = voxrelay(folder);
    let token = output(command.args(["token", "--config", "voxrelay.toml", "--sub", sub]), "see above")?;
    Ok(token.trim().to_owned())
}

fn call(folder: &Path, relay: &Relay, token: &str) -> Result<()> {
    let url = format!("ws://{}/v1/call", relay.address);
    let calls: Vec<Child> = (0..CALLS)
        .map(|_| {
            let mut command = voxrelay(folder);
            command.args(["call", "--token", token, "--audio", "speech.wav", "--json", &url]);
            Ok(command.stdout(Stdio::null()).spawn()?)
        })
        .collect::<Result<_>>()?;
    for mut call in calls {
        if !call.wait()?.success() {
            bail!("a call failed: see above");
        }
    }
    Ok(())
}

/// A WAV file with a voiced sound: harmonics of 120 Hz, swelling four times a second, between two silences.
fn speech() -> Vec<u8> {
    let sample = |at: u32| -> i16 {
        if !(RATE / 2..RATE * 2).contains(&at) {
            return 0;
        }
        let t = f64::from(at) / f64::from(RATE);
        let swell = 0.6 + 0.4 * (t * 25.0).sin();
        let tone: f64 = (1..12).map(|h| (t * 754.0 * f64::from(h)).sin() / f64::from(h)).sum();
        // `as` stops at the ends of the range.
        (tone * swell * 6_000.0) as i16
    };
    let data: Vec<u8> = (0..RATE * 5 / 2).flat_map(|at| sample(at).to_le_bytes()).collect();
    let length = u32::try_from(data.len()).expect("two seconds fit");
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}
