//! What was given, key by key, and the readers for each kind of value.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

use config::{Environment, File, FileFormat, Map, Source, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::error::unreadable;
use super::keys::{self, Accepts, Key};
use super::{ConfigError, Place, Secret};
use crate::money::NanoUsd;

/// RFC 7518, 3.2: a key as long as the hash, at least.
const SECRET_MIN_BYTES: usize = 32;
/// How many secrets one key may have: while one takes the place of another there are two.
const SECRETS_MAX: usize = 4;
/// Our own variable for the database's address.
const DATABASE_URL: &str = "VOXRELAY_DATABASE_URL";
/// How the environment names itself.
const ENVIRONMENT: &str = "the environment";

/// What was given: by key, and for the sections with a table for each name by section, name and key.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    given: BTreeMap<String, Given>,
    tables: BTreeMap<&'static str, BTreeMap<String, BTreeMap<String, Given>>>,
    /// Whose table is looked at.
    name: Option<String>,
}

/// One value.
#[derive(Clone, Debug)]
struct Given {
    /// The key as the operator wrote it: a plan's value is read under the key of `[limits]`.
    key: String,
    value: Value,
    place: Place,
}

/// Where values are given.
struct Places<'a> {
    path: Option<&'a Path>,
    /// The lines of the file's keys.
    lines: HashMap<String, usize>,
    /// The variable that the database's address comes from.
    database_url: &'static str,
}

/// A value in the words of [`super::Config::explain`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: &'static str,
}

impl Values {
    /// Reads the file and then the variables, which go over it.
    pub(super) fn read(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Values, Vec<ConfigError>), ConfigError> {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let mut builder = config::Config::builder();
        if let Some(path) = path {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        let has_own = environment.iter().any(|(name, _)| name == DATABASE_URL);
        let places = Places {
            path,
            lines: path.map(lines).unwrap_or_default(),
            database_url: if has_own { DATABASE_URL } else { "DATABASE_URL" },
        };
        let environment = Environment::with_prefix("VOXRELAY")
            .prefix_separator("_")
            .separator("__")
            .source(Some(ours(environment)));
        let built = builder.add_source(environment).build().map_err(|error| match path {
            Some(path) if path.is_dir() => {
                let why = unreadable(path, &error);
                config::ConfigError::Message(format!("{}: {why}", path.display()))
            }
            _ => error,
        })?;
        Ok(Values::sort(built.collect()?, &places))
    }

    /// The values whose keys there are, and what is wrong with the others.
    fn sort(root: Map<String, Value>, places: &Places<'_>) -> (Values, Vec<ConfigError>) {
        let (mut values, mut faults) = (Values::default(), Vec::new());
        let mut root: Vec<(String, Value)> = root.into_iter().collect();
        root.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, value) in root {
            let place = places.of(&name, &value);
            if keys::find(&name).is_some() {
                values.given.insert(name.clone(), Given { key: name, value, place });
            } else if let Some((named, like)) = keys::NAMED.iter().find(|(named, _)| *named == name) {
                match table(&name, value, place) {
                    Ok(entries) => values.sort_named(named, like, entries, places, &mut faults),
                    Err(fault) => faults.push(fault),
                }
            } else if keys::sections().contains(&name.as_str()) {
                values.given.extend(section(&name, &name, value, places, &mut faults));
            } else {
                let sections = keys::sections().into_iter().filter(|section| !section.contains(keys::ANY));
                let named = keys::NAMED.iter().map(|(named, _)| *named);
                let near = keys::of_section("").chain(sections).chain(named.filter(|name| *name != "agents"));
                faults.push(unknown(&name, "", near, place));
            }
        }
        (values, faults)
    }

    /// Sorts a section with a table for each name. Beside those it may have keys of its own.
    fn sort_named(
        &mut self,
        named: &'static str,
        like: &str,
        entries: Map<String, Value>,
        places: &Places<'_>,
        faults: &mut Vec<ConfigError>,
    ) {
        let is_in_file = |name: &str| places.lines.contains_key(&format!("{named}.{name}"));
        for (name, value) in spelled(entries, is_in_file) {
            let key = format!("{named}.{name}");
            if keys::find(&key).is_some() {
                let place = places.of(&key, &value);
                self.given.insert(key.clone(), Given { key, value, place });
            } else {
                let table = section(&key, like, value, places, faults);
                self.tables.entry(named).or_default().insert(name, table);
            }
        }
    }

