//! Call detail records as files.

use serde_json::Value;

use super::support::Relay;
use super::{MIDNIGHT, admin, get, session, token};

#[tokio::test]
async fn ndjson_has_a_session_a_line() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada", MIDNIGHT).await;
    session(&relay, "b-1", "=bob", MIDNIGHT + 1).await;
    let answer = get(&relay, &admin(), "/v1/admin/export/sessions.ndjson").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"sessions.ndjson\""));
    let expected = concat!(
        r#"{"id":"b-1","conversation_id":"b-1","user_sub":"=bob","account":"acme","plan":null,"client":"page of =bob/1","agent":"echo","state":"ended","started_at":"2026-03-01T00:00:00.001Z","ended_at":"2026-03-01T00:00:10.001Z","end_reason":"normal","reconnects":0,"rtt_avg_us":20000,"rtt_max_us":45000,"lost_samples":160,"recorded":false,"rating":null,"comment":null,"audio_samples":10,"tokens":0,"characters":0,"cost_nano_usd":70,"login":"login-of-=bob","relay":"relay-1"}"#,
        "\n",
        r#"{"id":"a-1","conversation_id":"a-1","user_sub":"ada","account":"acme","plan":null,"client":"page of ada/1","agent":"echo","state":"ended","started_at":"2026-03-01T00:00:00.000Z","ended_at":"2026-03-01T00:00:10.000Z","end_reason":"normal","reconnects":0,"rtt_avg_us":20000,"rtt_max_us":45000,"lost_samples":160,"recorded":false,"rating":null,"comment":null,"audio_samples":10,"tokens":0,"characters":0,"cost_nano_usd":70,"login":"login-of-ada","relay":"relay-1"}"#,
        "\n",
    );
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_user_exports_their_own_sessions_with_what_was_said_and_nobody_elses() {
    let relay = Relay::start().await;
    for (id, sub, at) in [("a-1", "ada", 0), ("b-1", "bob", 1), ("a-2", "ada", 2)] {
        session(&relay, id, sub, MIDNIGHT + at).await;
    }
    let answer = get(&relay, &token("ada"), "/v1/export/sessions.ndjson").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    assert!(!answer.body.contains("bob"), "{}", answer.body);
    let lines: Vec<Value> =
        answer.body.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let ids: Vec<_> = lines.iter().map(|line| line["session"]["id"].as_str()).collect();
    assert_eq!(ids, [Some("a-2"), Some("a-1")]);
    for (line, id) in lines.iter().zip(["a-2", "a-1"]) {
        let page =
            get(&relay, &token("ada"), &format!("/v1/sessions/{id}/transcript?limit=100")).await.json();
        assert_eq!(line["turns"], page["turns"]);
        assert!(line["turns"].as_array().is_some_and(|turns| !turns.is_empty()));
    }
}

#[tokio::test]
async fn csv_has_a_header_and_no_formula() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "ada, \"the first\"", MIDNIGHT).await;
    session(&relay, "b-1", "=bob", MIDNIGHT + 1).await;
    let answer = get(&relay, &admin(), "/v1/admin/export/sessions.csv").await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    let expected = concat!(
        "id,conversation_id,user_sub,account,plan,client,agent,state,started_at,ended_at,end_reason,reconnects,",
        "rtt_avg_us,rtt_max_us,lost_samples,recorded,rating,comment,audio_samples,tokens,characters,cost_nano_usd,login,relay\r\n",
        "b-1,b-1,'=bob,acme,,page of =bob/1,echo,ended,2026-03-01T00:00:00.001Z,2026-03-01T00:00:10.001Z,normal,0,",
        "20000,45000,160,false,,,10,0,0,70,login-of-=bob,relay-1\r\n",
        "a-1,a-1,\"ada, \"\"the first\"\"\",acme,,\"page of ada, \"\"the first\"\"/1\",echo,ended,",
        "2026-03-01T00:00:00.000Z,2026-03-01T00:00:10.000Z,normal,0,20000,45000,160,false,,,10,0,0,70,",
        "\"login-of-ada, \"\"the first\"\"\",relay-1\r\n",
    );
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn a_long_export_has_every_session_once_and_one_header() {
    let relay = Relay::start().await;
    for number in 0..1_203 {
        session(&relay, &format!("s-{number:04}"), "ada", MIDNIGHT + number / 7).await;
    }
    let csv = get(&relay, &admin(), "/v1/admin/export/sessions.csv?user_sub=ada").await.body;
    let ids: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let expected: Vec<String> = (0..1_203).rev().map(|number| format!("s-{number:04}")).collect();
    assert_eq!(ids, expected);
    let none = get(&relay, &admin(), "/v1/admin/export/sessions.csv?user_sub=bob").await.body;
    assert_eq!(none.lines().count(), 1, "a header alone");
    let lines = get(&relay, &admin(), "/v1/admin/export/sessions.ndjson").await.body;
    assert_eq!(lines.lines().count(), 1_203);
}

