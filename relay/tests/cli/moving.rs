//! `voxrelay export` and `voxrelay import`, from SQLite to PostgreSQL and back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use protocol::{Mark, Role};
use relay::NanoUsd;
use relay::records::store::{
    Credit, Credited, Denial, DenialKind, Feedback, HookEvent, Keyed, KeyedRequest, MadeKey, NewApiKey,
    NewSession, Quality, Settle, Subscription, UsageBy, UsageFilter, unix_ms,
};
use sqlx::{AnyConnection, Connection};

use super::*;
use crate::records::{WIDE, row, settle, turn};

/// Texts that files, JSON and statements have trouble with.
const ODD: [&str; 10] = [
    "",
    " ",
    "'; DROP TABLE turns; --",
    "\"\\\r\n\t\u{1}\u{7f}\u{85}\u{2028}",
    "{\"end\":{}}",
    "NULL $1 ? % _",
    "e\u{301}🎙ﷺ\u{202e}\u{feff}",
    "\u{fffe}\u{ffff}\u{10ffff}",
    "a\0b",
    "\\u0000",
];

/// The SQLite file of a relay that runs in this folder on defaults.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("voxrelay-data").join(DATABASE_FILE)
}

/// Has a webhook of this name hear of all that happens.
async fn listen(store: &dyn Store, name: &str) {
    let all = Subscription { name: name.into(), events: HookEvent::ALL.into() };
    store.keep_webhooks(&[all]).await.expect("written");
}

/// A folder with something in every table that moves. Its sessions have ended.
async fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqlStore::sqlite(&file(folder.path())).await.expect("opened");
    listen(&store, "crm").await;
    let wide = caps(WIDE, WIDE, WIDE);
    for (n, text) in ODD.iter().enumerate() {
        let (id, name) = (format!("s{n}"), format!("{text}{n}"));
        let new = NewSession {
            user_sub: name.clone(),
            account: name.clone(),
            plan: n.is_multiple_of(2).then(|| name.clone()),
            client: (*text).to_owned(),
            recording: Some(format!("{id}.wav")),
            ..session(&id)
        };
        open(&store, &new, &quota()).await;
        let said = [turn(0, Role::User, text), turn(3, Role::Agent, text)];
        store.save_turns(&id, 0, &said, Mark::default(), 0).await.expect("written");
        let mut used = row("1", 7, 250_000 + n as u64);
        (used.provider, used.request_id, used.turn) =
            ((*text).to_owned(), Some((*text).to_owned()), Some(3).filter(|_| n.is_multiple_of(2)));
        let used = Settle { at_ms: unix_ms(), ..settle(&id, vec![used], wide) };
        store.settle(&used).await.expect("written");
        let denial = Denial {
            kind: DenialKind::Sub,
            subject: name.clone(),
            reason: (*text).to_owned(),
            created_by: name.clone(),
            by_key: false,
            created_at_ms: 1,
            expires_at_ms: None,
        };
        store.deny(&denial).await.expect("written");
        let feedback = Feedback { rating: Some(5), comment: Some((*text).to_owned()) };
        store.give_feedback(&id, &name.replace('\0', "\u{fffd}"), &feedback).await.expect("written");
        store.end_session(&id, 0, "normal", Quality::default(), unix_ms()).await.expect("written");
    }
    let whole = UsageFilter {
        user_sub: None,
        account: None,
        from_ms: 0,
        to_ms: unix_ms() + 86_400_000,
        by: UsageBy::Account,
    };
    let charged = store.usage(&whole, None, 1).await.expect("read").rows.remove(0);
    let credit = Credit {
        key: "one".into(),
        account: charged.account,
        user_sub: None,
        day: charged.day,
        amount: NanoUsd::new(1_000),
        reason: "it's \"wrong\"".into(),
        created_by: "root".into(),
        created_at_ms: 5,
    };
    assert!(matches!(store.give_credit(&credit).await.expect("written"), Credited::Yes { new: true, .. }));
    assert!(store.delete_session("s9", None).await.expect("erased"));
    let key = NewApiKey {
        id: "k-1".into(),
        name: "it's \"billing\"".into(),
        hash: "of a key".into(),
        is_admin: true,
        is_reader: false,
        expires_at_ms: Some(unix_ms() + 3_600_000),
        by: "root".into(),
    };
    assert!(matches!(store.make_api_key(&key).await.expect("written"), MadeKey::Yes(_)));
    let asked = KeyedRequest::new("root", "k", "POST", "/v1/admin/x", "/v1/admin/x", b"{}");
    assert!(matches!(store.begin_keyed(&asked).await.expect("written"), Keyed::Act(_)));
    Store::close(&store).await;
    folder
}

