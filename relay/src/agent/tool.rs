//! A tool that an agent's model may call: how it is declared, and a call of it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use jsonschema::Validator;
use serde_json::Value;

use crate::provider;

/// How many faults of a call's arguments the model is told of.
const FAULTS_MAX: usize = 3;
/// The longest description of such a fault, in characters: it may quote what the model wrote.
const FAULT_MAX_CHARS: usize = 200;

/// A tool as an operator has declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The name by which the model calls it.
    pub name: String,
    /// What it does and when to call it, for the model.
    pub description: String,
    /// What its arguments have to be.
    pub parameters: Schema,
    /// Where it is run.
    pub runs: Runs,
    /// How long the model waits for what comes of a call.
    pub deadline: Duration,
    /// The longest output of a call, in bytes. A longer one is an error.
    pub max_result_bytes: usize,
}

/// Where a tool is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// By the page of the user.
    Page,
    /// By the operator's backend, which is asked by a webhook.
    Webhook,
}

impl Runs {
    /// The word in the configuration and in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Runs::Page => "page",
            Runs::Webhook => "webhook",
        }
    }
}

/// The tools of an agent, and how it uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolbox {
    /// The tools; there may be none.
    pub tools: Vec<Tool>,
    /// How often the model may call tools until it has to answer the user in words.
    pub max_steps: u32,
    /// What the agent says when nothing else is heard while a tool runs; may be empty.
    pub filler: String,
    /// What the names of calls begin with: another text for each session and epoch, so that no two calls have one name.
    pub prefix: String,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The relay's name for it: another one each time.
    pub call_id: String,
    /// The model's name for it, which it may use more than once.
    pub model_id: String,
    /// The tool.
    pub name: String,
    /// The arguments: JSON text, as the model wrote it.
    pub arguments: String,
    /// Where the tool is run.
    pub runs: Runs,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// What the tool gave, or what went wrong.
    pub output: String,
    /// Whether it failed.
    pub is_error: bool,
}

impl ToolOutput {
    /// What went wrong, in words for the model.
    #[must_use]
    pub fn error(why: impl Into<String>) -> ToolOutput {
        ToolOutput { output: why.into(), is_error: true }
    }
}

/// A call as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCall {
    /// The call.
    pub called: Called,
    /// The number of the turn before which it stands in the conversation.
    pub turn: u32,
    /// What came of it, once that is known.
    pub output: Option<ToolOutput>,
}

/// Something about a call that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolNote {
    /// A tool is about to be called.
    Called {
        /// The call.
        called: Called,
        /// The number of the turn before which it stands in the conversation.
        turn: u32,
    },
    /// This has come of a call.
    Output {
        /// The call.
        call_id: String,
        /// What has come of it.
        output: ToolOutput,
    },
}

/// The JSON Schema of a tool's arguments.
#[derive(Clone, Debug)]
pub struct Schema {
    text: String,
    validator: Arc<Validator>,
}

impl Schema {
    /// Reads a schema of an object. Without `$schema` it is one of draft 2020-12, and it refers to nothing outside itself.
    ///
    /// # Errors
    /// When it is no such schema, in words.
    pub fn parse(text: &str) -> Result<Schema, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !schema.is_object() || schema.get("type").is_some_and(|kind| kind != "object") {
            return Err("it describes no object".to_owned());
        }
        let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
        Ok(Schema { text: schema.to_string(), validator: Arc::new(validator) })
    }

    /// The schema as JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Checks the arguments of a call: JSON text, as a model wrote it.
    ///
    /// # Errors
    /// What is wrong with them, in words for the model.
    pub fn check(&self, arguments: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(arguments)
            .map_err(|error| format!("The arguments are not JSON: {error}. Call the tool again."))?;
        if !value.is_object() {
            return Err("The arguments are no JSON object. Call the tool again.".to_owned());
        }
        let mut faults = String::new();
        for fault in self.validator.iter_errors(&value).take(FAULTS_MAX) {
            let words: String = fault.to_string().chars().take(FAULT_MAX_CHARS).collect();
            let place = fault.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!(" (at {place})") };
            write!(faults, " {words}{place}.").expect("a string takes everything");
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(format!("The arguments do not fit the tool's parameters.{faults} Call the tool again."))
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        self.text == other.text
    }
}

impl Eq for Schema {}

impl Tool {
    /// The tool as a model is told of it.
    #[must_use]
    pub fn offer(&self) -> provider::Tool {
        provider::Tool {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.parameters.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = r#"{"type":"object","properties":{"at":{"type":"string"},"people":{"type":"integer","minimum":1}},
        "required":["at"],"additionalProperties":false}"#;

    #[test]
    fn arguments_that_do_not_fit_are_refused_with_the_reason_and_the_place() {
        let schema = Schema::parse(TABLES).expect("a schema");
        assert_eq!(schema.check(r#"{"at":"20:00","people":2}"#), Ok(()));
        for (arguments, said) in [
            ("", "not JSON"),
            ("{\"at\":", "not JSON"),
            ("[]", "no JSON object"),
            ("{}", "\"at\" is a required property"),
            (r#"{"at":"20:00","people":0}"#, "(at /people)"),
            (r#"{"at":"20:00","pets":1}"#, "pets"),
        ] {
            let why = schema.check(arguments).expect_err(arguments);
            assert!(why.contains(said), "{arguments}: {why}");
        }
        let long = format!(r#"{{"at":{}}}"#, "7".repeat(100_000));
        assert!(schema.check(&long).is_err_and(|why| why.len() < 1_000), "it is not quoted at length");
    }

    #[test]
    fn what_is_no_schema_of_an_object_is_refused() {
        for text in ["", "7", "[]", r#"{"type":"string"}"#, r#"{"type":"object","required":7}"#] {
            assert!(Schema::parse(text).is_err(), "{text}");
        }
        let elsewhere = r#"{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:9/a.json"}}}"#;
        assert!(Schema::parse(elsewhere).is_err(), "nothing is fetched");
        assert!(Schema::parse("{}").is_ok_and(|any| any.check("{\"a\":1}").is_ok()));
        assert_eq!(Schema::parse(" {} "), Schema::parse("{}"));
        assert_ne!(Schema::parse(TABLES), Schema::parse("{}"));
    }
}
