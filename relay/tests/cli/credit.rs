//! `voxrelay credit`.

use relay::records::store::{Settle, UsageBy, UsageFilter, unix_ms};

use super::*;
use crate::records::{WIDE, row, settle};

/// The credit that is given back.
const CREDIT: [&str; 8] =
    ["--account", "acme", "--user", "ada", "--usd", "0.0001", "--reason", "a wrong price"];

/// A folder in which ada of acme was charged for something today, and that day.
async fn charged() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let store = SqlStore::sqlite(&file).await.expect("opened");
    open(&store, &session("a"), &quota()).await;
    let wide = caps(WIDE, WIDE, WIDE);
    let charged = Settle { at_ms: unix_ms(), ..settle("a", vec![row("1", 1, 250_000)], wide) };
    store.settle(&charged).await.expect("written");
    let whole = UsageFilter {
        user_sub: None,
        account: None,
        from_ms: 0,
        to_ms: unix_ms() + 86_400_000,
        by: UsageBy::Account,
    };
    let today = store.usage(&whole, None, 1).await.expect("read").rows.remove(0).day;
    Store::close(&store).await;
    (folder, today)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_is_given_once_and_says_what_is_spent_then() {
    let (folder, today) = charged().await;
    let relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let url = format!("http://{}", relay.address);
    let token = |role: &[&str]| {
        let (output, errors) = run(voxrelay(folder.path()).args(["token", "--sub", "root"]).args(role));
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    let admin = token(&["--role", "voxrelay_admin"]);
    let give = |token: &str, more: &[&str]| {
        let mut command = voxrelay(folder.path());
        command.args(["credit", &url, "--day", &today]).args(CREDIT).args(more).env("VOXRELAY_TOKEN", token);
        let (output, errors) = run(&mut command);
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    let (code, said, errors) = give(&admin, &["--key", "one"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    let expected = format!(
        "$0.0001 of {today} is given back to acme (key one)\n\
         spent by ada on that day: $0.00015\nspent by acme in that month: $0.00015\n"
    );
    assert_eq!(said, expected);
    let (code, said, _) = give(&admin, &["--key", "one"]);
    assert!(code == Some(0) && said.contains("was given back before to acme (key one)"), "{said}");
    let (code, said, errors) = give(&token(&[]), &["--key", "two"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(errors.contains("answered 403: admin_only: This needs a token with"), "{errors}");
    // Without a key one is made up: the second is another credit, and the third is too much.
    let (code, said, _) = give(&admin, &[]);
    assert!(code == Some(0) && said.contains("spent by ada on that day: $0.00005"), "{said}");
    let (code, _, errors) = give(&admin, &[]);
    assert!(
        code == Some(1) && errors.contains("$0.00005 (50000 nano-dollars) can be given back"),
        "{errors}"
    );
}

#[test]
fn a_credit_that_reaches_no_relay_says_under_which_key_to_try_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let give = |url: &str, more: &[&str]| {
        let mut command = voxrelay(folder.path());
        command.args(["credit", url, "--token", "a.b.c", "--day", "2026-11-24"]).args(CREDIT).args(more);
        let (output, errors) = run(&mut command);
        (output.status.code(), errors)
    };
    let (code, errors) = give(&format!("http://{closed}"), &["--key", "one"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("refused") && errors.contains("with --key one it is given once"), "{errors}");
    let no_relay = answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>");
    let no_relay = no_relay.replace("ws://", "http://");
    let (code, errors) = give(&no_relay, &[]);
    assert!(code == Some(1) && errors.contains("answered 404: no_relay"), "{errors}");
    for url in ["ws://127.0.0.1:8080", "voice.example.com", "http://voice.example.com"] {
        let (code, errors) = give(url, &[]);
        assert!(code == Some(2) && errors.contains("http"), "{url}: {errors}");
    }
}
