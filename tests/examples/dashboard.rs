//! How soon the dashboard's addresses answer, and its pages have all that they ask for, with a million sessions in SQLite:
//! `cargo xtask bench dashboard`.
//!
//! Each list is asked for whole, and by what its page offers to narrow it by, also where that leaves few rows or none; a few calls go on meanwhile.
//! Some addresses beside the query that would read the same out of the raw rows, in the same file and on the same machine. What a page asks for at
//! once is asked for at once here, too, and the last answer counts. It fails if an answer or a page is later than the goal.
//!
//! With `--serve` nothing is measured: the relay runs with so many sessions, for those who look at the dashboard, until standard input has a line or
//! ends. Where it is, and a token, are printed as a line of JSON.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the command is for")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use relay::records::store::{RolledUp, SqlStore, Store};
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use tests::{Raw, Relay, token_but};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How often each address is asked, and each page shown.
const TIMES: usize = 20;
/// The goal for each answer, and for each page.
const GOAL_MS: f64 = 100.0;
const DAY_MS: i64 = 86_400_000;
/// How many sessions one transaction adds to the sums.
const BATCH: u32 = 5_000;

/// So many sessions over the last 90 days: of 5,000 users in 20 accounts, with 3 agents, of a minute or two. $1 is now, $2 how many.
const SESSIONS: &str = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $2)
    INSERT INTO sessions (id, conversation_id, user_sub, account, client, agent, state, started_at, ended_at, end_reason,
        relay, lease_until, epoch, uplink_seq_committed, uplink_position_committed, resume_hash, reconnects,
        user_period, account_period, cost_nano_usd, authorised_nano_usd)
    SELECT printf('s%07d', n), printf('s%07d', n), 'user-' || (n * 7919 % 5000), 'account-' || (n * 7919 % 20), 'bench/1',
        'agent-' || (n % 3), 'ended', $1 - n * (7776000000 / $2), $1 - n * (7776000000 / $2) + 60000 + n % 60000,
        CASE WHEN n % 50 = 0 THEN 'abnormal' ELSE 'normal' END, '', 0, 0, 0, 0, zeroblob(32), n % 2, '', '', 2000000, 2000000
    FROM numbers";

/// Three ledger rows of each.
const LEDGER: &str = "INSERT INTO ledger (session_id, key, user_sub, account, provider, item, unit, quantity, price_nano_usd, per,
        price_version, cost_nano_usd, estimated, created_at)
    SELECT id, items.item || '@0', user_sub, account, items.provider, items.item, items.unit, 1000, 1, 1, 'bench', 600000, 0,
        started_at + 30000
    FROM sessions CROSS JOIN (SELECT 'ear' AS provider, 'ear/nova' AS item, 'sample' AS unit
        UNION ALL SELECT 'mind', 'mind/small', 'output_token' UNION ALL SELECT 'voice', 'voice/flash', 'character') AS items";

/// Two answers of each.
const TURNS: &str = "INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, heard_position,
        created_at, stt_ms, llm_ms, tts_ms, send_ms, heard_ms, total_ms)
    SELECT id, numbers.n, user_sub, 'agent', 'an answer of some words', 0, 16000, CASE WHEN numbers.n = 1 THEN 8000 END,
        started_at + 20000, 150 + started_at % 200, 300 + started_at % 700, 120 + started_at % 300, 20, 60,
        600 + started_at % 1500
    FROM sessions CROSS JOIN (SELECT 1 AS n UNION ALL SELECT 3) AS numbers";

/// What was said to the agent before each.
const QUESTIONS: &str = "INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, created_at)
    SELECT session_id, turn - 1, user_sub, 'user', 'a question of a few words', 0, 16000, created_at - 2000 FROM turns";

