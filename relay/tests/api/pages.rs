//! Pages, and what is in them.

use serde_json::json;

use super::support::Relay;
use super::{MIDNIGHT, admin, ask, get, session, token};

#[tokio::test]
async fn paging_visits_each_session_once_while_new_ones_come() {
    let relay = Relay::start().await;
    let ada = token("ada");
    for number in 0..13 {
        session(&relay, &format!("a-{number:02}"), "ada", MIDNIGHT + i64::from(number / 3)).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/sessions?limit=3".to_owned();
    loop {
        let page = get(&relay, &ada, &path).await.json();
        let sessions = page["sessions"].as_array().expect("a list");
        seen.extend(sessions.iter().map(|session| session["id"].as_str().expect("an id").to_owned()));
        session(&relay, &format!("new-{}", seen.len()), "ada", MIDNIGHT + 1_000).await;
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/sessions?limit=3&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..13).rev().map(|number| format!("a-{number:02}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_session_says_what_is_kept_of_it() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let answer = get(&relay, &token("ada"), "/v1/sessions/a-1").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let expected = json!({
        "id": "a-1", "conversation_id": "a-1", "user_sub": "ada", "account": "acme", "plan": null,
        "client": "page of ada/1", "agent": "echo", "state": "ended",
        "started_at": "2026-03-01T00:00:00.000Z", "ended_at": "2026-03-01T00:00:10.000Z", "end_reason": "normal",
        "reconnects": 0, "rtt_avg_us": 20_000, "rtt_max_us": 45_000, "lost_samples": 160, "recorded": false,
        "rating": null, "comment": null,
        "audio_samples": 10, "tokens": 0, "characters": 0, "cost_nano_usd": 70,
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn sessions_are_found_by_time_and_state() {
    let relay = Relay::start().await;
    let ada = token("ada");
    for (id, at) in [("a-1", 0), ("a-2", 1_000), ("a-3", 2_000)] {
        session(&relay, id, "ada", MIDNIGHT + at).await;
    }
    for (query, expected) in [
        ("", 3),
        ("?state=ended", 3),
        ("?state=live", 0),
        ("?from=2026-03-01T00:00:01Z", 2),
        ("?to=2026-03-01T00:00:01Z", 1),
        ("?from=2026-03-01T01:00:01%2B01:00&to=2026-03-01T00:00:02Z", 1),
        ("?conversation_id=a-2", 1),
        ("?conversation_id=%27%3B--", 0),
    ] {
        let page = get(&relay, &ada, &format!("/v1/sessions{query}")).await.json();
        assert_eq!(page["sessions"].as_array().map(Vec::len), Some(expected), "{query}");
        assert_eq!(page["next"], json!(null));
    }
}

#[tokio::test]
async fn a_transcript_is_read_in_pages_or_as_text() {
    let relay = Relay::start().await;
    let ada = token("ada");
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let first = get(&relay, &ada, "/v1/sessions/a-1/transcript?limit=1").await.json();
    let mut turn = first["turns"][0].clone();
    assert!(turn["created_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{turn}");
    turn["created_at"] = json!(null);
    let expected = json!({
        "session_id": "a-1", "turn": 0, "role": "user", "text": "a secret\n of ada",
        "start_position": 0, "end_position": 16_000, "heard_position": null, "created_at": null,
        "stt_ms": null, "llm_ms": null, "tts_ms": null, "send_ms": null, "heard_ms": null, "total_ms": 420,
    });
    assert_eq!(turn, expected);
    let next = first["next"].as_str().expect("another page");
    let second =
        get(&relay, &ada, &format!("/v1/conversations/a-1/transcript?limit=1&cursor={next}")).await.json();
    assert_eq!((&second["turns"][0]["turn"], &second["next"]), (&json!(1), &json!(null)));

    let text = get(&relay, &ada, "/v1/conversations/a-1/transcript?format=text").await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(text.body, "# 2026-03-01T00:00:00.000Z\nuser: a secret of ada\nagent: ada, I heard you\n");
}

#[tokio::test]
async fn a_transcript_is_captions_for_whoever_asks_for_them() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    let path = "/v1/sessions/a-1/transcript";
    let named = get(&relay, &token("ada"), &format!("{path}?format=vtt")).await;
    assert_eq!(named.header("content-type"), Some("text/vtt; charset=utf-8"));
    let mut lines = named.body.lines();
    assert_eq!((lines.next(), lines.next()), (Some("WEBVTT"), Some("")));
    assert!(lines.next().is_some_and(|times| times.contains(" --> ")), "{named:?}");
    assert_eq!(lines.next(), Some("<v User>a secret of ada</v>"));
    assert!(named.body.ends_with("\n<v Agent>ada, I heard you</v>\n"), "{named:?}");
    let accepting = async |accept: &str, path: &str| {
        let headers = format!("authorization: Bearer {}\r\naccept: {accept}\r\n", token("ada"));
        ask(&relay, "GET", path, &headers, "").await
    };
    assert_eq!(accepting("application/json;q=0.5, Text/VTT", path).await.body, named.body);
    let conversation = accepting("text/vtt", "/v1/conversations/a-1/transcript").await;
    assert_eq!(conversation.body, named.body);
    for (accept, path) in [("*/*", path.to_owned()), ("text/vtt", format!("{path}?format=json"))] {
        assert_eq!(accepting(accept, &path).await.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_page_of_alerts_and_of_live_sessions_may_be_empty() {
    let relay = Relay::start().await;
    assert_eq!(get(&relay, &admin(), "/v1/admin/alerts").await.json(), json!({ "alerts": [], "next": null }));
    assert_eq!(get(&relay, &admin(), "/v1/admin/live").await.json(), json!({ "sessions": [], "next": null }));
}
