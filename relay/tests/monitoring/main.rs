//! The dashboard and the alerts of `deploy/`: they read metrics that there are, as what they are, and the runbook has a chapter for each alert.
//! A test of the whole relay holds the table of metrics to what is served.

mod failing;
mod hanging;
mod promql;
mod rules;

use std::collections::BTreeSet;
use std::path::Path;

use promql::{Expression, Series};
use protocol::{CloseCode, ErrorCode};
use relay::operations::telemetry::{Kind, METRICS, Metric};
use relay::provider::FailureKind;
use relay::records::store::IncidentKind;
use serde_json::Value;

/// Labels that Prometheus gives to whatever it reads.
const GIVEN: [&str; 2] = ["instance", "job"];
/// Labels whose values are names: those that Prometheus gives, and what is called so in a configuration or in the program.
const NAMES: [&str; 6] = ["instance", "job", "operation", "provider", "route", "version"];
/// The classes of the status of an answer.
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Words that look like the name of a metric, and are roles.
const ROLES: [&str; 2] = ["voxrelay_admin", "voxrelay_reader"];
/// What Prometheus itself says of a relay.
const UP: &str = "up";
/// Functions of what only grows.
const OF_COUNTERS: [&str; 2] = ["rate", "increase"];
/// Functions of what goes up and down, over a time.
const OF_GAUGES: [&str; 2] = ["delta", "predict_linear"];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metric of a series. A histogram has three of them.
fn metric_of(series: &str) -> Option<&'static Metric> {
    let named = |name: &str, is_histogram: bool| {
        METRICS.iter().find(|metric| metric.name == name && (metric.kind == Kind::Histogram) == is_histogram)
    };
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
    of_histogram.and_then(|name| named(name, true)).or_else(|| named(series, false))
}

/// Labels that a series has, and whether it only grows.
fn known(series: &Series) -> Result<(Vec<&'static str>, bool), String> {
    if series.name == UP {
        return Ok((GIVEN.to_vec(), false));
    }
    let metric = metric_of(&series.name).ok_or_else(|| format!("there is no {}", series.name))?;
    let le = series.name.ends_with("_bucket").then_some("le");
    let labels = metric.labels.iter().copied().chain(GIVEN).chain(le).collect();
    Ok((labels, metric.kind != Kind::Gauge))
}

/// Whether every word that a label of a series is compared with is one that the relay says: one of its codes, or of those that the meaning of the
/// metric lists. Names that others give may be any.
fn are_words(series: &str, label: &str, value: &str) -> bool {
    let meaning = metric_of(series).map_or("", |metric| metric.meaning);
    let is_word = |word: &str| match label {
        "code" => ErrorCode::ALL.iter().any(|code| code.name() == word),
        "reason" => CloseCode::ALL.iter().any(|code| code.name() == word),
        "status" => STATUSES.contains(&word),
        _ => meaning.contains(&format!("`{word}`")),
    };
    NAMES.contains(&label) || value.split('|').all(is_word)
}

/// Checks an expression, and returns the names of the metrics that it reads and the labels that its result may have.
fn check(text: &str) -> Result<(BTreeSet<&'static str>, Vec<String>), String> {
    let Expression { series, grouped } = Expression::parse(text)?;
    let mut shown = grouped.clone();
    for one in &series {
        let (labels, only_grows) = known(one)?;
        let name = &one.name;
        let is_label = |label: &String| labels.contains(&label.as_str());
        for (label, value) in &one.labels {
            if !is_label(label) || !are_words(name, label, value) {
                return Err(format!("{name} has no {label} {value}"));
            }
        }
        if let Some(label) = grouped.iter().find(|label| !is_label(label)) {
            return Err(format!("{name} has no {label} to group by"));
        }
        if grouped.is_empty() {
            shown.extend(labels.iter().map(|label| (*label).to_owned()));
        }
        let innermost = one.functions.last().map_or("", String::as_str);
        let of_time = if only_grows { OF_COUNTERS } else { OF_GAUGES };
        if only_grows && !of_time.contains(&innermost) {
            return Err(format!("{name} only grows: it is read by its rate"));
        }
        if one.has_range != of_time.contains(&innermost)
            || OF_COUNTERS.iter().chain(&OF_GAUGES).any(|f| *f == innermost) && !one.has_range
        {
            return Err(format!("{name} is not read as {innermost} reads it"));
        }
        let in_quantile = one.functions.iter().any(|function| function == "histogram_quantile");
        if in_quantile != name.ends_with("_bucket") || in_quantile && !grouped.iter().any(|l| l == "le") {
            return Err(format!("{name} is not read as a histogram: by its buckets, which `le` tells apart"));
        }
    }
    let names = series.iter().filter_map(|one| metric_of(&one.name)).map(|metric| metric.name).collect();
    Ok((names, shown))
}

