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
    CREDIT_ITEM, CallsOfAccount, PAGE_MAX, SqlStore, Store, StoreError, UsageBy, UsageFilter, UsageRow,
};
use crate::server::harmless;

/// Milliseconds in a minute.
const MINUTE_MS: u64 = 60_000;

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
    let read = read(&store, (from, to), args.account.as_deref()).await;
    Store::close(&store).await;
    match read {
        Ok(accounts) if args.csv => answered(&as_csv(args.month, &accounts).trim_end()),
        Ok(accounts) => answered(&shown(args.month, &accounts)),
        Err(error) => failed(1, &error),
    }
}

async fn read(
    store: &SqlStore,
    (from_ms, to_ms): (i64, i64),
    account: Option<&str>,
) -> Result<BTreeMap<String, Account>, StoreError> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    let filter = UsageFilter {
        user_sub: None,
        account: account.map(str::to_owned),
        from_ms,
        to_ms,
        by: UsageBy::Account,
    };
    each_row(
        async |after| Store::usage(store, &filter, after.as_ref(), PAGE_MAX).await,
        |row: UsageRow| {
            let account = accounts.entry(row.account).or_default();
            let cost = i128::from(row.cost_nano_usd);
            if row.item == CREDIT_ITEM {
                account.credits -= cost;
            } else if cost != 0 || !is_free(&row.unit) {
                let sum = account.items.entry((row.item, row.unit)).or_default();
                *sum = (sum.0.saturating_add(row.quantity), sum.1 + cost);
            }
            Ok::<(), StoreError>(())
        },
    )
    .await?;
    each_row(
        async |after| store.calls_by_account((from_ms, to_ms), account, after.as_ref(), PAGE_MAX).await,
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

fn shown(first: Date, accounts: &BTreeMap<String, Account>) -> String {
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
fn as_csv(first: Date, accounts: &BTreeMap<String, Account>) -> String {
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
