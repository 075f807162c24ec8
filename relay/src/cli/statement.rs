//! `voxrelay statement`: what each account used in a month, and what it is to pay.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::ToSpan;
use jiff::civil::Date;

use super::reading::{dollars, each_row, midnight, plain, store, table};
use super::{answered, failed};
use crate::config::Config;
use crate::money::ledger::LedgerRow;
use crate::records::store::{
    CREDIT_ITEM, CallsOfAccount, SUMS_MAX, SqlStore, Store, StoreError, SumBy, SumCursor, SumFilter, SumPer,
    SumRow,
};
use crate::server::harmless;

/// Milliseconds in a minute.
const MINUTE_MS: u64 = 60_000;
/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;
/// Milliseconds in a day.
const DAY_MS: i64 = 24 * HOUR_MS;

/// Options of `voxrelay statement`.
#[derive(Debug, Args)]
pub(super) struct StatementArgs {
    /// The month (UTC), such as 2026-11.
    #[arg(long, value_name = "MONTH", value_parser = month)]
    month: Date,
    /// This account alone.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    account: Option<String>,
    /// Print CSV, a line for each item of each account, and two for its calls and their minutes.
    #[arg(long)]
    csv: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

/// The first day of a month.
fn month(given: &str) -> Result<Date, String> {
    let is_month = given.len() == "2026-11".len();
    let first = format!("{given}-01").parse().ok().filter(|_| is_month);
    first.ok_or_else(|| "give a month such as 2026-11".to_owned())
}

/// What accounts used, by their names.
type Accounts = BTreeMap<String, Account>;

/// What an account used.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    calls: u64,
    milliseconds: u64,
    /// Quantity and cost by item and unit.
    items: BTreeMap<(String, String), (u64, i128)>,
    /// What it got back, in nano-dollars.
    credits: i128,
}

impl Account {
    /// What is to be paid, in nano-dollars.
    fn due(&self) -> i128 {
        self.items.values().map(|(_, cost)| cost).sum::<i128>() - self.credits
    }
}

pub(super) async fn run(args: StatementArgs) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let next = args.month.checked_add(1.month()).ok();
    let (Some(from), Some(to)) = (midnight(args.month), next.and_then(midnight)) else {
        return failed(2, &"no calendar goes so far");
    };
    let store = match store(&config).await {
        Ok(store) => store,
        Err(error) => return failed(1, &error),
    };
    let read = sum_up((from, to), async |part| read(&store, part, args.account.as_deref()).await).await;
    Store::close(&store).await;
    match read {
        Ok(accounts) if args.csv => answered(&as_csv(args.month, &accounts).trim_end()),
        Ok(accounts) => answered(&shown(args.month, &accounts)),
        Err(error) => failed(1, &error),
    }
}

/// Adds up what each account used from this midnight to that one, a day at a time: a busy month has more rows than any database adds up within the
/// time that a statement may take. So may a day have, which is added up by its hours then, the last one first: a session that is erased meanwhile is known
/// at the end of the day from then on, and is missing rather than there twice.
async fn sum_up(
    (from_ms, to_ms): (i64, i64),
    mut read: impl AsyncFnMut((i64, i64)) -> Result<Accounts, StoreError>,
) -> Result<Accounts, StoreError> {
    let mut all = Accounts::new();
    let mut is_busy = false;
    for day in slices((from_ms, to_ms), DAY_MS) {
        if !is_busy {
            match read(day).await {
                // So are its other days, mostly.
                Err(StoreError::ListTooLong) => is_busy = true,
                sum => {
                    add(&mut all, sum?);
                    continue;
                }
            }
        }
        for hour in slices(day, HOUR_MS).rev() {
            add(&mut all, read(hour).await?);
        }
    }
    Ok(all)
}

