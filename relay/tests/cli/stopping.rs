//! Commands that take long, and are told to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use relay::records::store::{DATABASE_FILE, LOCK_FILE};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection};

use super::reload::until;
use super::{SECRET, run, voxrelay};

#[tokio::test(flavor = "multi_thread")]
async fn migrate_that_is_told_to_stop_ends_between_two_migrations_and_goes_on_when_it_is_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let migrate = || {
        let mut command = voxrelay(folder.path());
        command.arg("migrate").env("VOXRELAY_AUTH__HS256_SECRET", SECRET).env("VOXRELAY_DATA_DIR", &data);
        command
    };
    // Somebody writes to the file, so that the first write of the command waits.
    let file = SqliteConnectOptions::new().filename(data.join(DATABASE_FILE)).create_if_missing(true);
    let mut other = file.journal_mode(SqliteJournalMode::Wal).connect().await.expect("opened");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("begun");
    let mut child = migrate().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    until("it migrates", || {
        std::fs::read_to_string(data.join(LOCK_FILE)).is_ok_and(|holder| holder.contains("migrating"))
    });
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    errors.read_line(&mut said).expect("a line");
    assert!(said.starts_with("told to stop: what is under way is finished or undone"), "{said}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("ended");
    other.close().await.expect("closed");
    let status = child.wait().expect("ended");
    errors.read_to_string(&mut said).expect("UTF-8");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("are left; run `voxrelay migrate` again, which goes on"), "{said}");
    let (output, errors) = run(&mut migrate());
    assert_eq!((output.status.code(), errors), (Some(0), String::new()));
    assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), "the schema is up to date\n");
}

#[test]
fn an_import_that_waits_for_its_standard_input_is_ended_by_a_second_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = voxrelay(folder.path());
    command.args(["import", "-"]).env("VOXRELAY_AUTH__HS256_SECRET", SECRET);
    command.env("VOXRELAY_DATA_DIR", folder.path().join("data"));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    let mut file = child.stdin.take().expect("piped");
    // More than a pipe holds: it is taken when the command reads, and no line of it ends.
    file.write_all(&[b' '; 200_000]).expect("it reads");
    let pid = child.id().to_string();
    let terminate = || assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    terminate();
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    errors.read_line(&mut said).expect("a line");
    assert!(said.contains("a second signal ends it at once"), "{said}");
    // One that ends does so within this time.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().expect("asked").is_none(), "it waits for what it reads");
    terminate();
    assert_eq!(child.wait().expect("ended").code(), Some(1));
}