    /// Takes out what a fault is about, or puts in what it misses, so that the rest can be looked at. Whether there was anything to do.
    pub(super) fn repair(&mut self, fault: &ConfigError) -> bool {
        match fault {
            ConfigError::Value { key, .. } => {
                let tables = self.tables.values_mut().flat_map(BTreeMap::values_mut);
                tables.chain([&mut self.given]).fold(false, |found, given| {
                    let before = given.len();
                    given.retain(|_, value| value.key != *key);
                    found || given.len() < before
                })
            }
            ConfigError::Conflict { other, .. } => self.given.remove(*other).is_some(),
            ConfigError::Missing { key, .. } => {
                let anything = "https://anything.invalid/that-is-long-enough";
                let value = Value::new(None, ValueKind::String(anything.to_owned()));
                let given = Given { key: (*key).to_owned(), value, place: Place::default() };
                self.given.insert((*key).to_owned(), given).is_none()
            }
            _ => false,
        }
    }

    /// Where a key was given.
    pub(super) fn place(&self, key: &str) -> Place {
        self.given.get(key).map(|given| given.place.clone()).unwrap_or_default()
    }

    /// Where everything was given.
    pub(super) fn places(&self) -> BTreeMap<String, Place> {
        self.given.iter().map(|(key, given)| (key.clone(), given.place.clone())).collect()
    }

    /// The names that a section has a table for.
    pub(super) fn names(&self, section: &str) -> impl Iterator<Item = &str> {
        self.tables.get(section).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// The values with those of a name's table over them.
    pub(super) fn of(&self, section: &str, name: &str) -> Values {
        let mut values = self.clone();
        let table = self.tables.get(section).and_then(|names| names.get(name));
        values.given.extend(table.cloned().unwrap_or_default());
        values.name = Some(name.to_owned());
        values
    }

    /// Whether the operator gave it.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.given.contains_key(key)
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<bool, ConfigError> {
        match self.kind(key) {
            ValueKind::Boolean(flag) => Ok(flag),
            ValueKind::String(text) if text == "true" => Ok(true),
            ValueKind::String(text) if text == "false" => Ok(false),
            _ => Err(self.refused(key, "give true or false")),
        }
    }

    pub(super) fn whole(&self, key: &'static str) -> Result<u32, ConfigError> {
        let Accepts::Whole(from, to) = known(key).accepts else { unreachable!("{key} is no whole number") };
        let kind = self.kind(key);
        let number = match &kind {
            ValueKind::I64(number) => Some(*number),
            ValueKind::String(text) => text.parse().ok(),
            _ => None,
        };
        let number = number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (from..=to).contains(number));
        number.ok_or_else(|| self.refused(key, format!("give a whole number, {from} to {to}")))
    }

