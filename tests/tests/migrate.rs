//! `voxrelay migrate` as an operator runs it.

use std::process::Output;

use relay::config::Secret;
use tests::postgres::shared;
use tests::{Relay, SECRET, binary};
use tokio::process::Command;

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

#[tokio::test]
async fn a_relay_wants_its_schema_first_and_migrate_brings_it() {
    let database = shared().empty_database().await;
    let refused = run(&database, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.status.code(), Some(1));
    let advice = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(advice.contains("run `voxrelay migrate` first"), "{advice}");
    for says in ["applied 1 migration\n", "the schema is up to date\n"] {
        let done = run(&database, &["migrate"]).await;
        assert!(done.status.success(), "{done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), says);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("database_url = {:?}\n[auth]\nhs256_secret = {SECRET:?}\n", database.expose());
    Relay::start_with(folder.path(), "127.0.0.1:0", &config).await.terminate().await;
}
