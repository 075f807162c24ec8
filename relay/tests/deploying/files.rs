//! The files of `deploy/`, read into what a test can ask.

use std::path::Path;

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// The key in YAML whose value's entries are entries of the table that it stands in, unless they stand there themselves.
const MERGE: &str = "<<";

pub(crate) fn text(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
pub(crate) fn yaml(path: &str) -> Vec<Value> {
    let documents = YamlLoader::load_from_str(&text(path));
    documents.unwrap_or_else(|error| panic!("{path}: {error}")).iter().map(json).collect()
}

pub(crate) fn toml(path: &str) -> Value {
    toml::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(flag) => Value::Bool(*flag),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Real(text) | Yaml::String(text) => Value::String(text.clone()),
        Yaml::Array(items) => Value::Array(items.iter().map(json).collect()),
        Yaml::Hash(entries) => {
            let mut table = Map::new();
            for (key, value) in entries {
                let (key, value) = (key.as_str().expect("a text"), json(value));
                match value {
                    Value::Object(merged) if key == MERGE => {
                        for (key, value) in merged {
                            table.entry(key).or_insert(value);
                        }
                    }
                    value => drop(table.insert(key.to_owned(), value)),
                }
            }
            Value::Object(table)
        }
        Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?} names nothing"),
    }
}

/// The instructions of the Dockerfile, each with what follows it.
pub(crate) fn dockerfile() -> Vec<(String, String)> {
    let whole = text("deploy/Dockerfile").replace("\\\n", " ");
    let lines = whole.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{line:?}")));
    split.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

/// What the unit says of a key; nothing if it says nothing.
pub(crate) fn unit(key: &str) -> Option<String> {
    all_of_unit(key).into_iter().next()
}

/// What the unit says of a key that it may have several times.
pub(crate) fn all_of_unit(key: &str) -> Vec<String> {
    let unit = text("deploy/voxrelay.service");
    let found = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.map(str::to_owned).collect()
}

/// The documents of the example for Kubernetes of this kind.
pub(crate) fn kubernetes(kind: &str) -> Vec<Value> {
    yaml("deploy/kubernetes.yaml").into_iter().filter(|document| document["kind"] == kind).collect()
}

/// The services of `compose.yaml`.
pub(crate) fn services() -> Map<String, Value> {
    let compose = yaml("deploy/compose.yaml").remove(0);
    compose["services"].as_object().expect("services").clone()
}

/// A time as these files have it, in seconds: `30s`, `5m`, or a number.
pub(crate) fn seconds(time: &Value) -> u64 {
    let whole = |text: &str| text.parse::<u64>().ok();
    let read = match time {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match (text.strip_suffix('s'), text.strip_suffix('m')) {
            (Some(number), _) => whole(number),
            (None, Some(number)) => whole(number).map(|minutes| minutes * 60),
            (None, None) => whole(text),
        },
        _ => None,
    };
    read.unwrap_or_else(|| panic!("{time} is no time"))
}

/// The texts of a list.
pub(crate) fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    list.iter().map(|word| word.as_str().expect("a text").to_owned()).collect()
}