/// What users have used of their budgets of the day $1, and accounts of the month $2: one user in ten nearly all of it.
const BUDGETS: &str = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 4999)
    INSERT INTO budgets (scope, owner, period, spent_nano_usd, reserved_nano_usd, name, plan_nano_usd)
    SELECT 'user', 'user-' || n, $1, CASE WHEN n % 10 = 0 THEN 19000000000 ELSE n % 50 * 100000000 END, n % 3 * 10000000,
        'user-' || n, 20000000000 FROM numbers
    UNION ALL SELECT 'account', 'account-' || n, $2, n * 90000000000, 0, 'account-' || n, 2000000000000 FROM numbers WHERE n < 20";

/// What some of them are allowed instead.
const CAPS: &str = "INSERT INTO budget_caps (scope, subject, cap_nano_usd)
    SELECT scope, name, 25000000000 FROM budgets WHERE scope = 'user' AND name LIKE '%00'";

/// Thresholds that they have reached.
const ALERTS: &str = "INSERT INTO alerts (id, scope, owner, period, percent, session_id, user_sub, account, limit_nano_usd, spent_nano_usd,
        created_at, attempts, delivered_at)
    SELECT 'alert-' || id, 'user', user_sub, id, 80, id, user_sub, account, 20000000000, 16000000000, started_at + 30000, 1,
        CASE WHEN substr(id, -3, 1) < '5' THEN started_at + 31000 END
    FROM sessions WHERE id LIKE '%00'";

/// What administrators did, a deed for each tenth session.
const DEEDS: &str = "INSERT INTO audit (id, done_at, done_by, what, user_sub, subject, reason)
    SELECT 'deed-' || id, ended_at, 'admin-' || substr(id, -2, 1),
        CASE substr(id, -3, 1) WHEN '0' THEN 'deny' WHEN '1' THEN 'give_credit' WHEN '2' THEN 'end_session' ELSE 'read_transcript' END,
        user_sub, id, CASE substr(id, -3, 1) WHEN '0' THEN 'abuse' WHEN '1' THEN 'a wrong price' ELSE '' END
    FROM sessions WHERE id LIKE '%0'";

/// What webhooks were told of the ends of the last 30 days, one in fifty in vain.
const DELIVERIES: &str = "INSERT INTO deliveries (id, webhook, event, session_id, created_at, due_since, attempts, delivered_at, answer)
    SELECT 'ended_' || id || '_crm', 'crm', 'call.ended', id, ended_at, ended_at, CASE WHEN end_reason = 'abnormal' THEN 12 ELSE 1 END,
        CASE WHEN end_reason = 'abnormal' THEN NULL ELSE ended_at + 200 END, CASE WHEN end_reason = 'abnormal' THEN '503' ELSE '204' END
    FROM sessions WHERE started_at >= $1";

/// A few of an event that hardly ever happens, for a webhook that is told of nothing else.
const RARE_DELIVERIES: &str = "INSERT INTO deliveries (id, webhook, event, created_at, due_since, attempts, delivered_at, answer)
    SELECT 'erased_' || id || '_billing', 'billing', 'user.erased', ended_at, ended_at, 1, ended_at + 200, '204'
    FROM sessions WHERE id LIKE '%00000'";

/// A few deeds that hardly anybody does.
const RARE_DEEDS: &str = "INSERT INTO audit (id, done_at, done_by, what, subject, reason)
    SELECT 'rare-' || id, ended_at, 'admin-1', 'delete_user', '', '' FROM sessions WHERE id LIKE '%00000'";

/// How many calls go on meanwhile: fewer than a page has.
const LIVE_CALLS: usize = 5;

/// One line of the table.
struct Line {
    what: &'static str,
    times: Vec<Duration>,
    raw: Option<Duration>,
}