/// The parts of a time that are so long each.
fn slices((from_ms, to_ms): (i64, i64), each_ms: i64) -> impl DoubleEndedIterator<Item = (i64, i64)> {
    (0..(to_ms - from_ms) / each_ms).map(move |at| (from_ms + at * each_ms, from_ms + (at + 1) * each_ms))
}

fn add(all: &mut Accounts, more: Accounts) {
    for (name, more) in more {
        let account = all.entry(name).or_default();
        account.calls += more.calls;
        account.milliseconds += more.milliseconds;
        account.credits += more.credits;
        for (item, (quantity, cost)) in more.items {
            let sum = account.items.entry(item).or_default();
            *sum = (sum.0.saturating_add(quantity), sum.1 + cost);
        }
    }
}

/// What each account used between these times.
async fn read(
    store: &SqlStore,
    (from_ms, to_ms): (i64, i64),
    account: Option<&str>,
) -> Result<Accounts, StoreError> {
    let mut accounts = Accounts::new();
    let (per, by) = (SumPer::Day, SumBy::Account);
    let filter = SumFilter { user_sub: None, account: account.map(str::to_owned), from_ms, to_ms, per, by };
    each_row(
        async |after: Option<SumCursor>| Store::sum_usage(store, &filter, after.as_ref(), SUMS_MAX).await,
        |SumRow { of, quantity, cost_nano_usd, .. }| {
            let account = accounts.entry(of.account).or_default();
            let cost = i128::from(cost_nano_usd);
            if of.item == CREDIT_ITEM {
                account.credits -= cost;
            } else if cost != 0 || !is_free(&of.unit) {
                let sum = account.items.entry((of.item, of.unit)).or_default();
                *sum = (sum.0.saturating_add(quantity), sum.1 + cost);
            }
            Ok::<(), StoreError>(())
        },
    )
    .await?;
    each_row(
        async |after| store.calls_by_account((from_ms, to_ms), account, after.as_ref(), SUMS_MAX).await,
        |calls: CallsOfAccount| {
            let account = accounts.entry(calls.account).or_default();
            (account.calls, account.milliseconds) = (calls.calls, calls.milliseconds);
            Ok::<(), StoreError>(())
        },
    )
    .await?;
    Ok(accounts)
}

/// Whether no account pays for what is counted by this unit: the operator bears it, or nobody was paid for it.
fn is_free(unit: &str) -> bool {
    let is_borne = unit.starts_with(LedgerRow::EXCESS) || unit.starts_with(crate::money::bill::REPEATED);
    is_borne || unit == crate::money::meter::UNHEARD_SAMPLE
}

fn minutes(milliseconds: u64) -> String {
    format!("{:.1}", milliseconds as f64 / MINUTE_MS as f64)
}

fn month_of(first: Date) -> String {
    first.to_string().chars().take("2026-11".len()).collect()
}

fn shown(first: Date, accounts: &Accounts) -> String {
    let mut lines = vec![format!("statement of {} (UTC), in US dollars", month_of(first))];
    for (name, account) in accounts {
        lines.push(String::new());
        lines.push(format!(
            "{}: {} calls, {} minutes, {} to pay",
            plain(name),
            account.calls,
            minutes(account.milliseconds),
            dollars(account.due())
        ));
        let mut rows = vec![["item", "unit", "quantity", "cost"].map(str::to_owned)];
        rows.extend(account.items.iter().map(|((item, unit), (quantity, cost))| {
            [plain(item), plain(unit), quantity.to_string(), dollars(*cost)]
        }));
        if account.credits != 0 {
            rows.push(["credits".to_owned(), String::new(), String::new(), dollars(-account.credits)]);
        }
        lines.extend(table(&rows, 2).into_iter().map(|line| format!("  {line}")));
    }
    let due: i128 = accounts.values().map(Account::due).sum();
    lines.push(String::new());
    lines.push(format!("{} accounts, {} in all", accounts.len(), dollars(due)));
    lines.join("\n")
}

