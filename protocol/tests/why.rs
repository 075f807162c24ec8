//! Why a socket could not be opened: what the client's machine makes of the answer to a plain HTTP request.

#[expect(dead_code, reason = "each program of tests uses some of it")]
mod bench;

use std::time::Duration;

use bench::{Bench, Did, ended, errors, resumed};
use protocol::client::{Answer, Config, Event, Input, State, Transport, Transports};
use protocol::{CloseCode, ErrorCode, ErrorMessage};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const REFUSED: CloseCode = CloseCode::Abnormal;

/// A client whose first socket is being opened.
fn opening() -> Bench {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    bench
}

/// One that was connected, and is being connected again.
fn opening_again() -> Bench {
    let mut bench = Bench::up();
    bench.input(Input::Closed { code: 1006 });
    ask_again(&mut bench);
    bench
}

/// Waits for the next attempt, which opens another socket.
fn ask_again(bench: &mut Bench) {
    let asked = (0..310).any(|_| bench.wait(Duration::from_millis(100)).contains(&Did::RequestToken));
    assert!(asked, "the longest wait is 30 s");
    assert!(bench.input(Input::Token(Ok("jwt"))).contains(&Did::Connect));
}

fn refuse(bench: &mut Bench) -> Vec<Did> {
    bench.input(Input::Closed { code: REFUSED.code() })
}

fn answer(bench: &mut Bench, status: u16, body: &str) -> Vec<Did> {
    bench.input(Input::Why(Some(Answer { status, body })))
}

/// What a relay says in a problem document.
fn problem(status: u16, code: &str, more: &str) -> String {
    let retryable = !more.is_empty();
    format!(
        r#"{{"type":"about:blank","title":"T","status":{status},"detail":"Words of {code}.","code":"{code}","retryable":{retryable}{more}}}"#
    )
}