impl Line {
    fn is_reached(&self) -> bool {
        ms(self.times[TIMES - 1]) < GOAL_MS
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let sessions = std::env::args().nth(1).and_then(|given| given.parse().ok()).unwrap_or(1_000_000);
    sqlx::any::install_default_drivers();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data/voxrelay.db");
    let now = i64::try_from(tests::now()).expect("this century") * 1_000;
    let added = seed(&file, sessions, now).await;

    let relay = Relay::start(folder.path(), "127.0.0.1:0", "[api]\nrequests_per_minute = 1000000\n").await;
    let roles = json!(["voxrelay_admin", "voxrelay_reader"]);
    let token =
        token_but(&json!({ "sub": "root", "app_metadata": { "account": "operator", "role": roles } }));
    if has("--serve") {
        println!("{}", json!({ "origin": format!("http://{}", relay.address), "token": token }));
        std::io::stdin().read_line(&mut String::new()).expect("readable");
        relay.terminate().await;
        return ExitCode::SUCCESS;
    }
    let mut live = Vec::new();
    for number in 0..LIVE_CALLS {
        live.push(Raw::welcomed(&relay, &format!("caller-{number}")).await);
    }
    let begin = now - 30 * DAY_MS;
    let mut lines = Vec::new();
    let addresses = addresses(now).into_iter();
    let alone = addresses.map(|(what, path, raw)| (what, vec![vec![format!("admin/{path}")]], raw));
    let pages = pages(now).into_iter().map(|(what, asked)| (what, asked, None));
    for (what, asked, raw) in alone.chain(pages) {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(show(&relay, &token, &asked).await);
        }
        times.sort_unstable();
        let raw = match raw {
            Some(sql) => Some(time_raw(&file, sql, begin).await),
            None => None,
        };
        lines.push(Line { what, times, raw });
    }
    drop(live);
    relay.terminate().await;
    print(&lines, sessions, added, has("--json"));
    if lines.iter().all(Line::is_reached) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is asked, with what it is called, and the query that would read the same out of the raw rows.
fn addresses(now: i64) -> Vec<(&'static str, String, Option<&'static str>)> {
    let day = |back: i64| day_of(now - back * DAY_MS);
    let (today, month, quarter) = (day(0), day(29), day(89));
    let of_month = format!("from={month}&to={today}");
    vec![
        ("overview, 7 days", format!("overview?from={}&to={today}", day(6)), None),
        (
            "overview, 30 days",
            format!("overview?{of_month}"),
            Some(
                "SELECT started_at / 86400000, end_reason, COUNT(*), SUM(ended_at - started_at) FROM sessions
                WHERE started_at >= $1 GROUP BY 1, 2",
            ),
        ),
        (
            "its latencies",
            format!("overview?{of_month}"),
            Some(
                "SELECT created_at / 86400000, total_ms / 100, COUNT(*) FROM turns WHERE created_at >= $1 GROUP BY 1, 2",
            ),
        ),
        ("overview, 90 days", format!("overview?from={quarter}&to={today}"), None),
        (
            "spend by user",
            format!("spend?by=user&{of_month}"),
            Some(
                "SELECT user_sub, SUM(cost_nano_usd) FROM ledger WHERE created_at >= $1 GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
            ),
        ),
        (
            "spend by provider",
            format!("spend?by=provider&{of_month}"),
            Some(
                "SELECT provider, SUM(cost_nano_usd) FROM ledger WHERE created_at >= $1 GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
            ),
        ),
        ("spend by day", format!("spend?by=day&{of_month}"), None),
        ("spend by account", format!("spend?by=account&{of_month}"), None),
        ("spend by agent", format!("spend?by=agent&{of_month}"), None),
        ("spend by item", format!("spend?by=item&{of_month}"), None),
        ("spend by user, 90 days", format!("spend?by=user&from={quarter}&to={today}"), None),
        ("sessions", "sessions?limit=50".to_owned(), None),
        ("sessions of a user", "sessions?limit=50&user_sub=user-17".to_owned(), None),
        ("sessions of an account", "sessions?limit=50&account=account-3".to_owned(), None),
        ("sessions, live", "sessions?limit=50&state=live".to_owned(), None),
        ("sessions, ended", "sessions?limit=50&state=ended".to_owned(), None),
        ("live, of a user", "sessions?limit=50&state=live&user_sub=user-17".to_owned(), None),
        ("live, of an account", "sessions?limit=50&state=live&account=account-3".to_owned(), None),
        ("ended, of an account", "sessions?limit=50&state=ended&account=account-3".to_owned(), None),
        ("a session", "sessions/s0000017".to_owned(), None),
        ("a transcript", "sessions/s0000017/transcript?limit=100".to_owned(), None),
        ("live calls", "live".to_owned(), None),
        ("budgets", "budgets?limit=50".to_owned(), None),
        ("budget of a user", "budgets?limit=50&subject=user-17".to_owned(), None),
        ("budgets, nearly spent", "budgets?limit=50&above_percent=80".to_owned(), None),
        ("alerts", "alerts?limit=50".to_owned(), None),
        ("webhooks", "webhooks?limit=50".to_owned(), None),
        ("webhooks in vain", "webhooks?limit=50&state=given_up".to_owned(), None),
        ("webhooks that wait", "webhooks?limit=50&state=waiting".to_owned(), None),
        ("a webhook", "webhooks?limit=50&name=crm".to_owned(), None),
        ("a webhook that tells little", "webhooks?limit=50&name=billing".to_owned(), None),
        ("its messages in vain", "webhooks?limit=50&name=billing&state=given_up".to_owned(), None),
        ("webhooks of calls", "webhooks?limit=50&event=call.ended".to_owned(), None),
        ("webhooks of a rare event", "webhooks?limit=50&event=user.erased".to_owned(), None),
        ("alerts as messages", "webhooks?limit=50&name=webhook".to_owned(), None),
        ("alerts in vain", "webhooks?limit=50&event=budget.threshold&state=given_up".to_owned(), None),
        ("alerts of a rare kind", "webhooks?limit=50&event=provider.excess".to_owned(), None),
        ("audit", "audit?limit=50".to_owned(), None),
        ("audit of one of them", "audit?limit=50&by=admin-3".to_owned(), None),
        ("audit of a user", "audit?limit=50&user_sub=user-17".to_owned(), None),
        ("audit of denials", "audit?limit=50&what=deny".to_owned(), None),
        ("audit of a rare deed", "audit?limit=50&what=delete_user".to_owned(), None),
        ("denials by one of them", "audit?limit=50&what=deny&by=admin-3".to_owned(), None),
        ("denials of a user", "audit?limit=50&what=deny&user_sub=user-17".to_owned(), None),
    ]
}

/// What the dashboard asks for where it shows a page: at once, or after what it waits for.
fn pages(now: i64) -> Vec<(&'static str, Vec<Vec<String>>)> {
    let days = |back: i64| format!("from={}&to={}", day_of(now - back * DAY_MS), day_of(now));
    let at_once = |paths: &[&str]| -> Vec<String> { paths.iter().map(|&path| path.to_owned()).collect() };
    let overview = |back: i64| vec![vec!["admin/live".to_owned(), format!("admin/overview?{}", days(back))]];
    let spend = |back: i64| {
        let by = ["day", "user", "account", "agent", "provider", "item"];
        vec![Vec::from(by.map(|by| format!("admin/spend?by={by}&{}", days(back))))]
    };
    vec![
        ("page: overview, 7 days", overview(6)),
        ("page: overview, 90 days", overview(89)),
        ("page: spend, 7 days", spend(6)),
        ("page: spend, 30 days", spend(29)),
        ("page: spend, 90 days", spend(89)),
        (
            "page: budgets",
            vec![at_once(&["admin/alerts?limit=50", "admin/budgets?limit=50&above_percent=50"])],
        ),
        ("page: sessions", vec![at_once(&["admin/sessions?limit=50"])]),
        (
            "page: a call",
            vec![
                at_once(&["admin/sessions/s0000017"]),
                at_once(&["admin/sessions/s0000017/transcript?limit=100"]),
            ],
        ),
        ("page: webhooks", vec![at_once(&["admin/webhooks?limit=50"])]),
        ("page: audit", vec![at_once(&["openapi.json"]), at_once(&["admin/audit?limit=50"])]),
    ]
}

fn print(lines: &[Line], sessions: i64, added: Duration, as_json: bool) {
    let (median, slowest) =
        (|line: &Line| ms(line.times[TIMES / 2]), |line: &Line| ms(line.times[TIMES - 1]));
    if as_json {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({ "what": line.what, "p50_ms": median(line), "max_ms": slowest(line), "raw_ms": line.raw.map(ms),
                    "reached": line.is_reached() })
            })
            .collect();
        let seconds = added.as_secs_f64();
        println!(
            "{}",
            json!({ "sessions": sessions, "added_up_s": seconds, "lines": lines, "goal_ms": GOAL_MS })
        );
        return;
    }
    println!("{sessions} sessions, added up in {:.0} s", added.as_secs_f64());
    println!("{:<28}{:>14}{:>14}{:>18}", "", "median, ms", "slowest, ms", "raw rows, ms");
    for line in lines {
        let raw = line.raw.map_or_else(|| "–".to_owned(), |raw| format!("{:.0}", ms(raw)));
        let said = if line.is_reached() { "" } else { "  NOT REACHED" };
        println!("{:<28}{:>14.1}{:>14.1}{raw:>18}{said}", line.what, median(line), slowest(line));
    }
    println!("goal: each under {GOAL_MS} ms");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Fills the database, and says how long the sums took.
