//! `voxrelay call`: speaks a WAV file to a relay, and says how it went.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use protocol::client::{Event, State};
use protocol::{CloseCode, Role, Transcript};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, channel};

use super::{answer, tell, unwritten};
use crate::NanoUsd;
use crate::client::{HEARD_RATE, Options, Report, Trust, converse, read_speech, write_heard};

/// Options of `voxrelay call`.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// Where to call, such as ws://127.0.0.1:8080/v1/call
    #[arg(value_parser = socket_url)]
    url: String,
    /// The access token, such as `voxrelay token` prints.
    #[arg(long, env = "VOXRELAY_TOKEN", hide_env_values = true)]
    token: String,
    /// What to say: a WAV file of any rate, or - for standard input.
    #[arg(long, value_name = "IN.wav", required_unless_present = "text")]
    audio: Option<PathBuf>,
    /// What to type, each when the one before was answered; - reads lines from standard input. Without --audio there is no microphone.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Vec<String>,
    /// The agent to speak with, by its name; without it the relay's default one answers.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Where to write what was answered.
    #[arg(long, value_name = "OUT.wav")]
    save: Option<PathBuf>,
    /// Milliseconds of audio a chunk.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=200))]
    chunk_ms: u32,
    /// Seconds of audio that are kept until the relay has stored them; beyond them the oldest is lost, and announced.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    buffer_seconds: u32,
    /// Longest time the call may take, in seconds.
    #[arg(long, default_value_t = 600)]
    longest: u64,
    /// Whom to trust over wss:// in the place of the authorities that everybody trusts: a PEM file with the relay's own certificate, or with
    /// the one that it was signed with.
    #[arg(long, value_name = "CA.pem")]
    ca: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Stands for standard input.
const STANDARD_INPUT: &str = "-";
/// Lines that wait to be typed.
const LINES: usize = 16;

