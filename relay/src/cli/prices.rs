//! `voxrelay prices`: what everything costs, and how long ago somebody looked.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{answered, failed, faults};
use crate::NanoUsd;
use crate::config::Config;
use crate::money::price::{Line, OLD_DAYS, PriceTable};
use crate::records::store::unix_ms;

/// Options of `voxrelay prices`.
#[derive(Debug, Args)]
pub(super) struct PricesArgs {
    /// The configuration, TOML: its `prices.file` goes over the shipped table. Variables that start with VOXRELAY_ go over it.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &PricesArgs) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    match faults::price_table(&config) {
        Ok(table) => answered(&shown(&table, unix_ms())),
        Err(error) => failed(2, &error),
    }
}

/// The table, a line for each price, in columns.
fn shown(table: &PriceTable, now_ms: i64) -> String {
    let head = ["item", "unit", "price", "from", "seen", "age"].map(str::to_owned);
    let rows: Vec<[String; 6]> =
        [head].into_iter().chain(table.lines().map(|line| cells(&line, now_ms))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format!("price table {}", table.version())];
    lines.extend(rows.iter().map(line));
    let old = table.lines().filter(|line| line.is_old(now_ms)).count();
    if old > 0 {
        lines.push(format!(
            "{old} of them are old: last read in the provider's list more than {OLD_DAYS} days ago, or nobody knows when. Read them again, and write \
             those that you use into the table of prices.file, with the day as `seen`."
        ));
    }
    lines.join("\n")
}

fn cells(line: &Line<'_>, now_ms: i64) -> [String; 6] {
    let price = line.price;
    let unit = match line.prompt_over {
        Some(tokens) => format!("{}>{tokens}", price.unit),
        None => price.unit.to_string(),
    };
    let day = |day: Option<jiff::civil::Date>| day.map_or("-".to_owned(), |day| day.to_string());
    let age = match (line.age_days(now_ms), line.is_old(now_ms)) {
        (Some(days), true) => format!("{days} days: old"),
        (Some(days), false) => format!("{days} days"),
        (None, true) => "not known: old".to_owned(),
        (None, false) => "-".to_owned(),
    };
    let amount = |amount: NanoUsd| format!("{amount} / {}", price.per);
    [price.item.to_string(), unit, amount(price.amount), day(line.from), day(line.seen), age]
}
