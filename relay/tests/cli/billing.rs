//! `voxrelay reconcile` and `voxrelay statement`.

use relay::NanoUsd;
use relay::money::ledger::{LateCredit, LedgerRow};
use relay::records::store::{Credit, Credited, NewSession, Quality, Settle};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use super::*;
use crate::records::{WIDE, row, settle};

/// When the call began, and how long it took.
const BEGAN: &str = "2026-11-20T12:00:00Z";
const TOOK_MS: i64 = 150_000;

/// A row of a provider at this price for one unit.
fn used(item: &str, unit: &str, quantity: u64, (price, per): (u64, u64), cost: u64) -> LedgerRow {
    LedgerRow {
        provider: item.split('/').next().unwrap_or_default().to_owned(),
        item: item.to_owned(),
        unit: unit.to_owned(),
        price: NanoUsd::new(price),
        per,
        ..row(&format!("{item}/{unit}"), quantity, cost)
    }
}

/// A folder with the records of a call that used Deepgram and Anthropic.
async fn billed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let store = SqlStore::sqlite(&file).await.expect("opened");
    fill(&store).await;
    Store::close(&store).await;
    folder
}

/// Writes the records of that call.
async fn fill(store: &SqlStore) {
    let at_ms = BEGAN.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    open(store, &NewSession { started_at_ms: at_ms, ..session("a") }, &quota()).await;
    let audio = (4_800_000, 960_000);
    let rows = vec![
        used("deepgram/nova-3", "sample", 57_600_000, audio, 288_000_000),
        used("deepgram/nova-3", "repeated_sample", 5_760_000, audio, 0),
        used("deepgram/nova-3", "unheard_sample", 160_000, (0, 960_000), 0),
        used("anthropic/claude-haiku-5-5", "input_token", 1_000, (100, 1), 100_000),
        used("anthropic/claude-haiku-5-5", "written_token", 200, (125, 1), 25_000),
        used("anthropic/claude-haiku-5-5", "cached_token", 300, (10, 1), 3_000),
        used("anthropic/claude-haiku-5-5", "eager_output_token", 25, (500, 1), 12_500),
        used("anthropic/claude-haiku-5-5", "excess_output_token", 20, (500, 1), 0),
    ];
    let wide = caps(WIDE, WIDE, WIDE);
    store.settle(&Settle { at_ms, ..settle("a", rows, wide) }).await.expect("written");
    let voice = used("deepgram/aura-2", "character", 1_500, (30_000, 1), 45_000_000);
    let next_day = Settle { at_ms: at_ms + 86_400_000, ..settle("a", vec![voice], wide) };
    store.settle(&next_day).await.expect("written");
    let credit = Credit {
        key: "one".into(),
        account: "acme".into(),
        user_sub: None,
        day: "2026-11-20".into(),
        amount: NanoUsd::new(1_000_000),
        reason: "a wrong price".into(),
        created_by: "root".into(),
        created_at_ms: at_ms,
    };
    assert!(matches!(store.give_credit(&credit).await.expect("written"), Credited::Yes { new: true, .. }));
    store.end_session("a", 0, "normal", Quality::default(), at_ms + TOOK_MS).await.expect("written");
}

