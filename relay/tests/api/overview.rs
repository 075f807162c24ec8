//! What ended sessions come to, for charts; and live calls as they come and go.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::records;
use super::support::Relay;
use super::{MIDNIGHT, admin, as_user, ask, get, session};

const DAYS: &str = "from=2026-03-01&to=2026-03-02";
const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn calls_minutes_money_and_stages_are_told_by_time_without_gaps() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT + 60_000).await;
    session(&relay, "b-1", "bob", MIDNIGHT + DAY_MS).await;
    let answer = get(&relay, &admin(), &format!("/v1/admin/overview?{DAYS}")).await.json();
    assert_eq!((&answer["from"], &answer["to"]), (&"2026-03-01".into(), &"2026-03-02".into()));
    assert_eq!(answer["step_seconds"], 3_600);
    let series = answer["series"].as_array().expect("a list");
    assert_eq!(series.len(), 48);
    let of = |place: usize, field: &str| series[place][field].clone();
    assert_eq!(of(0, "at"), "2026-03-01T00:00:00.000Z");
    for (place, calls) in [(0, 1), (1, 0), (24, 1), (47, 0)] {
        let figures =
            [("calls", calls), ("seconds", 10 * calls), ("cost_nano_usd", 70 * calls), ("failed", 0)];
        for (field, expected) in figures {
            assert_eq!(of(place, field), expected, "{field} of {place}");
        }
    }
    assert_eq!((&answer["total"]["calls"], &answer["total"]["cost_nano_usd"]), (&2.into(), &140.into()));
    assert_eq!(answer["endings"], json!([{ "reason": "normal", "calls": 2, "failed": false }]));
    // Turns count when they are written, which is now, and each of them says 420 ms in all.
    let now = get(&relay, &admin(), "/v1/admin/overview").await.json();
    let total = &now["total"];
    assert_eq!(now["step_seconds"], 86_400);
    assert_eq!((&total["answers"], &total["interrupted"]), (&2.into(), &0.into()));
    let stage = &total["stages"][0];
    assert_eq!((&stage["stage"], &stage["turns"]), (&"total".into(), &4.into()));
    for percentile in ["p50_ms", "p95_ms", "p99_ms"] {
        assert!((300..=500).contains(&stage[percentile].as_u64().expect("a number")), "{stage}");
    }
    let (longest, longer) =
        (format!("agent={}", "%C3%A9".repeat(64)), format!("agent={}", "%C3%A9".repeat(65)));
    assert_eq!(get(&relay, &admin(), &format!("/v1/admin/overview?{longest}")).await.status, 200);
    for wrong in ["from=yesterday", "from=2026-01-01&to=2026-12-31", "agent=", longer.as_str(), "by=day"] {
        let answer = get(&relay, &admin(), &format!("/v1/admin/overview?{wrong}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &"bad_query".into()), "{wrong}");
    }
}

#[tokio::test]
async fn spend_is_told_by_whom_and_for_what_and_what_is_erased_stays_in_the_sum() {
    let relay = Relay::start().await;
    for (id, sub) in [("a-1", "ada"), ("b-1", "bob"), ("b-2", "bob")] {
        session(&relay, id, sub, MIDNIGHT).await;
    }
    let spend =
        async |by: &str| get(&relay, &admin(), &format!("/v1/admin/spend?{DAYS}&by={by}")).await.json();
    for (by, rows) in [
        ("day", json!([{ "name": "2026-03-01", "cost_nano_usd": 210 }])),
        ("user", json!([{ "name": "bob", "cost_nano_usd": 140 }, { "name": "ada", "cost_nano_usd": 70 }])),
        ("account", json!([{ "name": "acme", "cost_nano_usd": 210 }])),
        ("agent", json!([{ "name": "echo", "cost_nano_usd": 210 }])),
        ("provider", json!([{ "name": "echo", "cost_nano_usd": 210 }])),
        ("item", json!([{ "name": "echo/listening", "cost_nano_usd": 210 }])),
    ] {
        let answer = spend(by).await;
        assert_eq!(
            (&answer["rows"], &answer["total_nano_usd"], &answer["by"]),
            (&rows, &210.into(), &by.into())
        );
    }
    let erased = as_user(&relay, &admin(), "DELETE", "/v1/admin/users/bob").await;
    assert_eq!(erased.status, 200);
    let left = spend("user").await;
    assert_eq!(left["rows"], json!([{ "name": "ada", "cost_nano_usd": 70 }]));
    assert_eq!((&left["total_nano_usd"], &left["erased_nano_usd"]), (&70.into(), &140.into()));
}

#[tokio::test]
async fn live_calls_are_told_as_they_come_and_go_until_the_relay_stops() {
    let relay = Relay::start().await;
    let mut stream = TcpStream::connect(relay.address).await.expect("connected");
    let request = format!(
        "GET /v1/admin/live/watch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        relay.address,
        admin()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut come = String::new();
    read_until(&mut stream, &mut come, "\"sessions\":[]").await;
    assert!(come.contains("application/x-ndjson"), "{come}");
    records::open(&*relay.app.records.store, &records::session("a-1"), &records::quota()).await;
    read_until(&mut stream, &mut come, "\"id\":\"a-1\"").await;
    relay.app.live.shutdown.cancel();
    read_until(&mut stream, &mut come, "\r\n0\r\n\r\n").await;
}

/// Reads until this has come.
pub(super) async fn read_until(stream: &mut TcpStream, come: &mut String, what: &str) {
    let reading = async {
        let mut bytes = [0; 4_096];
        while !come.contains(what) {
            let read = stream.read(&mut bytes).await.expect("read");
            assert!(read > 0, "it ended without {what}: {come}");
            come.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect("it comes in time");
}

#[tokio::test]
async fn nobody_but_sixteen_may_look_at_live_calls_at_the_same_time() {
    let relay = Relay::start().await;
    let mut looking = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(relay.address).await.expect("connected");
        let request = format!(
            "GET /v1/admin/live/watch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            relay.address,
            admin()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        read_until(&mut stream, &mut String::new(), "sessions").await;
        looking.push(stream);
    }
    let full = get(&relay, &admin(), "/v1/admin/live/watch").await;
    let problem: Value = full.json();
    assert_eq!((full.status, &problem["code"]), (503, &"relay_full".into()));
    assert!(full.header("retry-after").is_some());
}

#[tokio::test]
async fn the_page_for_administrators_is_there_whole_and_lets_nothing_in_from_elsewhere() {
    let relay = Relay::start().await;
    for path in ["/dashboard", "/dashboard/"] {
        let page = ask(&relay, "GET", path, "", "").await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        for allowed in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"] {
            assert!(policy.split("; ").any(|directive| directive == allowed), "{allowed}: {policy}");
        }
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("permissions-policy"), Some("microphone=(), camera=(), geolocation=()"));
        for inline in ["<style", "style=", "<script>", "onclick", "javascript:"] {
            assert!(!page.body.contains(inline), "{inline}");
        }
    }
    let mut waiting = vec!["dashboard.js".to_owned(), "dashboard.css".to_owned(), "icon.svg".to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = waiting.pop() {
        let file = ask(&relay, "GET", &format!("/dashboard/{name}"), "", "").await;
        assert_eq!(file.status, 200, "{name}");
        let imports = file.body.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next());
        for import in imports.map(str::to_owned).filter(|_| name.ends_with(".js")) {
            if !seen.contains(&import) && !waiting.contains(&import) {
                waiting.push(import);
            }
        }
        seen.push(name);
    }
    assert!(seen.len() > 10, "{seen:?}");
    assert_eq!(ask(&relay, "GET", "/dashboard/no-such.js", "", "").await.status, 404);
}