/// The labels that a text names in double braces, with or without `$labels.` before them.
fn named_labels(text: &str) -> Vec<String> {
    let braces = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    let words = braces.filter_map(|(inner, _)| inner.split_whitespace().next());
    let words = words.filter(|word| *word != "$value");
    words.map(|word| word.trim_start_matches("$labels.").to_owned()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/voxrelay.json")).expect("JSON")
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = dashboard["panels"].as_array().expect("panels");
    all.iter().filter(|panel| panel["type"] != "row").collect()
}

fn alerts() -> Vec<rules::Alert> {
    rules::parse(&read("deploy/prometheus/alerts.yaml"))
}

#[test]
fn the_dashboard_shows_every_metric_and_nothing_that_there_is_not() {
    let dashboard = dashboard();
    let mut shown = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty());
        for target in targets.unwrap_or_else(|| panic!("{title} shows nothing")) {
            let expression = target["expr"].as_str().expect("an expression");
            let checked = check(expression);
            let (names, labels) = checked.unwrap_or_else(|why| panic!("{title}: {why}: {expression}"));
            for label in named_labels(target["legendFormat"].as_str().expect("a legend")) {
                assert!(labels.contains(&label), "{title}: {expression} has no {label} to show");
            }
            shown.extend(names);
        }
    }
    let all: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, all);
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_takes_the_chosen_data_source() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "Grafana 11 and later");
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = &panel["title"];
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        let targets = panel["targets"].as_array().expect("targets");
        for source in targets.iter().chain([panel]).map(|one| &one["datasource"]["uid"]) {
            assert_eq!(source, "${datasource}", "{title}");
        }
        assert!(ids.insert(panel["id"].as_u64()), "{title} has the number of another panel");
        assert!(titles.insert(title.as_str()), "{title} is the name of two panels");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<&Value> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(names, ["datasource", "instance"]);
    let asked = variables[1]["query"]["query"].as_str().and_then(|query| query.strip_prefix("label_values("));
    let (series, label) = asked.and_then(|query| query.split_once(", ")).expect("values of a label");
    assert!(metric_of(series).is_some() && GIVEN.contains(&label.trim_end_matches(')')));
}

#[test]
fn every_alert_reads_metrics_that_there_are_and_says_what_is_wrong() {
    let alerts = alerts();
    assert!(alerts.len() > 10, "{} are read", alerts.len());
    for alert in &alerts {
        let (name, said) = (&alert.name, |key: &str| alert.said.get(key).map_or("", String::as_str));
        let checked = check(&alert.expression);
        let (_, labels) = checked.unwrap_or_else(|why| panic!("{name}: {why}: {}", alert.expression));
        assert!(["page", "ticket"].contains(&said("severity")), "{name}");
        for text in [said("summary"), said("description")] {
            assert!(!text.is_empty(), "{name}");
            for label in named_labels(text) {
                assert!(labels.contains(&label), "{name} has no {label} to tell");
            }
        }
    }
}

#[test]
fn the_runbook_has_a_chapter_for_each_alert_and_names_panels_that_there_are() {
    let runbook = read("docs/runbook.md");
    let chapters: BTreeSet<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(str::trim).collect();
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!((chapters, names.len()), (names.clone(), alerts.len()));
    for alert in &alerts {
        let page = "https://github.com/voxrelay/voxrelay/blob/main/docs/runbook.md";
        let wanted = format!("{page}#{}", alert.name.to_lowercase());
        assert_eq!(alert.said.get("runbook"), Some(&wanted));
    }
    let dashboard = dashboard();
    let titles: BTreeSet<&str> =
        panels(&dashboard).iter().filter_map(|panel| panel["title"].as_str()).collect();
    // Panels are in bold, and nothing else is.
    let named: Vec<&str> = runbook.split("**").skip(1).step_by(2).collect();
    assert!(named.len() >= names.len(), "each chapter says where to look");
    for panel in named {
        assert!(titles.contains(panel), "there is no panel {panel}");
    }
}

/// What the runbook says under the heading of an alert.
fn chapter<'r>(runbook: &'r str, alert: &str) -> &'r str {
    let begun = runbook.split_once(&format!("\n### {alert}\n")).expect("a chapter").1;
    begun.split("\n#").next().unwrap_or(begun)
}

#[test]
fn each_chapter_shows_what_its_alert_reads_and_says_what_the_codes_in_it_mean_and_what_to_do() {
    let (runbook, dashboard) = (read("docs/runbook.md"), dashboard());
    let shown_by = |title: &str| -> BTreeSet<&'static str> {
        let panels = panels(&dashboard);
        let panel = panels.iter().find(|panel| panel["title"] == title).expect("a panel");
        let targets = panel["targets"].as_array().expect("targets").iter();
        let expressions = targets.map(|target| target["expr"].as_str().expect("an expression"));
        expressions.flat_map(|expression| check(expression).expect("it is understood").0).collect()
    };
    for alert in &alerts() {
        let (name, said) = (&alert.name, chapter(&runbook, &alert.name));
        for step in ["- Look: ", "- Do: "] {
            assert!(said.lines().any(|line| line.starts_with(step)), "{name} has no {step}");
        }
        let shown: BTreeSet<&str> = said.split("**").skip(1).step_by(2).flat_map(shown_by).collect();
        let (read, _) = check(&alert.expression).expect("it is understood");
        assert!(read.is_subset(&shown), "{name} reads {read:?}, and its chapter shows {shown:?}");
        let expression = Expression::parse(&alert.expression).expect("it is understood");
        let compared = expression.series.iter().flat_map(|series| &series.labels);
        for (_, codes) in compared.filter(|(label, _)| ["code", "reason"].contains(&label.as_str())) {
            for code in codes.split('|') {
                assert!(said.contains(&format!("`{code}`")), "{name} does not say what to do about {code}");
            }
        }
    }
}

