//! The binary, as a person runs it.

#[path = "../support/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod postgres;
#[path = "../support/records.rs"]
#[expect(dead_code, unreachable_pub, reason = "each program of tests uses some of it, one as a library")]
mod records;

mod backup;
mod billing;
mod call;
mod check;
mod config;
mod credit;
mod health;
mod keys;
#[cfg(unix)]
mod listening;
mod moving;
#[cfg(unix)]
mod reload;
mod rollups;
mod serve;
#[cfg(unix)]
mod stopping;
mod token;

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
        let url = line.trim_end().strip_prefix("listening on ").expect("the address");
        let address = url.split_once("://").expect("its scheme").1.to_owned();
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

const SECRET: &str = "a-configured-secret-of-more-than-32-bytes";

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
