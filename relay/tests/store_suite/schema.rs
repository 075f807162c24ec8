//! The schema: how it comes about, and what Supabase's users see of it.

mod rows;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Role;
use relay::NanoUsd;
use relay::records::store::{NewSession, RolledUp, SessionState, SqlStore, Store, StoreError, migrate};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection, Executor, SqlSafeStr};
use tokio::time::timeout;

use rows::{LATER, ROWS, SUMS};

use super::{caps, open, quota, row, session, settle, turn};
use crate::postgres;

#[tokio::test]
async fn an_older_file_is_brought_up_to_date_with_everything_in_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("voxrelay.db");
    sqlx::any::install_default_drivers();
    let mut old =
        AnyConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.expect("made");
    let first = include_str!("../../migrations/sqlite/0001_sessions.sql").into_sql_str();
    let first = Migration::new(1, Cow::Borrowed("sessions"), MigrationType::Simple, first, false);
    let migrator = Migrator { migrations: vec![first].into(), ..Migrator::DEFAULT };
    migrator.run(&mut old).await.expect("migrated");
    old.execute(
        "INSERT INTO sessions VALUES ('a', 'ada', 'test/1', 'echo', 'ended', 1000, 2000, 'normal', 1, 10, 16000, zeroblob(32), NULL, 2,
            16000, 80000, 16000);
        INSERT INTO turns VALUES ('a', 0, 'user', 'hello', 0, 16000, NULL, 1500);
        INSERT INTO usage VALUES ('a', 'echo/listening', 0, 16000, 'sample', 4800000, 960000, '2026-11-22', 80000, 1600);",
    )
    .await
    .expect("written");
    drop(old);

    let store = SqlStore::sqlite(&path).await.expect("opened");
    let session = store.session("a").await.expect("read").expect("there");
    assert_eq!(
        (session.user_sub.as_str(), session.account.as_str(), session.conversation_id.as_str()),
        ("ada", "default", "a")
    );
    assert_eq!((session.state, session.epoch, session.reconnects), (SessionState::Ended, 1, 2));
    assert_eq!(
        (session.cost, session.authorised, session.audio_samples),
        (NanoUsd::new(80_000), NanoUsd::new(80_000), 16_000)
    );
    assert_eq!(store.turns("a").await.expect("read")[0].turn, turn(0, Role::User, "hello"));
    let ledger = store.ledger("a").await.expect("read");
    assert_eq!(ledger.len(), 1);
    assert_eq!((ledger[0].key.as_str(), ledger[0].provider.as_str()), ("echo/listening@0", "echo"));
    assert_eq!((ledger[0].quantity, ledger[0].cost), (16_000, NanoUsd::new(80_000)));
}

/// The migrations of a database, in order.
fn migrations(folder: &str) -> Vec<Migration> {
    let files = std::fs::read_dir(format!("migrations/{folder}")).expect("the folder");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let version = name.split('_').next().and_then(|number| number.parse().ok()).expect("a number");
        let sql = sqlx::AssertSqlSafe(std::fs::read_to_string(file).expect("readable")).into_sql_str();
        Migration::new(version, Cow::Owned(name), MigrationType::Simple, sql, false)
    };
    files.into_iter().map(read).collect()
}

/// Makes the schema as it was after the first of these migrations, and writes the rows into it.
async fn fill(connection: &mut AnyConnection, first: &[Migration], hash: &'static str) {
    let migrator = Migrator { migrations: first.to_vec().into(), ..Migrator::DEFAULT };
    migrator.run(&mut *connection).await.expect("migrated");
    let rows = sqlx::AssertSqlSafe(ROWS.replace("HASH", hash));
    sqlx::raw_sql(rows).execute(&mut *connection).await.expect("written");
    let newest = first.last().expect("there is one").version;
    for later in LATER.iter().filter(|later| later.from <= newest) {
        let written = sqlx::raw_sql(later.rows).execute(&mut *connection).await;
        assert!(written.is_ok(), "rows of migration {} after {newest}: {written:?}", later.from);
    }
}