    /// Which of the words, or numbers, it is.
    pub(super) fn one_of(&self, key: &'static str) -> Result<&'static str, ConfigError> {
        let Accepts::OneOf(words) = known(key).accepts else { unreachable!("{key} has no list of words") };
        let kind = self.kind(key);
        let given = match &kind {
            ValueKind::I64(number) => number.to_string(),
            ValueKind::String(text) => text.clone(),
            _ => String::new(),
        };
        let found = words.iter().find(|word| **word == given).copied();
        found.ok_or_else(|| self.refused(key, format!("give {}", words.join(" or "))))
    }

    pub(super) fn dollars(&self, key: &'static str) -> Result<NanoUsd, ConfigError> {
        let kind = self.kind(key);
        let text = match &kind {
            ValueKind::I64(whole) => whole.to_string(),
            // Its shortest decimal form is what the operator wrote.
            ValueKind::Float(decimal) => decimal.to_string(),
            ValueKind::String(text) => text.clone(),
            _ => return Err(self.refused(key, "give an amount in US dollars such as 5 or \"0.50\"")),
        };
        NanoUsd::parse(&text).map_err(|error| self.refused(key, error))
    }

    /// The text; `None` if there is none.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        match self.kind(key) {
            ValueKind::Nil => Ok(None),
            ValueKind::String(text) if !text.trim().is_empty() => Ok(Some(text)),
            _ => Err(self.refused(key, "give a text")),
        }
    }

    /// The text of a key that has a default.
    pub(super) fn word(&self, key: &'static str) -> Result<String, ConfigError> {
        Ok(self.text(key)?.unwrap_or_else(|| known(key).default.to_owned()))
    }

    /// Words that are said, or none.
    pub(super) fn spoken(&self, key: &'static str) -> Result<String, ConfigError> {
        match self.kind(key) {
            ValueKind::Nil => Ok(String::new()),
            ValueKind::String(text) => Ok(text.trim().to_owned()),
            _ => Err(self.refused(key, "give a text")),
        }
    }

    /// Secrets long enough to sign with, in the order in which they are given; none if none is given. A variable gives several as a list in
    /// JSON: a comma may be part of a secret.
    pub(super) fn secrets(&self, key: &'static str) -> Result<Vec<Secret>, ConfigError> {
        let texts = match self.kind(key) {
            ValueKind::Nil => return Ok(Vec::new()),
            ValueKind::String(text) => serde_json::from_str(&text).unwrap_or_else(|_| vec![text]),
            ValueKind::Array(list) => {
                let text = |value: Value| match value.kind {
                    ValueKind::String(text) => text,
                    // Too short, as everything is that is no text.
                    _ => String::new(),
                };
                list.into_iter().map(text).collect()
            }
            _ => Vec::new(),
        };
        let are_long = texts.iter().all(|text| text.len() >= SECRET_MIN_BYTES);
        if !are_long || !(1..=SECRETS_MAX).contains(&texts.len()) {
            let accepted = format!(
                "give at least {SECRET_MIN_BYTES} bytes, such as `openssl rand -base64 48` makes, or a list of up to {SECRETS_MAX} such texts"
            );
            return Err(self.refused(key, accepted));
        }
        Ok(texts.into_iter().map(Secret::new).collect())
    }

    /// Somebody else's secret, however long it is.
    pub(super) fn hidden(&self, key: &'static str) -> Result<Option<Secret>, ConfigError> {
        match self.kind(key) {
            ValueKind::Nil => Ok(None),
            ValueKind::String(text) if text.trim().is_empty() => Ok(None),
            ValueKind::String(text) => Ok(Some(Secret::new(text.trim().to_owned()))),
            _ => Err(self.refused(key, "give a text")),
        }
    }

    pub(super) fn list(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let kind = self.kind(key);
        let texts = match &kind {
            ValueKind::Nil => Some(Vec::new()),
            ValueKind::String(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
            ValueKind::Array(list) => list
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::String(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        texts
            .filter(|texts: &Vec<String>| texts.iter().all(|text| !text.trim().is_empty()))
            .ok_or_else(|| self.refused(key, "give a text or a list of texts, none of them empty"))
    }

    /// An error about the value of a key, under the name that the operator used.
    fn refused(&self, key: &'static str, accepted: impl Display) -> ConfigError {
        let given = match (known(key).accepts, self.kind(key)) {
            (Accepts::Secret | Accepts::Secrets, ValueKind::String(text)) => {
                format!("[{} bytes]", text.len())
            }
            (_, kind) => say(known(key), &kind),
        };
        self.wrong(key, given, accepted)
    }

    /// An error about what was made of a value, under the name that the operator used.
    pub(super) fn wrong(
        &self,
        key: &'static str,
        given: impl Display,
        accepted: impl Display,
    ) -> ConfigError {
        let place = self.place(key);
        let key = self.given.get(key).map_or_else(|| self.named(key), |given| given.key.clone());
        ConfigError::Value { key, place, given: given.to_string(), accepted: accepted.to_string() }
    }

    /// The key with the name whose table is looked at.
    fn named(&self, key: &str) -> String {
        self.name.as_ref().map_or_else(|| key.to_owned(), |name| key.replace(keys::ANY, name))
    }

    /// What applies, in the order of the reference, and where it comes from.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let plain = keys::KEYS.iter().filter_map(|key| match (self.given.get(key.name), key.default) {
            (Some(given), _) => Some(shown(key, given)),
            (None, "") => None,
            (None, _) if key.name.contains(keys::ANY) => None,
            (None, default) => {
                let value = say(key, &ValueKind::String(default.to_owned()));
                Some(Shown { key: key.name.to_owned(), value, origin: "default" })
            }
        });
        let tables = self.tables.values().flat_map(BTreeMap::values).flatten();
        plain.chain(tables.map(|(key, given)| shown(known(key), given))).collect()
    }

    fn kind(&self, key: &'static str) -> ValueKind {
        match (self.given.get(key), known(key).default) {
            (Some(given), _) => given.value.kind.clone(),
            (None, "") => ValueKind::Nil,
            (None, default) => ValueKind::String(default.to_owned()),
        }
    }
}

