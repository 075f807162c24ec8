//! `voxrelay migrate` as an operator runs it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use protocol::{Bye, ClientMessage};
use relay::config::Secret;
use relay::records::store::{SqlStore, Store};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection};
use tests::http::get;
use tests::ports::free_address;
use tests::postgres::shared;
use tests::{AUDIENCE, ISSUER, Raw, Relay, SECRET, binary, chunk};
use tokio::process::Command;
use tokio::time::sleep;

async fn run(database: &Secret, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder.path()).env("DATABASE_URL", database.expose());
    command.env("VOXRELAY_AUTH__HS256_SECRET", SECRET).output().await.expect("it runs")
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_not_waited_for() {
    let refused = run(&shared().url("nowhere"), &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(says.contains("nowhere") && !says.contains("waiting"), "{says}");
}

async fn order(database: &Secret, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(database.expose()).await.expect("it runs");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect(sql);
}

#[tokio::test]
async fn a_relay_whose_role_only_reads_and_writes_rows_takes_calls() {
    let owner = shared().database().await;
    order(&owner, "CREATE ROLE clerk LOGIN").await;
    let clerk = Secret::new(owner.expose().replace("voxrelay@", "clerk@"));
    let refused = run(&clerk, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let advice = String::from_utf8_lossy(&refused.stderr).into_owned();
    let grants: String = advice.split("as the owner: ").skip(1).collect();
    assert!(grants.contains("GRANT") && !advice.contains("waiting"), "{advice}");
    // What it says is what it takes.
    order(&owner, &grants).await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "database_url = {:?}\n[auth]\nhs256_secret = {SECRET:?}\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\n",
        clerk.expose()
    );
    let relay = Relay::start_with(folder.path(), "127.0.0.1:0", &config).await;
    let (mut raw, welcome) = Raw::welcomed(&relay, "ada").await;
    raw.send(chunk(0).into()).await;
    raw.say(&ClientMessage::from(Bye { end: 1 }).to_json()).await;
    assert_eq!(raw.end().await, (vec![], 1000));
    relay.terminate().await;
    let store = SqlStore::postgres(&clerk).await.expect("opened");
    assert_eq!(store.ledger(&welcome.session_id).await.expect("read").len(), 1);
}

#[tokio::test]
async fn a_relay_wants_its_schema_first_and_migrate_brings_it() {
    let database = shared().empty_database().await;
    let refused = run(&database, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let advice = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(advice.contains("run `voxrelay migrate` first"), "{advice}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../relay/migrations/postgres");
    let migrations = std::fs::read_dir(folder).expect("the migrations are there").count();
    for says in [&format!("applied {migrations} migrations\n"), "the schema is up to date\n"] {
        let done = run(&database, &["migrate"]).await;
        assert!(done.status.success(), "{done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), says);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("database_url = {:?}\n[auth]\nhs256_secret = {SECRET:?}\n", database.expose());
    Relay::start_with(folder.path(), "127.0.0.1:0", &config).await.terminate().await;
}

/// Waits until a relay serves these metrics with these values.
async fn measures(metrics: SocketAddr, wanted: [(&str, u32); 2]) {
    let lines = wanted.map(|(name, value)| format!("{name} {value}"));
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = get(metrics, "/metrics").await;
        if lines.iter().all(|wanted| answer.lines().any(|line| line == wanted)) {
            return;
        }
        assert!(Instant::now() < end, "no {lines:?} in {answer}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_relay_whose_schema_is_put_back_to_one_from_before_is_not_ready_until_it_is_migrated() {
    let database = shared().database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let metrics = free_address();
    let served = format!("[metrics]\nlisten = \"{metrics}\"\n");
    let relay = Relay::start_on(&database, folder.path(), &served).await;
    assert_eq!(relay.becomes_ready(200).await, 200);
    let (ready, outdated) = ("voxrelay_ready", "voxrelay_schema_outdated");
    measures(metrics, [(ready, 1), (outdated, 0)]).await;
    let newest = "WHERE version = (SELECT MAX(version) FROM voxrelay._sqlx_migrations)";
    let keep = format!("CREATE TABLE public.kept AS SELECT * FROM voxrelay._sqlx_migrations {newest}");
    order(&database, &keep).await;
    order(&database, &format!("DELETE FROM voxrelay._sqlx_migrations {newest}")).await;
    // Nobody asks `/readyz` meanwhile.
    measures(metrics, [(ready, 0), (outdated, 1)]).await;
    assert_eq!(relay.becomes_ready(503).await, 503);
    let answer = relay.get("/readyz").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.to_lowercase().contains("retry-after: 5"), "{head}");
    let told: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(told["reasons"], json!(["schema_too_old"]), "{told}");
    assert_eq!((&told["ready"], &told["database"]), (&json!(false), &json!("outdated")), "{told}");
    assert_eq!(relay.status("/livez").await, 200, "nobody restarts it");

    order(&database, "INSERT INTO voxrelay._sqlx_migrations SELECT * FROM public.kept").await;
    measures(metrics, [(ready, 1), (outdated, 0)]).await;
    assert_eq!(relay.becomes_ready(200).await, 200);
    relay.terminate().await;
}