/// Checks that everything is there that was written, in the rows and by the ways of this version, which adds up what has ended.
async fn check(store: &SqlStore, connection: &mut AnyConnection, after: i64) {
    let later = LATER.iter().filter(|later| later.from <= after).flat_map(|later| later.sums);
    for (sum, expected) in SUMS.iter().chain(later).copied() {
        assert_eq!(count(connection, sum).await, expected, "{sum}, written after migration {after}");
    }
    let session = store.session("a").await.expect("read").expect("there");
    assert_eq!((session.account.as_str(), session.epoch, session.cost), ("acme", 1, NanoUsd::new(80_000)));
    let turns = store.turns("a").await.expect("read");
    let texts: Vec<&str> = turns.iter().map(|row| row.turn.text.as_str()).collect();
    assert_eq!(texts, ["hello", "Hello, Ada."]);
    let ledger = store.ledger("b").await.expect("read");
    assert_eq!((ledger.len(), ledger[0].quantity, ledger[0].estimated), (1, 100, true));
    let mut added = 0;
    loop {
        match store.roll_up(10).await.expect("added up") {
            RolledUp::Emptied(_) => {}
            RolledUp::Added(0) => break,
            RolledUp::Added(more) => added += more,
        }
    }
    let rolled_up = "SELECT CAST(SUM(cost_nano_usd) AS BIGINT) FROM rollup_money WHERE account = 'acme'";
    assert_eq!((added, count(connection, rolled_up).await), (2, 80_500), "written after migration {after}");
}

/// Checks that nothing was forgotten in what is written here.
async fn each_table_has_a_row(connection: &mut AnyConnection) {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%sql%'";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut *connection).await.expect("a schema");
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let rows = count(connection, &format!("SELECT COUNT(*) FROM {name}")).await;
        assert!(rows > 0, "no row of {name} is carried through a migration: write one into LATER");
    }
}