#[tokio::test]
async fn usage_is_a_table_over_years_without_a_formula() {
    let relay = Relay::start().await;
    session(&relay, "a-1", "=ada", MIDNIGHT).await;
    session(&relay, "a-2", "=ada", MIDNIGHT + 200 * 86_400_000).await;
    session(&relay, "b-1", "bob", MIDNIGHT + 1).await;
    let columns = "period,account,user_sub,plan,agent,session_id,item,unit,quantity,estimated_quantity,reported_quantity,\
        seconds,minutes,cost_nano_usd,estimated_nano_usd,reported_nano_usd\r\n";
    let years = "from=2020-01-01&to=2026-12-31";
    let path = format!("/v1/admin/export/usage.csv?{years}&by=user");
    let answer = get(&relay, &admin(), &path).await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"usage.csv\""));
    let rows = "2026-03-01,acme,'=ada,,,,echo/listening,sample,10,0,10,0.000,0.0000,70,0,70\r\n\
        2026-03-01,acme,bob,,,,echo/listening,sample,10,0,10,0.000,0.0000,70,0,70\r\n\
        2026-09-17,acme,'=ada,,,,echo/listening,sample,10,0,10,0.000,0.0000,70,0,70\r\n";
    assert_eq!(answer.body, format!("{columns}{rows}"));
    let months = get(&relay, &admin(), &format!("/v1/admin/export/usage.csv?{years}&per=month")).await.body;
    let rows = "2026-03,acme,,,,,echo/listening,sample,20,0,20,0.001,0.0000,140,0,140\r\n\
        2026-09,acme,,,,,echo/listening,sample,10,0,10,0.000,0.0000,70,0,70\r\n";
    assert_eq!(months, format!("{columns}{rows}"));
    let own = get(&relay, &token("bob"), &format!("/v1/export/usage.csv?{years}&by=session")).await.body;
    let rows = "2026-03-01,acme,bob,,echo,b-1,echo/listening,sample,10,0,10,0.000,0.0000,70,0,70\r\n";
    assert_eq!(own, format!("{columns}{rows}"));
    let credit = serde_json::json!({
        "key": "ticket-1", "account": "acme", "day": "2026-03-01", "amount_nano_usd": 60, "reason": "a slip",
    });
    assert_eq!(super::post(&relay, &admin(), "/v1/admin/credits", &credit).await.status, 201);
    let day = get(&relay, &admin(), "/v1/admin/export/usage.csv?from=2026-03-01&to=2026-03-01").await.body;
    assert!(
        day.ends_with("operator/credit,nano_usd,60,0,60,,,-60,0,-60\r\n"),
        "a number is no formula: {day}"
    );
}

#[tokio::test]
async fn the_ledger_is_a_table_with_every_row_once_and_one_header() {
    let relay = Relay::start().await;
    for number in 0..1_203 {
        session(&relay, &format!("s-{number:04}"), "ada", MIDNIGHT + number / 7).await;
    }
    let csv = get(&relay, &admin(), "/v1/admin/export/ledger.csv?from=2026-03-01&to=2026-03-01").await.body;
    let mut lines = csv.lines();
    let columns = "written_at,session_id,key,account,user_sub,plan,agent,provider,item,unit,quantity,seconds,minutes,\
        price_nano_usd,per,price_version,cost_nano_usd,estimated,turn,request_id";
    assert_eq!(lines.next(), Some(columns));
    let first = "2026-03-01T00:00:00.000Z,s-0000,1,acme,ada,,echo,echo,echo/listening,sample,10,0.000,0.0000,7,1,test,70,false,,";
    assert_eq!(lines.next(), Some(first));
    assert_eq!(lines.count(), 1_202);
    let path = "/v1/admin/export/ledger.csv?from=2026-03-01&to=2026-03-01&session_id=s-0007";
    let one = get(&relay, &admin(), path).await;
    assert_eq!(one.body.lines().count(), 2);
}