fn example(name: &str) -> String {
    format!("{}/../examples/reconcile/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// How comparing an example ends, and what it says.
fn compared(folder: &Path, name: &str, more: &[&str]) -> (Option<i32>, String, String) {
    compared_on(folder, None, name, more)
}

/// The same on PostgreSQL, if there is an address of one.
fn compared_on(
    folder: &Path,
    database: Option<&Secret>,
    name: &str,
    more: &[&str],
) -> (Option<i32>, String, String) {
    let mut command = voxrelay(folder);
    command.envs(database.map(|url| ("DATABASE_URL", url.expose())));
    command.args(["reconcile", &example(&format!("{name}.csv")), "--mapping", name]);
    let (output, errors) = run(command.args(["--config", &example("voxrelay.toml")]).args(more));
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_bills_is_compared_with_the_ledger_line_by_line() {
    let folder = billed().await;
    let (code, said, errors) = compared(folder.path(), "deepgram", &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("2026-11-20 to 2026-11-21: 2 the same, 0 differ, 0 only in the export"), "{said}");
    assert!(said.contains("cost by the export: $0.3618; by the ledger's prices: $0.3618"), "{said}");
    assert!(said.contains("the operator bears: $0.0288"), "{said}");
    let (code, all, _) = compared(folder.path(), "deepgram", &["--all"]);
    let line = all.lines().find(|line| line.contains("deepgram/nova-3")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words,
        ["2026-11-20", "deepgram/nova-3", "second", "same", "3960", "3960", "360", "$0.3168", "$0.3168"]
    );
    assert_eq!(code, Some(0));

    // Of the answer, 45 tokens are in the ledger and 50 in the export.
    let (code, said, errors) = compared(folder.path(), "anthropic", &[]);
    assert_eq!((code, errors.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("0 the same, 1 differ, 0 only in the export, 0 only in the ledger"), "{said}");
    let words = ["output_token", "differs", "50", "45"];
    assert!(said.lines().any(|line| line.split_whitespace().skip(2).take(4).eq(words)), "{said}");
    let (code, said, _) = compared(folder.path(), "anthropic", &["--tolerance", "10"]);
    assert!(code == Some(0) && said.contains("cost by the export: not said"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_erased_users_had_used_is_compared_as_if_they_were_there() {
    let (folder, url) = (tempfile::tempdir().expect("a folder"), postgres::shared().database().await);
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let stores =
        [SqlStore::sqlite(&file).await.expect("opened"), SqlStore::postgres(&url).await.expect("opened")];
    for (store, database) in stores.into_iter().zip([None, Some(&url)]) {
        fill(&store).await;
        let before = ["deepgram", "anthropic"]
            .map(|name| compared_on(folder.path(), database, name, &["--all", "--tolerance", "10"]));
        assert!(before.iter().all(|(code, said, _)| *code == Some(0) && said.contains("same")), "{before:?}");
        assert!(store.delete_session("a", None).await.expect("erased"));
        Store::close(&store).await;
        let after = ["deepgram", "anthropic"]
            .map(|name| compared_on(folder.path(), database, name, &["--all", "--tolerance", "10"]));
        assert_eq!(before, after, "all that is said, what the operator bears as well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recogniser_bills_less_and_users_have_back_is_no_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        "[reconcile.deepgram]\ndate = \"day\"\nquantity = \"n=second\"\nmodel = \"model\"\ncost = \"usd\"\n";
    std::fs::write(folder.path().join("voxrelay.toml"), config).expect("written");
    let csv = "day,model,n,usd\n2026-11-20,nova-3,3960,0.3168\n";
    std::fs::write(folder.path().join("file.csv"), csv).expect("written");
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let url = postgres::shared().database().await;
    let stores =
        [SqlStore::sqlite(&file).await.expect("opened"), SqlStore::postgres(&url).await.expect("opened")];
    for (store, database) in stores.into_iter().zip([None, Some(&url)]) {
        let reconcile = || {
            let mut command = voxrelay(folder.path());
            command.envs(database.map(|url| ("DATABASE_URL", url.expose())));
            let (output, errors) =
                run(command.args(["reconcile", "file.csv", "--config", "voxrelay.toml", "--tolerance", "0"]));
            (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
        };
        let at_ms = BEGAN.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        open(&store, &NewSession { started_at_ms: at_ms, ..session("a") }, &quota()).await;
        // A tenth more than what is billed: 396 s.
        let heard = used("deepgram/nova-3", "sample", 69_696_000, (4_800_000, 960_000), 348_480_000);
        let wide = caps(WIDE, WIDE, WIDE);
        store.settle(&Settle { at_ms, ..settle("a", vec![heard], wide) }).await.expect("written");
        let (code, said, errors) = reconcile();
        assert!(code == Some(1) && said.contains("1 differ"), "{said}{errors}");
        let key = "deepgram/nova-3@0.0.late".to_owned();
        let late = LateCredit { key, samples: 6_336_000, amount: NanoUsd::new(31_680_000) };
        let given = Settle { at_ms, credits: vec![late], ..settle("a", Vec::new(), wide) };
        store.settle(&given).await.expect("written");
        let (code, said, errors) = reconcile();
        assert!(code == Some(0) && said.contains("1 the same"), "{said}{errors}");
        assert!(said.contains("by the ledger's prices: $0.3168"), "{said}");
        Store::close(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_edges_of_an_export_and_rows_without_an_id_are_no_differences() {
    let folder = tempfile::tempdir().expect("a folder");
    let config =
        "[reconcile.anthropic]\ndate = \"time\"\nquantity = \"n=output_token\"\nrequest_id = \"id\"\n";
    std::fs::write(folder.path().join("voxrelay.toml"), config).expect("written");
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let store = SqlStore::sqlite(&file).await.expect("opened");
    let at_ms = |time: &str| time.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    let began_ms = at_ms("2026-11-19T23:59:00Z");
    open(&store, &NewSession { started_at_ms: began_ms, ..session("a") }, &quota()).await;
    for (time, id) in [
        ("2026-11-20T00:00:03Z", Some("of the day before")),
        ("2026-11-20T11:00:00Z", None),
        ("2026-11-20T12:00:00Z", Some("noon")),
        ("2026-11-21T00:00:05Z", Some("midnight")),
        ("2026-11-21T12:00:00Z", Some("of the day after")),
    ] {
        let used = used("anthropic/claude-haiku-5-5", "output_token", 7, (500, 1), 3_500);
        let used = LedgerRow { key: time.into(), request_id: id.map(str::to_owned), ..used };
        let settle = Settle { at_ms: at_ms(time), ..settle("a", vec![used], caps(WIDE, WIDE, WIDE)) };
        store.settle(&settle).await.expect("written");
    }
    Store::close(&store).await;
    let reconcile = |csv: &str| {
        std::fs::write(folder.path().join("file.csv"), csv).expect("written");
        let (output, errors) =
            run(voxrelay(folder.path()).args(["reconcile", "file.csv", "--config", "voxrelay.toml"]));
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    let all = "time,id,n\n2026-11-20T12:00:00Z,noon,7\n2026-11-20T23:59:59Z,midnight,7\n";
    let (code, said, errors) = reconcile(all);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    let sums = "2026-11-20 to 2026-11-20: 2 the same, 0 differ, 0 only in the export, 0 only in the ledger, 2 not compared";
    assert!(said.lines().any(|line| line == sums), "{said}");
    let unnamed = said.lines().find(|line| line.starts_with("(rows without an id)"));
    assert!(unnamed.is_some_and(|line| line.contains("not compared")), "{said}");
    let (code, said, _) = reconcile("time,id,n\n2026-11-20T23:59:59Z,midnight,7\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 the same") && said.contains("1 only in the ledger"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_one_side_has_is_a_difference_and_what_cannot_be_read_is_named() {
    let folder = billed().await;
    let config = "[reconcile.deepgram]\ndate = \"day\"\nquantity = \"n=second\"\nmodel = \"model\"\n";
    std::fs::write(folder.path().join("voxrelay.toml"), config).expect("written");
    let reconcile = |csv: &str| {
        std::fs::write(folder.path().join("file.csv"), csv).expect("written");
        let (output, errors) =
            run(voxrelay(folder.path()).args(["reconcile", "file.csv", "--config", "voxrelay.toml"]));
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    let (code, said, _) = reconcile("day,model,n\n2026-11-20,nova-2,7\n");
    assert!(said.contains("1 only in the export, 1 only in the ledger") && code == Some(1), "{said}");
    let (code, _, errors) = reconcile("day,model\n2026-11-20,nova-3\n");
    assert!(errors.contains("file.csv: there is no column \"n\"") && code == Some(1), "{errors}");
    let (output, errors) = run(voxrelay(folder.path()).args(["reconcile", "file.csv"]));
    assert!(errors.contains("[reconcile.NAME]") && output.status.code() == Some(2), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_says_what_each_account_is_to_pay_also_while_a_relay_runs() {
    let folder = billed().await;
    let _relay = Running::start(voxrelay(folder.path()).args(["dev", "--listen", "127.0.0.1:0"]));
    let statement = |arguments: &[&str]| {
        let (output, errors) = run(voxrelay(folder.path()).arg("statement").args(arguments));
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"), errors)
    };
    // $0.288 + $0.045 + $0.0001405 - $0.001
    let (code, said, errors) = statement(&["--month", "2026-11"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("acme: 1 calls, 2.5 minutes, $0.3321405 to pay"), "{said}");
    assert!(said.contains("-$0.001") && !said.contains("repeated_") && !said.contains("excess_"), "{said}");
    assert!(!said.contains("unheard_"), "nobody was paid for it: {said}");
    let (_, csv, _) = statement(&["--month", "2026-11", "--account", "acme", "--csv"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "month,account,item,unit,quantity,cost_nano_usd");
    for line in
        ["calls,minute,2.5,0", "deepgram/aura-2,character,1500,45000000", "operator/credit,credit,0,-1000000"]
    {
        assert!(lines.contains(&format!("2026-11,acme,{line}").as_str()), "{line}: {csv}");
    }
    for arguments in [&["--month", "2026-12"][..], &["--month", "2026-11", "--account", "else"]] {
        let (code, said, _) = statement(arguments);
        assert!(said.contains("0 accounts, $0.00 in all") && code == Some(0), "{said}");
    }
    let (code, _, errors) = statement(&["--month", "November"]);
    assert!(errors.contains("give a month such as 2026-11") && code == Some(2), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_with_a_damaged_row_is_refused_and_names_it() {
    let folder = billed().await;
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let mut database =
        AnyConnection::connect(&format!("sqlite:{}", file.display())).await.expect("it is there");
    let mut write = async |sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut database).await.expect(sql);
    };
    write("PRAGMA ignore_check_constraints = ON; DROP TRIGGER ledger_is_append_only").await;
    write("UPDATE ledger SET cost_nano_usd = -7 WHERE unit = 'character'").await;
    let (output, errors) = run(voxrelay(folder.path()).args(["statement", "--month", "2026-11"]));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{errors}");
    assert!(errors.contains("deepgram/aura-2/character of session a"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_month_begins_and_ends_with_is_in_its_statement_and_in_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("voxrelay-data").join(DATABASE_FILE);
    let store = SqlStore::sqlite(&file).await.expect("opened");
    let ms = |text: &str| text.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    // Each costs ten times as much as the one before it.
    let times = [
        ("a", "2026-10-31T23:59:59.999Z"),
        ("b", "2026-11-01T00:00:00Z"),
        ("c", "2026-11-15T12:59:59.999Z"),
        ("d", "2026-11-15T13:00:00Z"),
        ("e", "2026-11-30T23:59:59.999Z"),
        ("f", "2026-12-01T00:00:00Z"),
    ];
    for ((id, at), cost) in times.into_iter().zip((0..).map(|power| 1_000 * 10_u64.pow(power))) {
        let at_ms = ms(at);
        open(&store, &NewSession { started_at_ms: at_ms, ..session(id) }, &quota()).await;
        let rows = vec![used("deepgram/aura-2", "character", 1, (cost, 1), cost)];
        store.settle(&Settle { at_ms, ..settle(id, rows, caps(WIDE, WIDE, WIDE)) }).await.expect("written");
        store.end_session(id, 0, "normal", Quality::default(), at_ms + 60_000).await.expect("written");
    }
    for (key, day, nano) in
        [("one", "2026-10-31", 1), ("two", "2026-11-01", 20), ("three", "2026-11-30", 300)]
    {
        let credit = Credit {
            key: key.into(),
            account: "acme".into(),
            user_sub: None,
            day: day.into(),
            amount: NanoUsd::new(nano),
            reason: "a wrong price".into(),
            created_by: "root".into(),
            created_at_ms: ms("2026-12-02T00:00:00Z"),
        };
        store.give_credit(&credit).await.expect("written");
    }
    // What is left of one is known by its day alone.
    assert!(store.delete_session("e", None).await.expect("erased"));
    Store::close(&store).await;
    for (month, calls, characters, credits) in [
        ("2026-10", 1, (1, 1_000), 1),
        ("2026-11", 3, (4, 10_000 + 100_000 + 1_000_000 + 10_000_000), 320),
        ("2026-12", 1, (1, 100_000_000), 0),
    ] {
        let (output, errors) = run(voxrelay(folder.path()).args(["statement", "--month", month, "--csv"]));
        let csv = String::from_utf8(output.stdout).expect("UTF-8");
        let has = |line: String| csv.lines().any(|other| other == format!("{month},acme,{line}"));
        let (quantity, cost) = characters;
        assert!(has(format!("calls,call,{calls},0")), "{csv}{errors}");
        assert!(has(format!("deepgram/aura-2,character,{quantity},{cost}")), "{csv}{errors}");
        assert_eq!(has(format!("operator/credit,credit,0,-{credits}")), credits > 0, "{csv}{errors}");
    }
}