#[test]
fn the_runbook_says_what_to_do_about_each_way_in_which_a_provider_fails_and_each_alert_of_the_webhook() {
    let runbook = read("docs/runbook.md");
    let of_providers =
        ["VoxrelayProviderOpen", "VoxrelayProviderFails"].map(|alert| chapter(&runbook, alert)).concat();
    for kind in FailureKind::ALL {
        assert!(of_providers.contains(&format!("`{}`", kind.name())), "{}", kind.name());
    }
    let names = alerts().into_iter().map(|alert| alert.name);
    let linked: Vec<String> = names.map(|name| format!("[{name}](#{})", name.to_lowercase())).collect();
    for alert in IncidentKind::ALL.map(IncidentKind::name).into_iter().chain(["store.down"]) {
        let (_, rest) = runbook.split_once(&format!("`{alert}` ")).unwrap_or_else(|| panic!("{alert}"));
        let rest = rest.trim_start_matches("is ");
        assert!(linked.iter().any(|link| rest.starts_with(link)), "{alert} has no chapter");
    }
}

#[test]
fn no_document_and_no_alert_names_a_metric_that_there_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let folders = ["docs", "docs/decisions", "docs/migrating"].map(|folder| root.join(folder));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let pages = entries.map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let others = ["README.md", "CHANGELOG.md", "deploy/prometheus/alerts.yaml"].map(|name| root.join(name));
    let mut found = 0;
    for page in pages.chain(others) {
        let text = std::fs::read_to_string(&page).expect("it is there");
        let words = text.split(|char: char| !char.is_ascii_alphanumeric() && !"_-./".contains(char));
        for word in words.filter(|word| word.starts_with("voxrelay_")) {
            // A sentence may end with it.
            let word = word.trim_end_matches('.');
            found += 1;
            // In prose a histogram goes by its name, without what its series end with.
            let is_metric =
                [word.to_owned(), format!("{word}_bucket")].iter().any(|name| metric_of(name).is_some());
            assert!(is_metric || ROLES.contains(&word), "{}: {word}", page.display());
        }
    }
    assert!(found > 100, "{found} are read");
}

#[test]
fn what_is_wrong_with_an_expression_is_found() {
    for (expression, wrong) in [
        ("sum(voxrelay_nothing)", "there is no"),
        ("voxrelay_sessions_live{user=\"ada\"}", "has no user"),
        ("sum by (reason) (voxrelay_sessions_live)", "to group by"),
        ("rate(voxrelay_refusals_total{code=\"nonsense\"}[5m])", "has no code"),
        ("rate(voxrelay_recordings_total{outcome=\"lost\"}[5m])", "has no outcome"),
        ("voxrelay_spill_entries{place=~\"disk|cloud\"}", "has no place"),
        ("rate(voxrelay_http_requests_total{status=\"500\"}[5m])", "has no status"),
        ("voxrelay_refusals_total > 3", "only grows"),
        ("sum(voxrelay_refusals_total[5m])", "only grows"),
        ("rate(voxrelay_refusals_total)", "is not read as"),
        ("rate(voxrelay_sessions_live[5m])", "is not read as"),
        ("delta(voxrelay_spill_entries)", "is not read as"),
        ("voxrelay_sessions_live[5m]", "is not read as"),
        ("sum by (le) (rate(voxrelay_store_seconds_sum[5m]))", "to group by"),
        ("histogram_quantile(0.9, rate(voxrelay_store_seconds_sum[5m]))", "as a histogram"),
        ("histogram_quantile(0.9, sum(rate(voxrelay_store_seconds_bucket[5m])))", "as a histogram"),
        ("rate(voxrelay_store_seconds_bucket[5m])", "as a histogram"),
        ("rate(voxrelay_store_seconds[5m])", "there is no"),
        ("rates(voxrelay_refusals_total[5m])", "no function"),
        ("sum(voxrelay_sessions_live", "not closed"),
        ("voxrelay_sessions_live)", "not opened"),
        ("up{job=\"voxrelay} == 0", "missing"),
        ("up{job=} == 0", "no text"),
        ("up @ 3", "not known"),
    ] {
        let found = check(expression).expect_err(expression);
        assert!(found.contains(wrong), "{expression}: {found}");
    }
    let good = "sum by (le) (rate(voxrelay_store_seconds_bucket{operation=\"settle\"}[5m]))";
    let (names, labels) = check(&format!("histogram_quantile(0.9, {good}) > 1e3")).expect("good");
    assert_eq!((names, labels), (BTreeSet::from(["voxrelay_store_seconds"]), vec!["le".to_owned()]));
    assert_eq!(named_labels("{{ $labels.a }} is {{ $value | humanize }} of {{b}}"), ["a", "b"]);
}
