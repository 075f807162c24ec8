//! Whatever becomes of the lines that a relay writes, it serves calls, and it ends as it is told to.
#![cfg(target_os = "linux")]

#[path = "support/ports.rs"]
pub mod ports;

use std::fs::OpenOptions;
use std::io::{PipeReader, Read, Write, pipe};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ports::free_address;

const PATIENCE: Duration = Duration::from_secs(60);

fn voxrelay(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxrelay"));
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VOXRELAY_")) {
        command.env_remove(name);
    }
    command
}

/// A relay that runs; it is killed when the test is over.
struct Running {
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
}

impl Running {
    /// Starts one whose standard output and standard error are this. What it says of its address may never be read.
    fn start(folder: &Path, out: Stdio, err: Stdio) -> Running {
        let (address, metrics) = (free_address(), free_address());
        let child = voxrelay(folder)
            .args(["dev", "--listen", &address.to_string()])
            .env("VOXRELAY_METRICS__LISTEN", metrics.to_string())
            .env("VOXRELAY_LOG__LEVEL", "debug")
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("it starts");
        let mut relay = Running { child, address, metrics };
        relay.until("it listens", |relay| TcpStream::connect(relay.metrics).is_ok());
        relay.until("it listens", |relay| get(relay.address, "/livez").ends_with("ok\n"));
        relay
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Running) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let ended = self.child.try_wait().expect("waited");
            assert!(ended.is_none() && Instant::now() < deadline, "{what}: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("waited") {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("it goes on"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer; nothing if there is none.
fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        // Whoever does not answer is asked again.
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}

fn dropped_lines(relay: &Running) -> u64 {
    let metrics = get(relay.metrics, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("voxrelay_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("no such line: {metrics}")).parse().expect("a number")
}

/// Two seconds of what counts as speech, said and answered.
fn call(folder: &Path, relay: &Running) {
    let token = voxrelay(folder).args(["token", "--sub", "ada"]).output().expect("it runs").stdout;
    let token = String::from_utf8(token).expect("UTF-8");
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x80>\0\0\0}\0\0\x02\0\x10\0".to_vec();
    wav.extend(b"data\xff\xff\xff\xff");
    wav.extend((0..32_000).flat_map(|n| audio::synthetic::voice(n).to_le_bytes()));
    std::fs::write(folder.join("in.wav"), wav).expect("written");
    let url = format!("ws://{}/v1/call", relay.address);
    let call = ["call", &url, "--token", token.trim(), "--audio", "in.wav"];
    let output = voxrelay(folder).args(call).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn closed_pipe() -> Stdio {
    pipe().expect("a pipe").1.into()
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("Linux has it").into()
}

/// A pipe that is full, for as long as its other end is held.
fn unread_pipe() -> (PipeReader, Stdio) {
    let (reader, writer) = pipe().expect("a pipe");
    let mut filling = writer.try_clone().expect("a pipe");
    // It waits for room, and ends with the pipe.
    std::thread::spawn(move || while filling.write_all(&[b'\n'; 4_096]).is_ok() {});
    (reader, writer.into())
}

#[test]
fn calls_go_on_and_the_relay_stops_in_order_where_no_line_can_be_written() {
    for (what, out, err) in [
        ("a full disk", full_disk(), full_disk()),
        ("a log on a full disk", Stdio::null(), full_disk()),
        ("a reader that is gone", closed_pipe(), closed_pipe()),
        ("a log whose reader is gone", Stdio::null(), closed_pipe()),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut relay = Running::start(folder.path(), out, err);
        call(folder.path(), &relay);
        relay.until(what, |relay| dropped_lines(relay) > 0);
        assert_eq!(relay.stop().code(), Some(0), "{what}");
    }
}

#[test]
fn calls_go_on_and_the_relay_stops_in_order_where_nobody_reads_its_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let ((held_out, out), (held_err, err)) = (unread_pipe(), unread_pipe());
    let relay = Running::start(folder.path(), out, err);
    call(folder.path(), &relay);
    assert_eq!(relay.stop().code(), Some(0));
    drop((held_out, held_err));
}

#[test]
fn calls_go_on_when_the_reader_of_the_log_dies_in_between() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut relay = Running::start(folder.path(), Stdio::null(), writer.into());
    assert!(reader.read(&mut [0; 100]).expect("lines") > 0);
    assert_eq!(dropped_lines(&relay), 0);
    drop(reader);
    call(folder.path(), &relay);
    relay.until("lines are dropped", |relay| dropped_lines(relay) > 0);
    assert_eq!(relay.stop().code(), Some(0));
}