/// Runs a command in a folder, on PostgreSQL if there is an address of one.
fn command(folder: &Path, database: Option<&Secret>, arguments: &[&str]) -> Command {
    let mut command = voxrelay(folder);
    command.args(arguments);
    match database {
        Some(url) => command.env("DATABASE_URL", url.expose()),
        None => command.env_remove("DATABASE_URL"),
    };
    command
}

/// What it answers; it has to succeed.
fn done(folder: &Path, database: Option<&Secret>, arguments: &[&str]) -> String {
    let (output, errors) = run(&mut command(folder, database, arguments));
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it complains about; it has to fail.
fn fails(folder: &Path, database: Option<&Secret>, arguments: &[&str]) -> String {
    let (output, errors) = run(&mut command(folder, database, arguments));
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
    errors
}

/// The lines of a file but for its first, which says when it was made. Databases sort texts each in its own way.
fn lines(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).expect("it was written");
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_kept_moves_to_the_other_database_and_back() {
    let (folder, url) = (filled().await, postgres::shared().database().await);
    let path = |name: &str| folder.path().join(name);
    let said = done(folder.path(), None, &["export", "there.ndjson"]);
    for table in [
        "sessions",
        "turns",
        "ledger",
        "budgets",
        "credits",
        "denials",
        "audit",
        "deliveries",
        "erased_usage",
        "erased_sessions",
        "idempotency_keys",
        "api_keys",
    ] {
        let count = said.lines().find(|line| line.split_whitespace().next() == Some(table));
        let count: u64 = count.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect(table);
        assert!(count > 0, "{said}");
    }
    // What moves does not happen there: nobody is told of it once more.
    let target = SqlStore::postgres(&url).await.expect("opened");
    listen(&target, "another").await;
    Store::close(&target).await;
    let imported = done(folder.path(), Some(&url), &["import", "there.ndjson"]);
    let tables = |said: &str| said.rsplit_once(" rows ").map(|(tables, _)| tables.to_owned());
    assert_eq!(tables(&said), tables(&imported), "the same of each table, and in all");

    done(folder.path(), Some(&url), &["export", "back.ndjson"]);
    assert_eq!(lines(&path("there.ndjson")), lines(&path("back.ndjson")));
    let new = tempfile::tempdir().expect("a folder");
    let back = path("back.ndjson");
    done(new.path(), None, &["import", back.to_str().expect("UTF-8")]);
    done(new.path(), None, &["export", "again.ndjson"]);
    assert_eq!(lines(&back), lines(&new.path().join("again.ndjson")));

    let store = SqlStore::postgres(&url).await.expect("opened");
    for (n, text) in ODD.iter().enumerate().take(9) {
        let turns = store.turns(&format!("s{n}")).await.expect("read");
        let stored = text.replace('\0', "\u{fffd}");
        assert!(turns.len() == 2 && turns.iter().all(|row| row.turn.text == stored), "{text:?}");
    }
    // What is erased stays erased, and its key stays used.
    let late = settle("s9", vec![row("1", 7, 250_009)], caps(WIDE, WIDE, WIDE));
    assert!(store.settle(&late).await.is_err());
    Store::close(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_through_a_pipe() {
    let (folder, url) = (filled().await, postgres::shared().database().await);
    let mut export = command(folder.path(), None, &["export", "-"]);
    let mut export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut import = command(folder.path(), Some(&url), &["import", "-"]);
    let (output, errors) = run(import.stdin(export.stdout.take().expect("piped")));
    assert!(output.status.success(), "{errors}");
    assert!(export.wait().expect("waited").success());
    let mut told = String::new();
    export.stderr.take().expect("piped").read_to_string(&mut told).expect("UTF-8");
    assert!(told.contains("rows exported") && errors.contains("turns: compared"), "{told}{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_broke_off_goes_on_and_takes_no_other_file() {
    let folder = filled().await;
    done(folder.path(), None, &["export", "whole"]);
    done(folder.path(), None, &["export", "other"]);
    let whole = std::fs::read(folder.path().join("whole")).expect("written");
    let new = tempfile::tempdir().expect("a folder");
    let import = |name: &str, content: &[u8]| {
        std::fs::write(new.path().join(name), content).expect("written");
        run(&mut command(new.path(), None, &["import", name]))
    };
    // In the middle of the file, and of its last line.
    for cut in [whole.len() / 2, whole.len() - 2] {
        let (output, errors) = import("cut", &whole[..cut]);
        assert!(output.status.code() == Some(1) && errors.contains("cut off after"), "{errors}");
    }
    let said = fails(new.path(), None, &["export", "half"]);
    assert!(said.contains("only partly imported"), "{said}");
    assert!(!new.path().join("half").exists(), "nothing is left of what failed");
    // Nor does anything else use it that would take it for whole.
    let url = postgres::shared().database().await;
    fails(new.path(), Some(&url), &["import", "cut"]);
    for database in [None, Some(&url)] {
        let secret = |arguments: &[&str]| {
            let mut command = command(new.path(), database, arguments);
            command.env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
            command
        };
        for arguments in [&["check", "--connect"][..], &["rollups", "--rebuild"]] {
            let (output, errors) = run(&mut secret(arguments));
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
            assert!(
                errors.contains("run `voxrelay import` with the same file again"),
                "{arguments:?}: {errors}"
            );
        }
        let said = refused(&mut secret(&["serve", "--listen", "127.0.0.1:0"]));
        assert!(said.contains("run `voxrelay import` with the same file again"), "{said}");
    }
    let other = std::fs::read(folder.path().join("other")).expect("written");
    let (output, errors) = import("other", &other);
    assert!(output.status.code() == Some(1) && errors.contains("another file"), "{errors}");
    let (output, errors) = import("whole", &whole);
    assert!(output.status.success() && errors.contains("going on with"), "{errors}");
    done(new.path(), None, &["export", "again"]);
    assert_eq!(lines(&folder.path().join("whole")), lines(&new.path().join("again")));
    let said = fails(new.path(), None, &["import", "whole"]);
    assert!(said.contains("not empty"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_notices_what_was_changed() {
    let folder = filled().await;
    done(folder.path(), None, &["export", "whole"]);
    let whole = std::fs::read_to_string(folder.path().join("whole")).expect("written");
    let schema = whole.split("\"schema\":").nth(1).and_then(|rest| rest.split(',').next()).expect("a header");
    let without = |word: &str| {
        let mut gone = false;
        let keep = |line: &&str| {
            gone || {
                gone = line.starts_with(word);
                !gone
            }
        };
        whole.lines().filter(keep).map(|line| format!("{line}\n")).collect::<String>()
    };
    for (changed, complaint) in [
        (whole.replacen("\"test\"", "\"tested\"", 1), "the file is damaged"),
        (without("{\"turns\""), "the file is damaged"),
        (whole.replacen("{\"turns\":[", "{\"tunes\":[", 1), "no row of a table"),
        (whole.replacen("{\"turns\":[", "{\"turns\":[7,", 1), "the number of its columns"),
        (whole.replacen(&format!("\"schema\":{schema}"), "\"schema\":1", 1), "the same version of voxrelay"),
        (whole.replacen("voxrelay_export", "something_else", 1), "line 1 of the file is not the first line"),
        ("hello\n".to_owned(), "line 1 of the file is not the first line"),
        (String::new(), "cut off after 0 lines"),
    ] {
        let new = tempfile::tempdir().expect("a folder");
        std::fs::write(new.path().join("changed"), changed).expect("written");
        let said = fails(new.path(), None, &["import", "changed"]);
        assert!(said.contains(complaint), "{complaint}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_says_which_row_is_damaged_and_not_what_stands_in_it() {
    let folder = filled().await;
    for (damage, place) in [
        (
            "UPDATE turns SET text = CAST(X'41C3' AS TEXT) WHERE session_id = 's4' AND turn = 0",
            "the row of turns after s3 3",
        ),
        (
            "UPDATE sessions SET client = CAST(X'736563726574C3' AS TEXT) WHERE id = 's1'",
            "the row of sessions after s0",
        ),
        ("UPDATE sessions SET client = CAST(X'41C3' AS TEXT) WHERE id = 's0'", "the first row of sessions"),
    ] {
        change(&file(folder.path()), damage).await;
        let said = fails(folder.path(), None, &["export", "whole"]);
        assert!(said.contains(place) && said.contains("VoxrelayRowsDamaged"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_and_relays_that_run_are_in_the_way_of_an_export() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = fails(folder.path(), None, &["export", "file"]);
    assert!(said.contains("there is no"), "{said}");
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let said = fails(folder.path(), None, &["export", "file"]);
    assert!(said.contains("is in use by process"), "{said}");
    drop(relay);
    let store = SqlStore::sqlite(&file(folder.path())).await.expect("opened");
    open(&store, &session("a"), &quota()).await;
    let wide = caps(WIDE, WIDE, WIDE);
    store.reserve(&reserve("a", 1_000, 1_000, wide)).await.expect("reserved");
    Store::close(&store).await;
    let said = fails(folder.path(), None, &["export", "file"]);
    assert!(said.contains("1 sessions are live") && said.contains("--end-live"), "{said}");
    done(folder.path(), None, &["export", "--end-live", "file"]);
    let store = SqlStore::sqlite(&file(folder.path())).await.expect("opened");
    let ended = store.session("a").await.expect("read").expect("there");
    assert_eq!(ended.end_reason.as_deref(), Some("abnormal"));
    assert_eq!(ended.authorised, ended.cost, "what it had reserved is given back");
    Store::close(&store).await;
    let said = fails(folder.path(), None, &["export", "file"]);
    assert!(said.contains("exists"), "an older file is not written over: {said}");

    let url = postgres::shared().database().await;
    let store = SqlStore::postgres(&url).await.expect("opened");
    store.renew_lease("relay-1", Duration::from_secs(60)).await.expect("written");
    for arguments in [["export", "from"], ["import", "file"]] {
        let said = fails(folder.path(), Some(&url), &arguments);
        assert!(said.contains("1 relays use this database"), "{said}");
    }
    Store::close(&store).await;
}

/// Has SQLite make a copy of a database, whoever uses it.
pub(super) async fn copy_database(from: &Path, to: &Path) {
    change(from, &format!("VACUUM INTO '{}'", to.display())).await;
}

/// Has SQLite do this in a database.
async fn change(database: &Path, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut connection =
        AnyConnection::connect(&format!("sqlite://{}", database.display())).await.expect("it is there");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("done");
    connection.close().await.expect("closed");
}

/// A copy that SQLite makes of a database while a relay uses it is whole, and a relay goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_file_that_is_made_while_a_relay_runs_serves_in_its_place() {
    let folder = filled().await;
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let new = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(new.path().join("voxrelay-data")).expect("a folder");
    copy_database(&file(folder.path()), &file(new.path())).await;
    drop(relay);
    let relay = Running::start(voxrelay(new.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    assert!(relay.get("/readyz").starts_with("HTTP/1.1 200"));
    drop(relay);
    for folder in [folder.path(), new.path()] {
        done(folder, None, &["export", "file"]);
    }
    assert_eq!(lines(&folder.path().join("file")), lines(&new.path().join("file")));
}

/// The same of a server's own tools.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_postgresql_that_is_restored_elsewhere_serves_in_its_place() {
    let (folder, server) = (filled().await, postgres::shared());
    let (url, copy) = (server.database().await, server.empty_database().await);
    done(folder.path(), None, &["export", "there"]);
    done(folder.path(), Some(&url), &["import", "there"]);
    let tool = |name: &str, arguments: &[&str], database: &Secret| {
        // libpq takes the folder of the socket for the host only where none is named before it.
        let database = database.expose().replacen("localhost", "", 1);
        let mut tool = Command::new(postgres::binaries().join(name));
        tool.args(arguments).args(["--no-owner", "--dbname", &database]).current_dir(folder.path());
        let (output, errors) = run(&mut tool);
        assert!(output.status.success(), "{name}: {errors}");
    };
    tool("pg_dump", &["--schema=voxrelay", "--format=custom", "--file=dump"], &url);
    tool("pg_restore", &["--exit-on-error", "dump"], &copy);
    done(folder.path(), Some(&copy), &["export", "back"]);
    assert_eq!(lines(&folder.path().join("there")), lines(&folder.path().join("back")));
    let mut serve = command(folder.path(), Some(&copy), &["serve", "--listen", "127.0.0.1:0"]);
    let relay = Running::start(serve.env("VOXRELAY_AUTH__HS256_SECRET", SECRET));
    assert!(relay.get("/readyz").starts_with("HTTP/1.1 200"));
}

/// Half a million turns and as many rows of the ledger, in a thousand sessions.
#[cfg(target_os = "linux")]
const MANY: &str = "
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    INSERT INTO sessions (id, conversation_id, user_sub, account, client, agent, state, started_at, ended_at, end_reason, relay, lease_until,
        epoch, uplink_seq_committed, uplink_position_committed, resume_hash, user_period, account_period)
    SELECT 's' || i, 'c' || i, 'u' || i, 'acme', 'test/1', 'echo', 'ended', i, i, 'normal', 'relay-1', 0, 0, 0, 0, randomblob(32), '', ''
    FROM n;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO turns (session_id, turn, user_sub, role, text, start_position, end_position, created_at)
    SELECT id, i, user_sub, 'user', hex(randomblob(100)), 0, 16000, i FROM sessions, n;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO ledger (session_id, key, user_sub, account, provider, item, unit, quantity, price_nano_usd, per, price_version, cost_nano_usd,
        estimated, created_at)
    SELECT id, 'echo/listening@' || i, user_sub, account, 'echo', 'echo/listening', 'sample', 16000, 4800000, 960000, 'test', 80000, 0, i
    FROM sessions, n;";

/// The most memory that a process has had until now, in bytes; nothing once it has ended.
#[cfg(target_os = "linux")]
fn most_memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() << 10
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "what it took is for whoever runs it")]
#[ignore = "it takes minutes: cargo xtask bench moving, cargo xtask test --only moving"]
async fn a_million_rows_move_within_a_bounded_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    Store::close(&SqlStore::sqlite(&file(folder.path())).await.expect("made")).await;
    change(&file(folder.path()), MANY).await;
    let url = postgres::shared().database().await;
    let begin = Instant::now();
    let mut export =
        command(folder.path(), None, &["export", "-"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut import = command(folder.path(), Some(&url), &["import", "-"]);
    import.stdin(export.stdout.take().expect("piped")).stdout(Stdio::piped());
    let mut import = import.spawn().expect("it starts");
    let mut most = [0, 0];
    let status = loop {
        most = [most[0].max(most_memory(&export)), most[1].max(most_memory(&import))];
        match import.try_wait().expect("waited") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success() && export.wait().expect("waited").success());
    let mut said = String::new();
    import.stdout.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    assert!(said.contains("1001000 rows imported, read again and compared"), "{said}");
    assert!(said.contains("$40.00"), "500,000 rows at 80,000 nano-dollars: {said}");
    let [exporting, importing] = most.map(|bytes| bytes >> 20);
    assert!(most.iter().all(|bytes| *bytes < 200 << 20), "{exporting} MB and {importing} MB");
    println!(
        "a million rows in {:.0} s, {exporting} MB to export, {importing} MB to import",
        begin.elapsed().as_secs_f64()
    );
}
