//! What a relay says of a database that it cannot use, and how little it needs of one that it can.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use protocol::{Mark, Role};
use relay::config::Secret;
use relay::records::store::{
    DeliveryFilter, Denial, DenialKind, HookEvent, Leases, Quality, SessionFilter, SqlStore, Store,
    StoreError, Subscription, check_sqlite_file, migrate, unix_ms,
};
use sqlx::{AnyConnection, Connection};

use super::{LEASE, RELAY, WIDE, caps, open, quota, reserve, row, session, settle, turn};
use crate::postgres;

async fn run(url: &Secret, sql: &str) {
    let mut connection = AnyConnection::connect(url.expose()).await.expect("it runs");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect(sql);
}

/// The same database for another role, without any right so far.
async fn role(url: &Secret, name: &str) -> Secret {
    run(url, &format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN")).await;
    Secret::new(url.expose().replace("voxrelay@", &format!("{name}@")))
}

fn changed(url: &Secret, from: &str, to: &str) -> Secret {
    assert!(url.expose().contains(from));
    Secret::new(url.expose().replace(from, to))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_reads_and_writes_rows_is_all_a_relay_needs() {
    let owner = postgres::shared().database().await;
    let url = role(&owner, "rows_only").await;
    run(
        &owner,
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA voxrelay TO rows_only;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO rows_only",
    )
    .await;
    let store = &SqlStore::postgres(&url).await.expect("opened");
    let all = caps(WIDE, WIDE, WIDE);
    for id in ["a", "b"] {
        open(store, &session(id), &quota()).await;
        store.reserve(&reserve(id, 10, 10, all)).await.expect("answered");
        store.save_turns(id, 0, &[turn(0, Role::User, "hello")], Mark::default(), 0).await.expect("written");
        let settled =
            store.settle(&settle(id, vec![row("1", 1, 8)], caps(8, WIDE, WIDE))).await.expect("written");
        assert_eq!(settled.alerts.len(), 3, "they are seen by who wrote them");
    }
    assert_eq!(store.turns("a").await.expect("read")[0].turn.text, "hello");
    assert_eq!(store.ledger("a").await.expect("read").len(), 1);
    store.renew_lease(RELAY, LEASE).await.expect("written");
    assert_eq!(store.sessions_held(RELAY).await.expect("read").len(), 2);
    assert_eq!(store.claim_alerts(LEASE, 10).await.expect("claimed").len(), 6);
    let denial = Denial {
        kind: DenialKind::Sub,
        subject: "bob".into(),
        reason: String::new(),
        created_by: "ada".into(),
        by_key: false,
        created_at_ms: 1,
        expires_at_ms: None,
    };
    store.deny(&denial).await.expect("written");
    assert_eq!(store.denials_revision().await.expect("read"), 1);
    store.end_session("a", 0, "normal", Quality::default(), 1).await.expect("written");
    store.end_leases(Leases::Of(RELAY)).await.expect("written");
    store.sweep(Duration::ZERO).await.expect("swept");
    assert_eq!(store.list_sessions(&SessionFilter::default(), None, 10).await.expect("read").rows.len(), 2);
    assert_eq!(store.delete_user("ada", Some("root"), "act").await.expect("erased"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_lacks_is_said_with_what_grants_it() {
    let owner = postgres::shared().database().await;
    let url = role(&owner, "lacking").await;
    for (grant, lacks) in [
        ("SELECT 1", "USAGE"),
        ("GRANT USAGE ON SCHEMA voxrelay TO lacking", "SELECT"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA voxrelay TO lacking", "DELETE, INSERT, UPDATE"),
        ("GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA voxrelay TO lacking", "DELETE"),
    ] {
        run(&owner, grant).await;
        let error = SqlStore::postgres(&url).await.expect_err("it may not");
        assert!(matches!(&error, StoreError::Rights { lacking, .. } if lacking.contains(lacks)), "{error:?}");
        assert!(!error.is_starting(), "waiting grants nothing");
        let said = error.to_string();
        assert!(said.contains("GRANT USAGE ON SCHEMA voxrelay TO lacking"), "{said}");
    }
    let error = migrate(&url).await.expect_err("it may make no table");
    assert!(error.to_string().contains("role that owns the schema"), "{error}");
    let fresh = role(&postgres::shared().empty_database().await, "no_ddl").await;
    assert!(matches!(SqlStore::postgres(&fresh).await, Err(StoreError::Outdated { .. })));
    let error = migrate(&fresh).await.expect_err("it may make no schema");
    let said = error.to_string();
    assert!(said.contains("permission denied") && said.contains("role that owns the schema"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_loses_a_right_is_noticed_before_somebody_needs_it() {
    let owner = postgres::shared().database().await;
    let url = role(&owner, "losing").await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO losing";
    run(&owner, &format!("GRANT USAGE ON SCHEMA voxrelay TO losing; {grant}")).await;
    let store = SqlStore::postgres(&url).await.expect("opened");
    for lost in ["INSERT", "UPDATE", "DELETE", "SELECT"] {
        store.ping().await.expect("it may all");
        run(&owner, &format!("REVOKE {lost} ON voxrelay.sessions FROM losing")).await;
        let error = store.ping().await.expect_err("it may not");
        assert!(matches!(&error, StoreError::Rights { lacking, .. } if lacking == lost), "{error:?}");
        run(&owner, grant).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_took_no_writes_for_a_while_takes_them_again_over_every_connection() {
    let url = postgres::shared().database().await;
    let set = async |what: &str| {
        run(&postgres::shared().url("postgres"), &format!("ALTER DATABASE {} {what}", name(&url))).await;
    };
    let store = SqlStore::postgres(&url).await.expect("opened");
    let lease = async || store.renew_lease(RELAY, LEASE).await;
    lease().await.expect("written");
    let many = async || {
        let writes = (0..32).map(|_| store.allow(DenialKind::Sub, "bob", "root"));
        futures_util::future::join_all(writes).await.into_iter().filter_map(Result::err).collect::<Vec<_>>()
    };
    // It counts for connections that are opened from now on.
    set("SET default_transaction_read_only = on").await;
    lease().await.expect("nobody was refused so far");
    // On a busy machine the connections that are open may do for all of them.
    let mut refused = many().await;
    for _ in 0..50 {
        if refused.is_empty() {
            refused = many().await;
        }
    }
    assert!(!refused.is_empty() && refused.iter().all(StoreError::is_away), "{refused:?}");
    assert!(matches!(store.ping().await, Err(StoreError::ReadOnly { .. })));
    assert!(lease().await.expect_err("the same over all of them").is_away());
    set("RESET default_transaction_read_only").await;
    store.ping().await.expect("it takes writes");
    // A connection that the pool had replaced by itself in between is found out by being refused: one in each of the two pools.
    let mut refused = Vec::new();
    refused.extend(lease().await.err());
    refused.extend(many().await);
    assert!(refused.len() <= 2 && refused.iter().all(StoreError::is_away), "{refused:?}");
    lease().await.expect("written");
    assert!(many().await.is_empty(), "no connection is left that takes none");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_server_is_said_at_once_where_waiting_does_not_help() {
    let url = postgres::shared().database().await;
    let TlsAndRefused { plain, nobody } = tcp(&url).await;
    let closed = postgres::shared().database().await;
    run(&url, &format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", name(&closed))).await;
    let web = answering(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let web = |sslmode: &str| Secret::new(format!("postgres://voxrelay@{web}/db?sslmode={sslmode}"));
    for (url, says, starting) in [
        (web("prefer"), "does not speak PostgreSQL", false),
        (web("require"), "does not speak PostgreSQL", false),
        (web("disable"), "is it a PostgreSQL server", true),
        (closed, "lets nobody into this database", false),
        (nobody, "nothing listens there", true),
        (changed(&url, "host=/", "host=/nowhere/"), "no such socket", true),
        (changed(&plain, "sslmode=disable", "sslmode=require"), "has no TLS to offer", false),
        (changed(&url, "/test_", "/no_such_"), "create that database first", false),
        (changed(&url, "voxrelay@", "nobody_known@"), "nobody_known", false),
        (Secret::new("mysql://localhost/voxrelay".into()), "postgres://user", false),
        (Secret::new("postgres://localhost:no/voxrelay".into()), "postgres://user", false),
    ] {
        let begun = Instant::now();
        for error in [
            SqlStore::postgres(&url).await.expect_err("it cannot be used"),
            migrate(&url).await.expect_err("nor be migrated"),
        ] {
            let said = error.to_string();
            assert!(said.contains(says), "{said}");
            assert_eq!(error.is_starting(), starting, "{said}");
            assert!(!said.contains("at line"), "a line of PostgreSQL's own source: {said}");
            assert!(!said.contains("timed out"), "{said}");
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{says}");
    }
}

/// The name of its database.
fn name(url: &Secret) -> &str {
    let (before, _) = url.expose().split_once("?host=").expect("a socket");
    before.rsplit('/').next().expect("a database")
}

/// Answers whatever comes with this, until the test is over.
fn answering(answer: &'static [u8]) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Who asked may have gone.
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_and_a_schema_without_a_table_are_refused_in_words() {
    let owner = postgres::shared().database().await;
    let reads = role(&owner, "reads_only").await;
    run(&owner, "GRANT USAGE ON SCHEMA voxrelay TO reads_only; ALTER ROLE reads_only SET default_transaction_read_only = on;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO reads_only").await;
    let said = SqlStore::postgres(&reads).await.expect_err("it cannot write").to_string();
    assert!(said.contains("takes no writes") && said.contains("default_transaction_read_only"), "{said}");
    SqlStore::postgres(&owner).await.expect("it can").close().await;
    run(&owner, "DROP TABLE voxrelay.denials; DROP TABLE voxrelay.turns").await;
    let said = SqlStore::postgres(&owner).await.expect_err("tables are gone").to_string();
    assert!(said.contains("lacks turns, denials in the schema voxrelay"), "{said}");
}

/// Every file of a folder.
fn files(dir: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("a file"));
    entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_looked_at_and_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("voxrelay.db");
    check_sqlite_file(&path).await.expect("it can be made");
    assert!(files(dir.path()).is_empty());
    let store = SqlStore::sqlite(&path).await.expect("opened");
    open(&store, &session("a"), &quota()).await;
    let before = files(dir.path());
    check_sqlite_file(&path).await.expect("a relay has it");
    // What readers note in the memory that they share is no part of what is stored.
    let stored = |mut files: BTreeMap<OsString, Vec<u8>>| {
        files.remove(&OsString::from("voxrelay.db-shm"));
        files
    };
    assert!(stored(files(dir.path())) == stored(before));
    open(&store, &session("b"), &quota()).await;
    store.close().await;
    let good = files(dir.path());
    assert_eq!(good.len(), 1);
    check_sqlite_file(&path).await.expect("nobody has it");
    assert!(files(dir.path()) == good);

    let good = &good[&OsString::from("voxrelay.db")];
    let mut damaged = good.clone();
    damaged[4_096 * 2..4_096 * 6].fill(0xa5);
    for (content, says) in [
        (&good[..good.len() / 2], "the file is damaged"),
        (&damaged[..], "damaged"),
        (&b"dear somebody, this is no database but a letter, and a letter has to be a little longer than this one was so far"[..], "not a SQLite database"),
    ] {
        std::fs::write(&path, content).expect("written");
        let said = check_sqlite_file(&path).await.expect_err(says).to_string();
        assert!(said.contains("voxrelay.db") && said.contains(says), "{said}");
        assert!(files(dir.path())[&OsString::from("voxrelay.db")] == content);
    }
    std::fs::write(&path, good).expect("written");
    let file = Secret::new(format!("sqlite://{}", path.display()));
    run(
        &file,
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
        VALUES (99, 'later', CURRENT_TIMESTAMP, true, 'x', 0)",
    )
    .await;
    run(&file, "UPDATE revisions SET number = 99 WHERE name = 'oldest_relay'").await;
    let newer = check_sqlite_file(&path).await.expect_err("newer");
    assert!(matches!(newer, StoreError::Newer { version: 99, .. }), "{newer}");
    let folder = dir.path().join("spill.db");
    std::fs::create_dir(&folder).expect("made");
    let said = check_sqlite_file(&folder).await.expect_err("a folder").to_string();
    assert!(said.contains("there is a folder where the file has to be"), "{said}");
}

struct TlsAndRefused {
    plain: Secret,
    nobody: Secret,
}

/// The server over TCP, which has no TLS, and an address where nothing listens.
async fn tcp(url: &Secret) -> TlsAndRefused {
    let (before, folder) = url.expose().split_once("?host=").expect("a socket");
    let database = before.rsplit('/').next().expect("a database").to_owned();
    let socket = Path::new(folder).join(".s.PGSQL.5432");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::UnixStream::connect(&socket).await.expect("the server runs");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let url = |address| Secret::new(format!("postgres://voxrelay@{address}/{database}?sslmode=disable"));
    TlsAndRefused { plain: url(address), nobody: url(free) }
}

/// Does to both databases what a newer relay's migration does, with this number: it is noted, and so is which relays it serves.
async fn migrated_by_a_newer_relay(postgres: &Secret, sqlite: &Secret, oldest_relay: i64) {
    const COLUMNS: &str = "(version, description, installed_on, success, checksum, execution_time)";
    for (url, schema) in [(postgres, "voxrelay."), (sqlite, "")] {
        let later = "VALUES (99, 'later', CURRENT_TIMESTAMP, true, 'x', 0)";
        run(url, &format!("INSERT INTO {schema}_sqlx_migrations {COLUMNS} {later}")).await;
        let oldest = format!("SET number = {oldest_relay} WHERE name = 'oldest_relay'");
        run(url, &format!("UPDATE {schema}revisions {oldest}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_relay_that_only_added_to_it_serves_this_one() {
    let url = postgres::shared().database().await;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("voxrelay.db");
    SqlStore::sqlite(&path).await.expect("opened").close().await;
    let file = Secret::new(format!("sqlite://{}", path.display()));
    migrated_by_a_newer_relay(&url, &file, 14).await;
    assert_eq!(migrate(&url).await.expect("nothing to do"), 0);
    check_sqlite_file(&path).await.expect("it serves");
    for store in [
        SqlStore::postgres(&url).await.expect("it serves"),
        SqlStore::sqlite(&path).await.expect("it serves"),
    ] {
        open(&store, &session("a"), &quota()).await;
        assert!(store.session("a").await.expect("read").is_some());
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_only_a_newer_relay_knows_takes_nothing_from_this_one() {
    let url = postgres::shared().database().await;
    let clerk = role(&url, "clerk").await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO clerk";
    run(&url, &format!("GRANT USAGE ON SCHEMA voxrelay TO clerk; {grant}")).await;
    run(&url, "CREATE TABLE voxrelay.of_later (id BIGINT)").await;
    let store = SqlStore::postgres(&clerk).await.expect("it has rights on all that it uses");
    store.ping().await.expect("and goes on to have them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_of_a_version_from_before_there_were_webhooks_has_its_calls_told_without_rights_on_them() {
    let url = postgres::shared().database().await;
    let teller = role(&url, "teller").await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA voxrelay TO teller";
    run(&url, &format!("GRANT USAGE ON SCHEMA voxrelay TO teller; {grant}")).await;
    let store = SqlStore::postgres(&teller).await.expect("it has rights on all that it uses");
    let newer = SqlStore::postgres(&url).await.expect("opened");
    let all = Subscription { name: "crm".into(), events: HookEvent::ALL.into() };
    newer.keep_webhooks(&[all]).await.expect("written");
    run(&url, "REVOKE ALL ON voxrelay.webhooks, voxrelay.deliveries FROM teller").await;
    open(&store, &session("a"), &quota()).await;
    store.end_session("a", 0, "normal", Quality::default(), unix_ms()).await.expect("ended");
    let told = newer.list_deliveries(&DeliveryFilter::default(), None, 10).await.expect("read").rows;
    assert_eq!(told.len(), 2, "{told:?}");
}

/// How many there are of each database.
fn migrations() -> usize {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    std::fs::read_dir(folder).expect("the folder").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_only_newer_relays_may_use_is_left_alone() {
    let url = postgres::shared().database().await;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("voxrelay.db");
    SqlStore::sqlite(&path).await.expect("opened").close().await;
    let file = Secret::new(format!("sqlite://{}", path.display()));
    migrated_by_a_newer_relay(&url, &file, 99).await;
    for error in [
        SqlStore::postgres(&url).await.expect_err("newer"),
        migrate(&url).await.expect_err("newer"),
        SqlStore::sqlite(&path).await.expect_err("newer"),
    ] {
        let said = error.to_string();
        assert!(
            matches!(error, StoreError::Newer { version: 99, known, .. } if known == migrations() as i64),
            "{said}"
        );
        assert!(
            said.contains("newer") && (said.contains("voxrelay.db") || said.contains("/test_")),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_said_with_its_name_and_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("folder/voxrelay.db");
    std::fs::create_dir_all(&folder).expect("made");
    let text = dir.path().join("voxrelay.db");
    std::fs::write(&text, "dear somebody, this is no database but a letter").expect("written");
    let under_a_file = dir.path().join("voxrelay.db/data/voxrelay.db");
    for (path, says) in [
        (folder, "right to read and write"),
        (text, "not a SQLite database"),
        (under_a_file, "cannot create"),
    ] {
        let error = SqlStore::sqlite(&path).await.expect_err("no database");
        let said = error.to_string();
        assert!(said.contains("voxrelay.db") && said.contains(says), "{said}");
        assert!(!said.contains("timed out"), "{said}");
        assert!(!error.is_starting(), "{said}");
    }
}

/// Without it PgBouncer refuses what sqlx says first.
const IGNORES: &str = "ignore_startup_parameters = extra_float_digits";

/// PgBouncer before the shared server. It ends with the test.
struct Pooler {
    process: Child,
    folder: tempfile::TempDir,
}

impl Pooler {
    async fn start(url: &Secret, mode: &str, more: &str) -> Pooler {
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        let (_, server) = url.expose().split_once("?host=").expect("a socket");
        let place = folder.path().display();
        let config = format!(
            "[databases]\n* = host={server}\n[pgbouncer]\npool_mode = {mode}\nunix_socket_dir = {place}\nlisten_port = 6432\n\
            auth_type = any\nlogfile =\n{more}\n"
        )
        .replace("* = host", "* = user=voxrelay host");
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, config).expect("written");
        for path in [folder.path(), &file] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(path, mode).expect("it is ours");
        }
        let process = postgres::unprivileged(Path::new("pgbouncer"))
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is needed for the tests: `cargo xtask test` installs it");
        let pooler = Pooler { process, folder };
        let begun = Instant::now();
        let socket = pooler.folder.path().join(".s.PGSQL.6432");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "PgBouncer does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        pooler
    }

    fn url(&self, url: &Secret) -> Secret {
        let (before, _) = url.expose().split_once("?host=").expect("a socket");
        Secret::new(format!(
            "{}?host={}&port=6432",
            before.replace("@localhost/", "@localhost:6432/"),
            self.folder.path().display()
        ))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_used_in_session_mode_and_refused_in_the_others() {
    let url = postgres::shared().database().await;
    for mode in ["transaction", "statement"] {
        let pooler = Pooler::start(&url, mode, IGNORES).await;
        for error in [
            SqlStore::postgres(&pooler.url(&url)).await.expect_err("it forgets"),
            migrate(&pooler.url(&url)).await.expect_err("it forgets"),
        ] {
            assert!(matches!(error, StoreError::Pooled { .. }), "{mode}: {error}");
            assert!(error.to_string().contains("session mode") && !error.is_starting(), "{error}");
        }
    }
    let pooler = Pooler::start(&url, "session", "").await;
    for error in [
        SqlStore::postgres(&pooler.url(&url)).await.expect_err("it does not let it in"),
        migrate(&pooler.url(&url)).await.expect_err("it does not let it in"),
    ] {
        let said = error.to_string();
        assert!(said.contains(IGNORES) && !error.is_starting(), "what to set there: {said}");
    }
    let pooler = Pooler::start(&url, "session", IGNORES).await;
    let store = SqlStore::postgres(&pooler.url(&url)).await.expect("opened");
    open(&store, &session("a"), &quota()).await;
    assert!(store.session("a").await.expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_was_put_back_under_a_relay_that_runs_is_too_old_for_it() {
    let url = postgres::shared().database().await;
    let store = SqlStore::postgres(&url).await.expect("up to date");
    store.ping().await.expect("up to date");
    run(&url, "DELETE FROM voxrelay._sqlx_migrations WHERE version > 13").await;
    let said = store.ping().await;
    let newer = migrations() - 13;
    assert!(matches!(said, Err(StoreError::Outdated { missing, .. }) if missing == newer), "{said:?}");
    run(&url, "DROP TABLE voxrelay._sqlx_migrations").await;
    assert!(matches!(store.ping().await, Err(StoreError::Outdated { .. })));
}