fn messages(did: &[Did]) -> Vec<String> {
    did.iter()
        .filter_map(|did| match did {
            Did::Told(Event::Error(error)) => Some(error.message.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_socket_that_never_opened_is_asked_about_once_at_a_time_and_the_backoff_goes_on() {
    let mut bench = opening();
    let did = refuse(&mut bench);
    assert_eq!(did.iter().filter(|did| **did == Did::AskWhy).count(), 1, "{did:?}");
    ask_again(&mut bench);
    assert!(!refuse(&mut bench).contains(&Did::AskWhy), "the first answer is still waited for");
    assert_eq!(bench.input(Input::Why(None)), []);
    ask_again(&mut bench);
    assert!(refuse(&mut bench).contains(&Did::AskWhy));
}

#[test]
fn one_that_was_open_and_one_without_a_network_are_not_asked_about() {
    let mut bench = Bench::up();
    assert!(!refuse(&mut bench).contains(&Did::AskWhy));
    ask_again(&mut bench);
    bench.input(Input::Opened);
    assert!(!refuse(&mut bench).contains(&Did::AskWhy), "broken while it greeted");
    bench.input(Input::Offline);
    ask_again(&mut bench);
    assert!(!refuse(&mut bench).contains(&Did::AskWhy));
    ask_again(&mut bench);
    assert!(!bench.input(Input::Online).contains(&Did::AskWhy), "the network cut it short");
}

#[test]
fn a_socket_that_hangs_is_asked_about_as_well() {
    let did = opening().wait(Duration::from_secs(11));
    assert!(did.contains(&Did::Disconnect(1000)) && did.contains(&Did::AskWhy), "{did:?}");
}

#[test]
fn what_the_relay_refuses_for_good_ends_the_call_with_its_words() {
    for (status, code, close) in [
        (403, "origin_refused", CloseCode::Forbidden),
        (400, "not_a_websocket", CloseCode::Protocol),
        (431, "head_too_large", CloseCode::Protocol),
        (418, "a_word_of_tomorrow", CloseCode::Protocol),
    ] {
        for mut bench in [opening(), opening_again()] {
            refuse(&mut bench);
            let did = answer(&mut bench, status, &problem(status, code, ""));
            assert_eq!((errors(&did), ended(&did)), (vec![code.to_owned()], Some(close)));
            assert_eq!(messages(&did), [format!("Words of {code}.")]);
            let told = did.iter().any(
                |did| matches!(did, Did::Told(Event::Error(error)) if !error.retryable && error.code == code),
            );
            assert!(told, "{did:?}");
        }
    }
}

#[test]
fn what_passes_is_told_once_and_waited_for_as_long_as_the_relay_says() {
    let full = problem(503, "relay_full", r#","retry_after_ms":5000"#);
    let mut bench = opening();
    for attempt in 0..3 {
        refuse(&mut bench);
        let did = answer(&mut bench, 503, &full);
        let expected = if attempt == 0 { vec!["relay_full".to_owned()] } else { Vec::new() };
        assert_eq!((errors(&did), ended(&did)), (expected, None));
        assert!(did.contains(&Did::Told(Event::State(State::Connecting))), "{did:?}");
        assert!(!bench.wait(Duration::from_millis(4_900)).contains(&Did::RequestToken));
        ask_again(&mut bench);
    }
}

#[test]
fn a_limit_is_told_with_its_value() {
    let mut bench = opening();
    refuse(&mut bench);
    let limited = problem(429, "address_connections", r#","limit":20,"asked":21,"retry_after_ms":1000"#);
    let did = answer(&mut bench, 429, &limited);
    let told =
        did.iter().find_map(|did| if let Did::Told(Event::Error(error)) = did { Some(error) } else { None });
    let error = told.expect("told");
    assert_eq!((error.code.as_str(), error.retryable), ("address_connections", true));
    assert_eq!((error.limit, error.retry_after_ms), (Some(20), Some(1_000)));
}

#[test]
fn another_outage_is_told_anew() {
    let away = problem(503, "store_unavailable", r#","retry_after_ms":100"#);
    let mut bench = opening_again();
    for _ in 0..2 {
        refuse(&mut bench);
        assert_eq!(errors(&answer(&mut bench, 503, &away)), ["store_unavailable"]);
        ask_again(&mut bench);
        bench.input(Input::Opened);
        bench.relay(resumed(0, 0));
        bench.input(Input::Closed { code: 1006 });
        ask_again(&mut bench);
    }
}

#[test]
fn an_address_without_a_relay_is_final_before_the_call_and_waited_for_in_it() {
    let relays = problem(404, "not_found", "");
    for (status, body) in [
        (404, "<!doctype html>"),
        (404, relays.as_str()),
        (405, ""),
        (410, "{"),
        (302, ""),
        (301, ""),
        (308, ""),
        (200, "<!doctype html><title>Home</title>"),
        (204, ""),
    ] {
        let mut bench = opening();
        refuse(&mut bench);
        let did = answer(&mut bench, status, body);
        assert_eq!(
            (errors(&did), ended(&did)),
            (vec!["no_relay".to_owned()], Some(CloseCode::NoRelay)),
            "{status}"
        );
        let says = format!("status {status}.");
        assert!(messages(&did)[0].ends_with(&says), "{did:?}");

        let mut bench = opening_again();
        refuse(&mut bench);
        assert_eq!(answer(&mut bench, status, body), [], "{status}");
        ask_again(&mut bench);
    }
}

#[test]
fn an_answer_that_decides_nothing_is_said_when_the_relay_is_given_up() {
    let later = problem(503, "relay_full", r#","retry_after_ms":100"#);
    for (status, body, says) in [
        (426, String::new(), "WebSockets"),
        (426, problem(426, "upgrade_required", ""), "WebSockets"),
        (502, "<html>".into(), "status 502."),
        (500, "{}".into(), "status 500."),
        (403, r#"{"message":"Forbidden"}"#.into(), "status 403."),
        (429, String::new(), "status 429."),
        // Whoever says so is no relay: the status of the answer is another.
        (403, problem(404, "not_found", ""), "status 403."),
        (503, later, "status 503."),
    ] {
        let mut bench = opening();
        let mut did = Vec::new();
        for _ in 0..100 {
            if bench.client.state() == State::Closed {
                break;
            }
            refuse(&mut bench);
            let told = answer(&mut bench, status, &body);
            assert_eq!(ended(&told), None, "{status} {told:?}");
            did = bench.wait(Duration::from_millis(1_000));
            if did.contains(&Did::RequestToken) {
                bench.input(Input::Token(Ok("jwt")));
            }
        }
        assert_eq!((errors(&did), ended(&did)), (vec!["gave_up".to_owned()], Some(CloseCode::Abnormal)));
        assert!(messages(&did)[0].contains(says), "{did:?}");
    }
}

#[test]
fn an_answer_that_an_open_socket_has_overtaken_says_nothing() {
    let refusal = problem(403, "origin_refused", "");
    let mut bench = opening();
    refuse(&mut bench);
    ask_again(&mut bench);
    bench.input(Input::Opened);
    assert_eq!(answer(&mut bench, 403, &refusal), [], "while it greets");

    let mut bench = opening_again();
    refuse(&mut bench);
    ask_again(&mut bench);
    bench.input(Input::Opened);
    bench.relay(resumed(0, 0));
    bench.input(Input::Closed { code: 1006 });
    assert_eq!(answer(&mut bench, 403, &refusal), [], "in the next outage");
    assert_eq!(answer(&mut bench, 403, &refusal), [], "nobody asked");
}

#[test]
fn a_final_answer_closes_the_socket_that_is_being_opened_meanwhile() {
    let mut bench = opening();
    refuse(&mut bench);
    ask_again(&mut bench);
    let did = answer(&mut bench, 403, &problem(403, "origin_refused", ""));
    assert!(did.contains(&Did::Disconnect(1000)) && ended(&did).is_some(), "{did:?}");
}

/// A client that may use both transports, and whose first socket is being opened.
fn opening_over(transports: Transports) -> Bench {
    let mut bench = Bench::with(Config { seed: 7, transports, ..Config::default() });
    bench.input(Input::Start);
    bench.input(Input::Token(Ok("jwt")));
    bench
}

#[test]
fn two_sockets_that_do_not_open_although_the_relay_is_there_are_followed_by_http_and_two_of_those_by_a_websocket()
 {
    let mut bench = opening_over(Transports::Both);
    // A call that was never connected is given up after 30 s.
    bench.input(Input::Opened);
    bench.relay(bench::welcome());
    bench.input(Input::Closed { code: 1006 });
    ask_again(&mut bench);
    for transport in [Transport::Http, Transport::WebSocket, Transport::Http] {
        let before = bench.client.transport();
        refuse(&mut bench);
        answer(&mut bench, 426, "");
        assert_eq!(bench.client.transport(), before, "it may have been chance");
        ask_again(&mut bench);
        refuse(&mut bench);
        answer(&mut bench, 426, "");
        assert_eq!(bench.client.transport(), transport);
        ask_again(&mut bench);
    }
}

#[test]
fn a_socket_that_hangs_is_enough() {
    let mut bench = opening_over(Transports::Both);
    assert!(bench.wait(Duration::from_secs(10)).contains(&Did::AskWhy));
    answer(&mut bench, 426, "");
    assert_eq!(bench.client.transport(), Transport::Http);
}

#[test]
fn two_sockets_that_open_and_bring_no_answer_are_followed_by_http_and_by_a_websocket_again() {
    let mut bench = opening_over(Transports::Both);
    let brings_nothing = |bench: &mut Bench| {
        bench.input(Input::Opened);
        let did = bench.wait(Duration::from_secs(10));
        assert!(did.contains(&Did::Disconnect(1000)) && did.contains(&Did::AskWhy), "{did:?}");
        answer(bench, 426, "");
    };
    brings_nothing(&mut bench);
    assert_eq!(bench.client.transport(), Transport::WebSocket, "it may have been chance");
    ask_again(&mut bench);
    brings_nothing(&mut bench);
    assert_eq!(bench.client.transport(), Transport::Http, "within the 30 s of a first connection");
    ask_again(&mut bench);
    bench.input(Input::Opened);
    bench.relay(bench::welcome());
    bench.input(Input::Closed { code: 1006 });
    for transport in [Transport::Http, Transport::WebSocket] {
        ask_again(&mut bench);
        brings_nothing(&mut bench);
        assert_eq!(bench.client.transport(), transport);
    }
}

#[test]
fn a_relay_that_refuses_over_a_socket_has_answered_on_it() {
    let mut bench = opening_over(Transports::Both);
    bench.input(Input::Opened);
    bench.relay(bench::welcome());
    bench.input(Input::Closed { code: 1006 });
    ask_again(&mut bench);
    for _ in 0..4 {
        bench.input(Input::Opened);
        bench.relay(ErrorMessage::from(ErrorCode::StoreUnavailable));
        let did = bench.input(Input::Closed { code: CloseCode::TryLater.code() });
        assert!(!did.contains(&Did::AskWhy), "{did:?}");
        assert_eq!(bench.client.transport(), Transport::WebSocket);
        ask_again(&mut bench);
    }
}

#[test]
fn what_has_worked_is_kept_and_counted_anew() {
    let mut bench = opening_over(Transports::Both);
    refuse(&mut bench);
    answer(&mut bench, 426, "");
    ask_again(&mut bench);
    bench.input(Input::Opened);
    bench.relay(bench::welcome());
    bench.input(Input::Closed { code: 1006 });
    ask_again(&mut bench);
    refuse(&mut bench);
    answer(&mut bench, 426, "");
    assert_eq!(bench.client.transport(), Transport::WebSocket);
}

#[test]
fn without_the_relay_or_a_network_or_a_choice_nothing_else_is_tried() {
    for (transports, first, status) in [
        (Transports::Both, Transport::WebSocket, 502),
        (Transports::Both, Transport::WebSocket, 0),
        (Transports::Only(Transport::WebSocket), Transport::WebSocket, 426),
        (Transports::Only(Transport::Http), Transport::Http, 426),
    ] {
        let mut bench = opening_over(transports);
        for _ in 0..4 {
            refuse(&mut bench);
            if status == 0 {
                bench.input(Input::Why(None))
            } else {
                answer(&mut bench, status, "")
            };
            assert_eq!(bench.client.transport(), first, "{transports:?} after {status}");
            ask_again(&mut bench);
        }
    }
    let mut bench = opening_over(Transports::Both);
    for _ in 0..4 {
        bench.input(Input::Offline);
        ask_again(&mut bench);
    }
    refuse(&mut bench);
    answer(&mut bench, 426, "");
    assert_eq!(bench.client.transport(), Transport::WebSocket, "the network was away before");
}