async fn seed(file: &Path, sessions: i64, now: i64) -> Duration {
    let store = SqlStore::sqlite(file).await.expect("opened");
    let store: &dyn Store = &store;
    store.close().await;
    let mut connection = open(file).await;
    let today = day_of(now);
    for (what, sql) in [
        ("sessions", SESSIONS),
        ("ledger", LEDGER),
        ("answers", TURNS),
        ("questions", QUESTIONS),
        ("budgets", BUDGETS),
        ("caps", CAPS),
        ("alerts", ALERTS),
        ("deeds", DEEDS),
        ("deliveries", DELIVERIES),
        ("rare deliveries", RARE_DELIVERIES),
        ("rare deeds", RARE_DEEDS),
    ] {
        eprintln!("{what} …");
        let query = sqlx::query(sql);
        let query = match what {
            "sessions" => query.bind(now).bind(sessions),
            "budgets" => query.bind(today.clone()).bind(today[..7].to_owned()),
            "deliveries" => query.bind(now - 29 * DAY_MS),
            _ => query,
        };
        query.execute(&mut connection).await.expect(what);
    }
    connection.close().await.expect("closed");
    eprintln!("sums …");
    let store = SqlStore::sqlite(file).await.expect("opened");
    let store: &dyn Store = &store;
    let begun = Instant::now();
    while store.roll_up(BATCH).await.expect("added") != RolledUp::Added(0) {}
    let took = begun.elapsed();
    store.close().await;
    took
}