/// The lines of standard input, until it ends. Nothing can end a read of it, so a thread does that and is left behind.
fn read_lines() -> Receiver<String> {
    let (sender, receiver) = channel(LINES);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        for line in lines.filter(|line| !line.trim().is_empty()) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The address of a relay's socket; of what is none, what to write instead.
fn socket_url(given: &str) -> Result<String, String> {
    let Some((scheme, rest)) = given.split_once("://") else {
        let host = given.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("write an address such as ws://127.0.0.1:8080/v1/call".to_owned());
        }
        let is_here = ["localhost", "127.", "[::1]"].iter().any(|here| host.starts_with(here));
        let scheme = if is_here { "ws" } else { "wss" };
        return Err(format!("it has no scheme: write {scheme}://{given}"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "ws" | "wss" => {}
        "http" => return Err(format!("begin with ws:// or wss://: write ws://{rest}")),
        "https" => return Err(format!("begin with ws:// or wss://: write wss://{rest}")),
        _ => return Err("begin with ws:// or wss://".to_owned()),
    }
    let url: reqwest::Url = given.parse().map_err(|error| format!("it is no address: {error}"))?;
    match url.fragment() {
        Some(fragment) => Err(format!("a socket's address has no fragment: leave #{fragment} away")),
        None => Ok(given.to_owned()),
    }
}

/// Makes the call: prints the transcript while it runs, then cost and latencies. Fails when something did. The call goes on when nobody
/// reads any more: what it is saved to, and how it ends, is wanted even so.
pub async fn run(args: CallArgs) -> ExitCode {
    let speech = match args.audio.as_deref().map(read_speech).transpose() {
        Ok(speech) => speech.unwrap_or_default(),
        Err(error) => {
            tell(&error);
            return ExitCode::FAILURE;
        }
    };
    let trust = match args.ca.as_deref().map(Trust::read).transpose() {
        Ok(trust) => trust,
        Err(error) => {
            tell(&error);
            return ExitCode::FAILURE;
        }
    };
    let (texts, from_input): (Vec<_>, Vec<_>) =
        args.text.iter().cloned().partition(|text| text != STANDARD_INPUT);
    let lines = (!from_input.is_empty()).then(read_lines);
    let options = Options {
        url: args.url.clone(),
        token: args.token.clone(),
        speech,
        texts,
        agent: args.agent.clone(),
        chunk: args.chunk_ms as usize * 16,
        buffer: Duration::from_secs(args.buffer_seconds.into()),
        waits_for_answer: true,
        longest: Duration::from_secs(args.longest),
        trust,
    };
    let mut written = Ok(());
    let report = converse(options, lines, |event| {
        if !args.json
            && let Err(error) = progress(event)
        {
            written = Err(error);
        }
    })
    .await;
    if let Some(path) = &args.save
        && let Err(error) = write_heard(path, &report.heard)
    {
        tell(&error);
        return ExitCode::FAILURE;
    }
    let said = if args.json { as_json(&report).to_string() } else { summary(&report) };
    let written = written.and(answer(&said));
    if !report.is_good() {
        tell(&format!("The call did not go as it should: {}", complaint(&report)));
        return ExitCode::FAILURE;
    }
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// Says what happens. Only the transcript is an answer.
fn progress(event: &Event) -> io::Result<()> {
    match event {
        Event::State(State::Connected) => tell(&"connected"),
        Event::State(State::Reconnecting { attempt, retry_in }) => {
            tell(&format!("reconnecting (attempt {attempt}, in {:.1} s)", retry_in.as_secs_f64()));
        }
        Event::Transcript(turn) if turn.last && !turn.text.is_empty() => {
            let who = match turn.role {
                Role::User => "you  ",
                Role::Agent | Role::Unknown => "agent",
            };
            return answer(&format!("{who} {}", turn.text.escape_debug()));
        }
        Event::Budget(budget) => tell(&format!(
            "{} % of a budget is spent: {} of {}",
            budget.percent,
            NanoUsd::new(budget.spent_nano_usd),
            NanoUsd::new(budget.limit_nano_usd)
        )),
        Event::Gap(gap) => tell(&format!("{} ms of audio were lost", gap.samples / 16)),
        Event::Error(error) => {
            tell(&format!("{}: {}", error.code.escape_debug(), error.message.escape_debug()));
        }
        _ => {}
    }
    Ok(())
}

fn summary(report: &Report) -> String {
    let ms = |time: &Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    let list = |times: &[Duration], none: &str, more: &str| match times {
        [] => none.to_owned(),
        times => times.iter().map(ms).collect::<Vec<_>>().join(", ") + more,
    };
    let after = " after the end of what was said";
    [
        format!("session    {}", report.session_id.as_deref().unwrap_or("none")),
        format!("metered    {:.1} s", report.usage.audio_ms as f64 / 1_000.0),
        format!("cost       {}", NanoUsd::new(report.usage.cost_nano_usd)),
        format!("connected  {}", report.connected_after.as_ref().map_or_else(|| "never".into(), ms)),
        format!("round trip {}", list(&report.round_trips, "not measured", "")),
        format!("answered   {}", list(&report.answer_latencies, "nothing", after)),
        format!("heard      {:.1} s", report.heard.len() as f64 / f64::from(HEARD_RATE)),
        format!("reconnects {}", report.reconnects),
    ]
    .join("\n")
}

fn as_json(report: &Report) -> serde_json::Value {
    let ms = |time: &Duration| time.as_millis() as u64;
    json!({
        "good": report.is_good(),
        "session_id": report.session_id,
        "conversation_id": report.conversation_id,
        "ended": report.ended.map(CloseCode::name),
        "turns": report.turns.iter().map(turn_as_json).collect::<Vec<_>>(),
        "audio_ms": report.usage.audio_ms,
        "cost_nano_usd": report.usage.cost_nano_usd,
        "connected_ms": report.connected_after.as_ref().map(ms),
        "round_trip_ms": report.round_trips.iter().map(ms).collect::<Vec<_>>(),
        "answer_latency_ms": report.answer_latencies.iter().map(ms).collect::<Vec<_>>(),
        "typed": report.typed,
        "answered": report.answered,
        "reconnects": report.reconnects,
        "missing_ms": report.missing() / 16,
        "heard_ms": report.heard.len() as u64 * 1_000 / u64::from(HEARD_RATE),
        "errors": report.errors,
    })
}

fn turn_as_json(turn: &Transcript) -> serde_json::Value {
    let role = match turn.role {
        Role::User => "user",
        Role::Agent | Role::Unknown => "agent",
    };
    json!({ "turn": turn.turn, "role": role, "text": turn.text, "start": turn.start, "end": turn.end })
}

fn complaint(report: &Report) -> String {
    let ended = report.ended.map_or("nothing", |code| code.name());
    if let (None, Some(cause), true) = (report.connected_after, &report.socket_error, report.was_never_told())
    {
        return format!("no connection came about in {:.0} s: {cause}", report.ended_after.as_secs_f64());
    }
    if let Some(last) = report.errors.last() {
        return format!("ended by {ended}; {last}");
    }
    if report.missing() > 0 {
        return format!("{} ms of audio were lost", report.missing() / 16);
    }
    if report.typed > report.answered {
        return format!("ended by {ended}, {} of {} texts were answered", report.answered, report.typed);
    }
    if report.turns.is_empty() {
        return "the relay heard no speech in the file".into();
    }
    format!(
        "ended by {ended}, {} turns, {} s heard",
        report.turns.len(),
        report.heard.len() as u32 / HEARD_RATE
    )
}
