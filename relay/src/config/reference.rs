//! The table of keys as documentation, and what applies as a list.

use std::fmt::Write;

use super::Config;
use super::keys::{self, Accepts, Key};
use super::values::Values;

const HEAD: &str = "\
<!-- Made by `voxrelay config --reference > docs/configuration.md`. -->
# Configuration

`voxrelay serve --config voxrelay.toml` reads a TOML file; environment variables go over it: `VOXRELAY_` and the key in capitals, with `__` between section and key, such as
`VOXRELAY_LIMITS__SESSION_USD=2.50`. A name of your own is in capitals there, too, with `_` for a hyphen or a point: `VOXRELAY_PROVIDERS__MY_GPT__KEY` is for the table of the file that is so spelled, such as `[providers.my-GPT]`, or else for `[providers.my_gpt]`. A list may be one text with commas. An unknown key or a value out of range stops the relay with the key, what was given, and what is accepted.
`voxrelay config --check --config voxrelay.toml` looks at all that `serve` looks at and says everything that is wrong at once, each with the file and the line or the variable's name. If nothing is
wrong, it prints the settings in force and where each comes from, without secrets. With `--connect` it also tries the database and its schema, the issuer's keys, the webhooks' addresses and the recordings' folder or bucket.

`voxrelay dev` needs none of it: it keeps a secret of its own in the data folder and serves the demo page.
";

const PLANS: &str = "\
A section `[plans.NAME]` has those keys of `[limits]` that differ. A caller whose token names the plan gets the plan's limits; a caller without a plan, or with one that is not configured, gets those of `[limits]`.
A plan that only variables name has small letters: `VOXRELAY_PLANS__PRO__SESSION_USD=20` is for `[plans.pro]`, and for `[plans.Pro]` where the file has that. The limits in a token make each of these tighter, never looser; an amount there is a number or a text such as `\"0.50\"`,
everything else a whole number (`4.0` is one, too). A token is refused, with the limit's name in the log, if a limit in it is smaller than the table takes it, is no whole number, or lets no chunk through (`chunk_max_bytes` below `chunk_min_bytes`).
If all chunks that a token allows are too short or too long for the limits here, chunks of the nearest length that the relay takes are allowed.
";

const FOOT: &str = "\
The prices in the binary are [relay/prices.toml](../relay/prices.toml).
";

/// The reference of all keys, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    section(&mut text, "");
    for name in keys::sections() {
        // Writing to a text does not fail.
        let _ = write!(text, "\n## `[{}]`\n", name.replace(keys::ANY, "NAME"));
        section(&mut text, name);
        if name == keys::LIMITS {
            let _ = write!(text, "\n{PLANS}");
        }
    }
    let _ = write!(text, "\n{FOOT}");
    text
}

/// What applies, a line for each key.
pub(super) fn explain(values: &Values, config: &Config) -> String {
    let mut text = String::new();
    let is_alone = config.database_url.is_none();
    let applies = |key: &str| !is_alone || !key.starts_with("drain.") || config.is_given(key);
    for shown in values.shown().into_iter().filter(|shown| applies(&shown.key)) {
        let _ = writeln!(text, "{} = {}  # {}", shown.key, shown.value, shown.origin);
    }
    // What others of them say.
    let auth = &config.auth;
    for (key, names) in [("auth.issuer", &auth.issuers), ("auth.audience", &auth.audiences)] {
        if !values.has(key) {
            let _ = writeln!(text, "{key} = {names:?}  # default");
        }
    }
    let nothing = [
        (
            "database_url",
            is_alone,
            "SQLite in data_dir; this relay is alone, and is drained only by what `drain` says",
        ),
        ("recording", config.recording.is_none(), "nothing is recorded"),
        (
            "webhook.url",
            config.webhook.is_none(),
            "alerts are in the log and in a metric, and are sent nowhere",
        ),
        ("webhooks", config.webhooks.is_empty(), "nobody is told what happens"),
        ("metrics.listen", config.metrics_listen.is_none(), "no metrics are served"),
        ("traces.endpoint", config.traces.is_none(), "no turn is traced"),
        ("sentry.dsn", config.sentry.is_none(), "faults are in the log alone"),
        ("prices.file", config.prices_file.is_none(), "the prices in the binary"),
    ];
    for (key, _, meaning) in nothing.into_iter().filter(|(_, is_default, _)| *is_default) {
        let _ = writeln!(text, "# without {key}: {meaning}");
    }
    text
}

fn section(text: &mut String, section: &str) {
    let _ = write!(text, "\n| key | default | accepted | meaning |\n|---|---|---|---|\n");
    let keys = keys::KEYS.iter().filter(|key| key.name.rsplit_once('.').map_or("", |(of, _)| of) == section);
    for key in keys {
        let name = key.name.replace(keys::ANY, "NAME");
        let _ = writeln!(text, "| `{name}` | {} | {} | {} |", default(key), accepted(key), key.meaning);
    }
}

fn default(key: &Key) -> String {
    match (key.default, key.accepts) {
        ("", _) => String::new(),
        (default, Accepts::Whole(..)) => thousands(default),
        (default, Accepts::Dollars) => default.to_owned(),
        (default, _) => format!("`{default}`"),
    }
}

fn accepted(key: &Key) -> String {
    match key.accepts {
        Accepts::Flag => "`true`, `false`".to_owned(),
        Accepts::Whole(from, to) => {
            format!("{} to {}", thousands(&from.to_string()), thousands(&to.to_string()))
        }
        Accepts::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Accepts::Dollars => "dollars, up to 9 decimals".to_owned(),
        Accepts::Text => "text".to_owned(),
        Accepts::Secret => "text, never shown".to_owned(),
        Accepts::Secrets => {
            "text, or a list of up to 4 (in JSON where it is a variable), never shown".to_owned()
        }
        Accepts::List => "list of texts".to_owned(),
    }
}

/// `100000` as `100,000`.
fn thousands(number: &str) -> String {
    let mut text = String::new();
    for (at, digit) in number.chars().enumerate() {
        if at > 0 && (number.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