async fn open(file: &Path) -> AnyConnection {
    let mut connection =
        AnyConnection::connect(&format!("sqlite://{}", file.display())).await.expect("it is there");
    let settings = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF";
    sqlx::raw_sql(settings).execute(&mut connection).await.expect("set");
    connection
}

async fn time_raw(file: &Path, sql: &'static str, begin: i64) -> Duration {
    let mut connection = open(file).await;
    let begun = Instant::now();
    sqlx::query(sql).bind(begin).fetch_all(&mut connection).await.expect(sql);
    begun.elapsed()
}

/// How long it takes until the last answer is there.
async fn show(relay: &Relay, token: &str, asked: &[Vec<String>]) -> Duration {
    let begun = Instant::now();
    for at_once in asked {
        join_all(at_once.iter().map(|path| ask(relay, token, path))).await;
    }
    begun.elapsed()
}

/// Asks an address of the HTTP API for its whole answer, over a connection of its own.
async fn ask(relay: &Relay, token: &str, path: &str) {
    let mut stream = TcpStream::connect(relay.address).await.expect("connected");
    let request = format!(
        "GET /v1/{path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n",
        relay.address
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
}

/// The day (UTC) of a time, by Howard Hinnant's `civil_from_days`.
fn day_of(unix_ms: i64) -> String {
    let z = unix_ms.div_euclid(86_400_000) + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