/// A name of the operator's as variables have it: in capitals, with `_` for what no name of a variable has.
pub(crate) fn as_variable(name: &str) -> String {
    let spelled = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(spelled).collect()
}

/// The entries of a section with a table for each name, where what variables give is in the table of the file whose name they spell: that of a
/// variable tells neither capitals from small letters nor a hyphen from `_`. If they spell two of them, or none, it is a table of its own.
fn spelled(entries: Map<String, Value>, is_in_file: impl Fn(&str) -> bool) -> Map<String, Value> {
    let is_by_variables = |value: &Value| match &value.kind {
        ValueKind::Table(table) => {
            !table.is_empty() && table.values().all(|value| value.origin() == Some(ENVIRONMENT))
        }
        _ => false,
    };
    let (by_variables, mut tables): (Map<String, Value>, Map<String, Value>) =
        entries.into_iter().partition(|(name, value)| is_by_variables(value) && !is_in_file(name));
    for (name, value) in by_variables {
        let mut alike = tables.keys().filter(|table| as_variable(table).eq_ignore_ascii_case(&name));
        let only = alike.next().filter(|_| alike.next().is_none()).cloned();
        let place = tables.entry(only.unwrap_or(name));
        let place = place.or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
        // What is no table in the file is a fault of its own.
        if let (ValueKind::Table(table), ValueKind::Table(given)) = (&mut place.kind, value.kind) {
            table.extend(given);
        }
    }
    tables
}

/// As a TOML file would have it.
pub(super) fn quote(given: impl Display) -> String {
    format!("{:?}", given.to_string())
}

/// The variables that are configuration. Options of the command line are not, nor what Kubernetes sets in every container for
/// a service named `voxrelay`. `DATABASE_URL` is what hosts call it.
fn ours(environment: impl IntoIterator<Item = (String, String)>) -> HashMap<String, String> {
    let is_foreign = |name: &str| {
        matches!(name, "VOXRELAY_CONFIG" | "VOXRELAY_TOKEN" | "VOXRELAY_PORT")
            || name.starts_with("VOXRELAY_SERVICE_")
            || name.starts_with("VOXRELAY_PORT_")
    };
    let mut ours = HashMap::new();
    let mut database_url = None;
    for (name, value) in environment {
        if name == "DATABASE_URL" && !value.is_empty() {
            database_url = Some(value);
        } else if name.starts_with("VOXRELAY_") && !is_foreign(&name) {
            ours.insert(name, value);
        }
    }
    if let Some(url) = database_url {
        ours.entry(DATABASE_URL.to_owned()).or_insert(url);
    }
    ours
}

impl Places<'_> {
    fn of(&self, key: &str, value: &Value) -> Place {
        Place(match (value.origin(), key, self.path) {
            (Some(ENVIRONMENT), "database_url", _) => Some(self.database_url.to_owned()),
            (Some(ENVIRONMENT), _, _) => {
                // A name of the operator's may have points: it lies between the section and the key.
                let sections = match key.split_once('.') {
                    Some((named, rest)) if keys::NAMED.iter().any(|(section, _)| *section == named) => {
                        let (name, key) = rest.rsplit_once('.').unwrap_or((rest, ""));
                        vec![named, name, key]
                    }
                    _ => key.split('.').collect(),
                };
                let sections = sections.into_iter().filter(|section| !section.is_empty()).map(as_variable);
                Some(format!("VOXRELAY_{}", sections.collect::<Vec<_>>().join("__")))
            }
            (_, _, Some(path)) => Some(match self.lines.get(key) {
                Some(line) => format!("{}, line {line}", path.display()),
                None => path.display().to_string(),
            }),
            (_, _, None) => None,
        })
    }
}

