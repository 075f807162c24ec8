//! `voxrelay call`.

use super::*;

/// Half a second of silence and two of what counts as speech.
pub(super) fn speech() -> Vec<i16> {
    (0..40_000).map(|n| if n < 8_000 { 0 } else { audio::synthetic::voice(n) }).collect()
}

/// As ffmpeg writes it when it cannot go back: no lengths, and a note before the audio.
pub(super) fn wav(samples: &[i16]) -> Vec<u8> {
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