#[tokio::test]
async fn a_file_of_each_earlier_schema_is_brought_up_to_date_with_everything_in_it() {
    sqlx::any::install_default_drivers();
    let migrations = migrations("sqlite");
    // The first one had other tables: there is a test of its own.
    for number in 2..=migrations.len() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("voxrelay.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut old = AnyConnection::connect(&url).await.expect("made");
        fill(&mut old, &migrations[..number], "zeroblob(32)").await;
        if number == migrations.len() {
            each_table_has_a_row(&mut old).await;
        }
        old.close().await.expect("closed");
        let store = SqlStore::sqlite(&path).await.expect("opened");
        let mut connection = AnyConnection::connect(&url).await.expect("it is there");
        check(&store, &mut connection, migrations[number - 1].version).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_server_with_each_earlier_schema_is_brought_up_to_date_with_everything_in_it() {
    let migrations = migrations("postgres");
    for number in 1..=migrations.len() {
        let url = postgres::shared().empty_database().await;
        let mut connection = AnyConnection::connect(url.expose()).await.expect("it runs");
        let schema = "CREATE SCHEMA voxrelay; SET search_path TO voxrelay";
        sqlx::raw_sql(schema).execute(&mut connection).await.expect("made");
        fill(&mut connection, &migrations[..number], "decode(repeat('07', 32), 'hex')").await;
        assert_eq!(migrate(&url).await.expect("migrated"), migrations.len() - number);
        let store = SqlStore::postgres(&url).await.expect("opened");
        check(&store, &mut connection, migrations[number - 1].version).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_server_is_used_when_its_schema_is_up_to_date_and_not_before() {
    let url = postgres::shared().empty_database().await;
    let outdated = SqlStore::postgres(&url).await;
    let migrations = std::fs::read_dir("migrations/postgres").expect("the folder").count();
    let Err(error @ StoreError::Outdated { missing, .. }) = outdated else { panic!("{outdated:?}") };
    assert!(missing == migrations && error.to_string().contains("voxrelay migrate"), "{error}");
    assert_eq!(migrate(&url).await.expect("migrated"), migrations);
    assert_eq!(migrate(&url).await.expect("migrated"), 0);
    SqlStore::postgres(&url).await.expect("opened").ping().await.expect("it answers");
}

#[tokio::test]
async fn a_migration_that_somebody_who_reads_a_table_holds_up_gives_up_soon_and_can_be_run_again() {
    let url = postgres::shared().database().await;
    let mut backup = AnyConnection::connect(url.expose()).await.expect("it runs");
    // As before the migration that adds the column.
    let before = "DELETE FROM voxrelay._sqlx_migrations WHERE version = 16;
        ALTER TABLE voxrelay.sessions DROP COLUMN succeeded";
    sqlx::raw_sql(before).execute(&mut backup).await.expect("it is older");
    let reads = "BEGIN; LOCK TABLE voxrelay.sessions IN ACCESS SHARE MODE";
    sqlx::raw_sql(reads).execute(&mut backup).await.expect("it reads the table");
    // Whoever waits for the table holds up all relays, whose statements wait behind it.
    let gave_up = timeout(Duration::from_secs(60), migrate(&url)).await.expect("it does not wait for long");
    let said = gave_up.expect_err("it cannot have the table").to_string();
    assert!(said.contains("pg_dump") && said.contains("run it again"), "{said}");
    sqlx::raw_sql("COMMIT").execute(&mut backup).await.expect("it has read");
    assert_eq!(migrate(&url).await.expect("migrated"), 1);
    assert_eq!(migrate(&url).await.expect("migrated"), 0);
}

#[tokio::test]
async fn the_migration_of_alerts_waits_for_a_call_that_is_written_and_holds_up_nothing_of_it() {
    let url = postgres::shared().empty_database().await;
    let migrations = migrations("postgres");
    let before = migrations.iter().position(|migration| migration.version == 35).expect("it is there");
    let mut relay = AnyConnection::connect(url.expose()).await.expect("it runs");
    let mut watcher = AnyConnection::connect(url.expose()).await.expect("it runs");
    let schema = "CREATE SCHEMA voxrelay; SET search_path TO voxrelay";
    sqlx::raw_sql(schema).execute(&mut relay).await.expect("made");
    fill(&mut relay, &migrations[..before], "decode(repeat('07', 32), 'hex')").await;
    let settles = "BEGIN; UPDATE sessions SET strikes = strikes WHERE id = 'a'";
    sqlx::raw_sql(settles).execute(&mut relay).await.expect("it has the session");
    let migrating = tokio::spawn(async move { migrate(&url).await });
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while count(&mut watcher, waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let raises = "UPDATE alerts SET attempts = attempts; COMMIT";
    sqlx::raw_sql(raises).execute(&mut relay).await.expect("nobody has the alerts");
    let migrated = migrating.await.expect("no panic").expect("its turn has come");
    assert_eq!(migrated, migrations.len() - before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_its_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("voxrelay.db");
    std::fs::write(&path, "this is not a database, it is a letter to somebody else").expect("written");
    let error = SqlStore::sqlite(&path).await.expect_err("no database");
    assert!(error.to_string().contains("voxrelay.db"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let url = relay::config::Secret::new("postgres://relay:hush@127.0.0.1:9/voxrelay".into());
    let error = SqlStore::postgres(&url).await.expect_err("nobody is there");
    assert!(error.is_away(), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("127.0.0.1:9/voxrelay") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn the_data_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    SqlStore::sqlite(&dir.path().join("data/voxrelay.db")).await.expect("opened");
    let mode = std::fs::metadata(dir.path().join("data")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

const ADA: &str = "a0a0a0a0-0000-4000-8000-000000000001";
const BOB: &str = "b0b0b0b0-0000-4000-8000-000000000002";

/// What Supabase has in every project: its roles, `auth.uid()`, and privileges for its roles on whatever is new.
const SUPABASE: &str = "
DO $$ BEGIN
    CREATE ROLE anon NOLOGIN; CREATE ROLE authenticated NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT NULLIF(current_setting('request.jwt.claims', true)::json ->> 'sub', '')::uuid
$$;
CREATE SCHEMA voxrelay;
ALTER DEFAULT PRIVILEGES IN SCHEMA voxrelay GRANT ALL ON TABLES TO anon, authenticated;
GRANT USAGE ON SCHEMA voxrelay TO anon, authenticated;";

#[tokio::test]
async fn supabase_users_read_their_own_rows_and_change_none() {
    let url = postgres::shared().empty_database().await;
    let mut connection = AnyConnection::connect(url.expose()).await.expect("it runs");
    sqlx::raw_sql(SUPABASE).execute(&mut connection).await.expect("as Supabase has it");
    migrate(&url).await.expect("migrated");
    let store = SqlStore::postgres(&url).await.expect("opened");
    // Budgets so small that there is an alert for each.
    let caps = caps(10, 10, 10_000);
    for user in [ADA, BOB] {
        open(&store, &NewSession { user_sub: user.into(), ..session(user) }, &quota()).await;
        store
            .save_turns(user, 0, &[turn(0, Role::User, user)], Default::default(), 0)
            .await
            .expect("written");
        let settled = store.settle(&settle(user, vec![row("1", 1, 10)], caps)).await.expect("written");
        assert!(!settled.alerts.is_empty());
    }

    let readable = ["sessions", "turns", "ledger", "alerts"];
    let hidden = [
        ("budgets", "owner"),
        ("denials", "subject"),
        ("erased_usage", "account"),
        ("erased_recordings", "recording"),
        ("erased_sessions", "id"),
        ("erased_rows", "key"),
        ("relays", "id"),
        ("rates", "key"),
        ("rollup_calls", "hour"),
        ("rollup_money", "hour"),
        ("rollup_turns", "hour"),
        ("rollup_users", "day"),
        ("tool_calls", "call_id"),
        ("credits", "key"),
        ("audit", "id"),
        ("webhooks", "name"),
        ("deliveries", "id"),
        ("budget_caps", "subject"),
        ("commands", "id"),
        ("idempotency_keys", "key"),
        ("api_keys", "id"),
        ("incidents", "id"),
        ("_sqlx_migrations", "description"),
    ];
    let every = || readable.map(|table| (table, "user_sub")).into_iter().chain(hidden);
    for (user, other) in [(ADA, BOB), (BOB, ADA)] {
        become_user(&mut connection, "authenticated", user).await;
        for table in readable {
            let own =
                count(&mut connection, &format!("SELECT COUNT(*) FROM {table} WHERE user_sub = '{user}'"))
                    .await;
            let all = count(&mut connection, &format!("SELECT COUNT(*) FROM {table}")).await;
            assert!(own > 0 && own == all, "{table}: {own} of {all}");
            let foreign =
                count(&mut connection, &format!("SELECT COUNT(*) FROM {table} WHERE user_sub = '{other}'"))
                    .await;
            assert_eq!(foreign, 0, "{table}");
        }
        for (table, key) in every() {
            for statement in [
                format!("INSERT INTO {table} SELECT * FROM {table}"),
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("UPDATE {table} SET {key} = {key}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table} CASCADE"),
                format!("DROP TABLE {table}"),
                format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"),
            ] {
                refused(&mut connection, &statement).await;
            }
        }
        for (table, _) in hidden {
            refused(&mut connection, &format!("SELECT * FROM {table}")).await;
        }
    }
    become_user(&mut connection, "anon", "").await;
    for (table, _) in every() {
        refused(&mut connection, &format!("SELECT * FROM {table}")).await;
    }
    sqlx::raw_sql("RESET ROLE").execute(&mut connection).await.expect("reset");
    for user in [ADA, BOB] {
        assert_eq!(store.turns(user).await.expect("read")[0].turn.text, user, "nothing was changed");
    }
    let policies = count(
        &mut connection,
        "SELECT COUNT(*) FROM pg_policies WHERE schemaname = 'voxrelay' AND roles = '{authenticated}'",
    )
    .await;
    assert_eq!(policies, 4);
    let slow = "SELECT COUNT(*) FROM pg_policies WHERE schemaname = 'voxrelay' AND qual NOT LIKE '%SELECT auth.uid()%'
        AND qual NOT LIKE '%SELECT has_table_privilege(%'";
    assert_eq!(
        count(&mut connection, slow).await,
        0,
        "the user is looked up once a statement, not once a row"
    );
}

async fn become_user(connection: &mut AnyConnection, role: &str, sub: &str) {
    let sql = format!(
        "RESET ROLE; SET search_path TO voxrelay; SET request.jwt.claims = '{{\"sub\": \"{sub}\", \"role\": \"{role}\"}}'; SET ROLE {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.expect("a role of the database");
}

async fn count(connection: &mut AnyConnection, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.expect(sql)
}

async fn refused(connection: &mut AnyConnection, sql: &str) {
    let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(connection).await;
    let error = done.expect_err(sql).to_string();
    assert!(error.contains("permission denied") || error.contains("must be owner"), "{sql}: {error}");
}