/// In which line of a TOML file each of its keys is.
fn lines(path: &Path) -> HashMap<String, usize> {
    fn collect(table: &DeTable<'_>, before: &str, text: &str, lines: &mut HashMap<String, usize>) {
        for (name, value) in table {
            let key = format!("{before}{}", name.get_ref());
            let line = text.get(..name.span().start).map_or(0, |above| above.matches('\n').count()) + 1;
            if let DeValue::Table(table) = value.get_ref() {
                collect(table, &format!("{key}."), text, lines);
            }
            lines.insert(key, line);
        }
    }
    let mut found = HashMap::new();
    // What cannot be read, or is no TOML, is said by whoever reads the values.
    let Ok(text) = std::fs::read_to_string(path) else { return found };
    if let Ok(table) = DeTable::parse(&text) {
        collect(table.get_ref(), "", &text, &mut found);
    }
    found
}

/// The values of a section, under the names of the section whose keys it has.
fn section(
    name: &str,
    like: &str,
    value: Value,
    places: &Places<'_>,
    faults: &mut Vec<ConfigError>,
) -> BTreeMap<String, Given> {
    let mut section = BTreeMap::new();
    let place = places.of(name, &value);
    let mut table: Vec<(String, Value)> = match table(name, value, place) {
        Ok(table) => table.into_iter().collect(),
        Err(fault) => {
            faults.push(fault);
            return section;
        }
    };
    table.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (key, value) in table {
        let known = format!("{like}.{key}");
        let given = format!("{name}.{key}");
        let place = places.of(&given, &value);
        if keys::find(&known).is_none() {
            faults.push(unknown(&given, &known, keys::of_section(like), place));
            continue;
        }
        section.insert(known, Given { key: given, value, place });
    }
    section
}

fn table(key: &str, value: Value, place: Place) -> Result<Map<String, Value>, ConfigError> {
    match value.kind {
        ValueKind::Table(table) => Ok(table),
        other => Err(ConfigError::Value {
            key: key.to_owned(),
            place,
            given: show(&other),
            accepted: format!("give a table, such as [{key}]"),
        }),
    }
}

fn unknown(given: &str, like: &str, near: impl Iterator<Item = &'static str>, place: Place) -> ConfigError {
    let accepted = match keys::MOVED.iter().find(|(from, _)| *from == like) {
        Some((_, to)) => format!("give {to}"),
        None => format!("there are {}", near.collect::<Vec<_>>().join(", ")),
    };
    ConfigError::Unknown { key: given.to_owned(), place, accepted }
}

fn known(key: &str) -> &'static Key {
    keys::find(key).expect("only keys of the table are asked for, and a test asks for all of them")
}

fn shown(key: &Key, given: &Given) -> Shown {
    let origin = match given.value.origin() {
        Some(ENVIRONMENT) => "environment",
        _ => "file",
    };
    Shown { key: given.key.clone(), value: say(key, &given.value.kind), origin }
}

/// As a TOML file would have it; a secret not at all.
fn say(key: &Key, kind: &ValueKind) -> String {
    match (key.accepts, kind) {
        (Accepts::Secret | Accepts::Secrets, _) => "[secret]".to_owned(),
        (Accepts::Flag | Accepts::Whole(..) | Accepts::Dollars, ValueKind::String(text)) => text.clone(),
        (Accepts::OneOf(_), ValueKind::String(text)) if text.parse::<i64>().is_ok() => text.clone(),
        (_, kind) => show(kind),
    }
}

fn show(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::String(text) => quote(text),
        ValueKind::Array(list) => {
            let items: Vec<String> = list.iter().map(|item| show(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(_) => "a table".to_owned(),
        other => other.to_string(),
    }
}