/// A cell that a spreadsheet would take for a formula begins with an apostrophe, but for numbers.
fn as_csv(first: Date, accounts: &Accounts) -> String {
    const HOLDS: &str = "a row of texts into memory is always written";
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut line = |cells: [String; 6]| csv.write_record(cells).expect(HOLDS);
    let month = month_of(first);
    line(["month", "account", "item", "unit", "quantity", "cost_nano_usd"].map(str::to_owned));
    for (name, account) in accounts {
        let mut row = |item: &str, unit: &str, quantity: String, cost: String| {
            let [name, item, unit] = [name.as_str(), item, unit].map(|cell| harmless(cell.to_owned()));
            line([month.clone(), name, item, unit, quantity, cost]);
        };
        row("calls", "call", account.calls.to_string(), "0".to_owned());
        row("calls", "minute", minutes(account.milliseconds), "0".to_owned());
        for ((item, unit), (quantity, cost)) in &account.items {
            row(item, unit, quantity.to_string(), cost.to_string());
        }
        if account.credits != 0 {
            row(CREDIT_ITEM, "credit", "0".to_owned(), (-account.credits).to_string());
        }
    }
    let bytes = csv.into_inner().expect(HOLDS);
    String::from_utf8(bytes).expect("it was written from texts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_day_that_is_too_much_at_once_is_added_up_by_its_hours_and_nothing_of_it_counts_twice() {
        const BUSY: i64 = 3;
        let mut asked = Vec::new();
        let sum = sum_up((0, 30 * DAY_MS), async |(from, to)| {
            asked.push((from, to));
            if from / DAY_MS == BUSY && to - from > HOUR_MS {
                return Err(StoreError::ListTooLong);
            }
            let hours = (to - from) / HOUR_MS;
            let items = BTreeMap::from([(
                ("a/b".to_owned(), "second".to_owned()),
                (hours as u64, i128::from(hours) * 5),
            )]);
            let account = Account { calls: 2, milliseconds: 7, items, credits: 1 };
            Ok(Accounts::from([("acme".to_owned(), account)]))
        });
        let sum = sum.await.expect("read");
        let parts = 3 + 27 * 24;
        let items = BTreeMap::from([(("a/b".to_owned(), "second".to_owned()), (30 * 24, 30 * 24 * 5))]);
        let account =
            Account { calls: 2 * parts, milliseconds: 7 * parts, items, credits: i128::from(parts) };
        assert_eq!(sum, Accounts::from([("acme".to_owned(), account)]));
        assert_eq!(asked.len() as u64, parts + 1, "a day is tried once");
        let last_hour = (4 * DAY_MS - HOUR_MS, 4 * DAY_MS);
        assert_eq!(
            asked[3..5],
            [(3 * DAY_MS, 4 * DAY_MS), last_hour],
            "what is known at the end of a day comes first"
        );
        let error = sum_up((0, DAY_MS), async |_| Err(StoreError::ListTooLong)).await;
        assert!(matches!(error, Err(StoreError::ListTooLong)), "{error:?}");
    }

    #[test]
    fn no_cell_of_a_statement_is_a_formula_wherever_a_spreadsheet_parts_it() {
        let items = BTreeMap::from([(("x/\n@SUM(A1)".to_owned(), "second".to_owned()), (7, 5))]);
        let accounts = BTreeMap::from([
            ("=1+1".to_owned(), Account::default()),
            ("acme;=1+1".to_owned(), Account::default()),
            ("ada".to_owned(), Account { credits: 9, items, ..Account::default() }),
        ]);
        let csv = as_csv("2026-11-01".parse().expect("a day"), &accounts);
        for part in [
            "\n2026-11,'=1+1,calls,call,0,0\n",
            "\n2026-11,acme;'=1+1,calls,call,0,0\n",
            "\n2026-11,ada,\"x/\n'@SUM(A1)\",second,7,5\n",
            ",credit,0,-9\n",
        ] {
            assert!(csv.contains(part), "{part:?} is not in {csv:?}");
        }
    }
}
