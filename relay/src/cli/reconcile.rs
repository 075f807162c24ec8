//! `voxrelay reconcile`: a provider's usage export beside the ledger.

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::ToSpan;

use super::reading::{dollars, each_row, midnight, plain, store, table};
use super::{answer, failed, faults, unwritten};
use crate::config::Config;
use crate::money::price::PriceTable;
use crate::money::reconcile::{Compared, Comparison, ErasedUse, GivenBack, Group, Mapping, Verdict};
use crate::records::store::{Billed, PAGE_MAX, SqlStore, Store};

/// Options of `voxrelay reconcile`.
#[derive(Debug, Args)]
pub(super) struct ReconcileArgs {
    /// The provider's usage export, CSV with a header.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Which of `[reconcile.NAME]` says how it reads; needed if there are several.
    #[arg(long, value_name = "NAME")]
    mapping: Option<String>,
    /// Up to how many per cent quantities and money may differ.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    tolerance: f64,
    /// Print what is the same as well.
    #[arg(long)]
    all: bool,
    /// The configuration, TOML. Variables that start with VOXRELAY_ go over it, and DATABASE_URL names the database.
    #[arg(long, value_name = "FILE", env = "VOXRELAY_CONFIG")]
    config: Option<PathBuf>,
}

fn percent(given: &str) -> Result<f64, String> {
    let percent = given.parse().ok().filter(|percent: &f64| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "give a number from 0 to 100".to_owned())
}

/// Compares, prints, and fails if there is a difference.
pub(super) async fn run(args: ReconcileArgs) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(2, &error),
    };
    let mapping = match mapping(&config, args.mapping.as_deref()) {
        Ok(mapping) => mapping.clone(),
        Err(error) => return failed(2, &error),
    };
    let prices = match faults::price_table(&config) {
        Ok(prices) => prices,
        Err(error) => return failed(2, &error),
    };
    let provider = mapping.provider.clone();
    let wrong = |error: String| format!("{}: {error}", args.file.display());
    let comparison = File::open(&args.file)
        .map_err(|error| error.to_string())
        .and_then(|file| Comparison::read(mapping, file).map_err(|error| error.to_string()));
    let mut comparison = match comparison {
        Ok(comparison) => comparison,
        Err(error) => return failed(1, &wrong(error)),
    };
    let store = match store(&config).await {
        Ok(store) => store,
        Err(error) => return failed(1, &error),
    };
    let read = add_records(&store, &provider, &prices, &mut comparison).await;
    Store::close(&store).await;
    if let Err(error) = read {
        return failed(1, &error);
    }
    let (lines, is_same) = shown(&comparison, args.tolerance, args.all);
    match answer(&lines.join("\n")) {
        Ok(()) if is_same => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => unwritten(&error),
    }
}

/// The mapping of this name, or the only one.
fn mapping<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c Mapping, String> {
    let names = || config.reconcile.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => config.reconcile.get(name).ok_or_else(|| {
            format!("configuration: there is no [reconcile.{name}]; there are: {}", names())
        }),
        None if config.reconcile.len() > 1 => Err(format!("say with --mapping which of these it is: {}", names())),
        None => config.reconcile.values().next().ok_or_else(|| {
            "configuration: a section [reconcile.NAME] has to say how the file reads; examples/reconcile has some".to_owned()
        }),
    }
}

/// Adds what the records have of the provider, from the first day of the export to its last one.
async fn add_records(
    store: &SqlStore,
    provider: &str,
    prices: &PriceTable,
    comparison: &mut Comparison,
) -> Result<(), Box<dyn Error>> {
    add_ledger(store, provider, comparison).await?;
    add_erased(store, provider, prices, comparison).await?;
    take_out_what_was_given_back(store, provider, prices, comparison).await
}

/// Adds the rows of the ledger from the first day of the export to its last one, and those of its requests that were settled before or after.
async fn add_ledger(
    store: &SqlStore,
    provider: &str,
    comparison: &mut Comparison,
) -> Result<(), Box<dyn Error>> {
    let (first, last) = comparison.ledger_days();
    let next = last.checked_add(1.day()).ok().and_then(midnight);
    let (Some(from), Some(to)) = (midnight(first), next) else {
        return Err("no calendar goes so far".into());
    };
    each_row(
        async |after| store.billed(provider, (from, to), after.as_ref(), PAGE_MAX).await,
        |billed: Billed| Ok(comparison.add(&billed.day, billed.at_ms, &billed.row)?),
    )
    .await
}

/// Adds what users had used who are erased since, from the first day of the export to its last one.
async fn add_erased(
    store: &SqlStore,
    provider: &str,
    prices: &PriceTable,
    comparison: &mut Comparison,
) -> Result<(), Box<dyn Error>> {
    let (first, last) = comparison.days();
    let (first, last) = (first.to_string(), last.to_string());
    each_row(
        async |after| store.billed_to_erased(provider, (&first, &last), after.as_ref(), PAGE_MAX).await,
        |used: ErasedUse| Ok(comparison.add_erased(&used, prices)?),
    )
    .await
}

/// Takes out what users have back, since the provider has said afterwards that it bills less.
async fn take_out_what_was_given_back(
    store: &SqlStore,
    provider: &str,
    prices: &PriceTable,
    comparison: &mut Comparison,
) -> Result<(), Box<dyn Error>> {
    let (first, last) = comparison.days();
    let (first, last) = (first.to_string(), last.to_string());
    each_row(
        async |after| store.given_back((&first, &last), after.as_ref(), PAGE_MAX).await,
        |given: GivenBack| {
            if given.item.split('/').next() == Some(provider) {
                comparison.take_out(&given, prices)?;
            }
            Ok(())
        },
    )
    .await
}

/// What came of it in lines, and whether both sides say the same.
fn shown(comparison: &Comparison, tolerance: f64, is_all: bool) -> (Vec<String>, bool) {
    let mut rows = vec![HEAD.map(str::to_owned)];
    let mut counts = [0_u64; 5];
    let (mut theirs, mut ours, mut borne): (Option<i128>, i128, i128) = (None, 0, 0);
    for (group, compared) in comparison.groups() {
        let verdict = compared.verdict(tolerance);
        counts[verdict as usize] += 1;
        if let Some(nano) = compared.theirs_nano_usd {
            theirs = Some(theirs.unwrap_or(0) + nano);
        }
        (ours, borne) = (ours + compared.ours_nano_usd, borne + compared.borne_nano_usd);
        if is_all || verdict != Verdict::Same {
            rows.extend(lines_of(group, compared, verdict));
        }
    }
    let [same, differ, only_export, only_ledger, not_compared] = counts;
    let (first, last) = comparison.days();
    let mut lines = if rows.len() > 1 { table(&rows, 3) } else { Vec::new() };
    let mut sums = format!(
        "{first} to {last}: {same} the same, {differ} differ, {only_export} only in the export, {only_ledger} only in the ledger"
    );
    if not_compared > 0 {
        sums.push_str(&format!(", {not_compared} not compared"));
    }
    lines.push(sums);
    let theirs = theirs.map_or_else(|| "not said".to_owned(), dollars);
    lines.push(format!("cost by the export: {theirs}; by the ledger's prices: {}", dollars(ours)));
    lines.push(format!("of that, what no user pays and the operator bears: {}", dollars(borne)));
    (lines, differ + only_export + only_ledger == 0)
}

const HEAD: [&str; 8] =
    ["what", "unit", "verdict", "export", "ledger", "of it borne", "export USD", "ledger USD"];

/// A line for each unit of a group; the money is of all of them, and stands in the first one.
fn lines_of(group: &Group, compared: &Compared, verdict: Verdict) -> Vec<[String; 8]> {
    let what = [&group.day, &group.item, &group.request_id].map(|part| plain(part)).join(" ");
    let what =
        if what.trim().is_empty() { "(rows without an id)".to_owned() } else { what.trim().to_owned() };
    let word = match verdict {
        Verdict::Same => "same",
        Verdict::Differs => "differs",
        Verdict::OnlyExport => "only export",
        Verdict::OnlyLedger => "only ledger",
        Verdict::NotCompared => "not compared",
    };
    let quantity =
        |quantity: f64| format!("{quantity:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let units = compared.units.iter().enumerate().map(|(at, (unit, amounts))| {
        let is_first = at == 0;
        let money = |nano: Option<i128>| nano.filter(|_| is_first).map(dollars).unwrap_or_default();
        [
            what.clone(),
            unit.to_string(),
            word.to_owned(),
            quantity(amounts.theirs),
            quantity(amounts.ours),
            quantity(amounts.borne),
            money(compared.theirs_nano_usd),
            money(Some(compared.ours_nano_usd)),
        ]
    });
    units.collect()
}
