//! `[tools.NAME]`: what the models of agents may call.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::{Values, quote};
use super::webhooks::signed;
use super::{ConfigError, Place, Webhook};
use crate::agent::tool::{Runs, Schema, Tool};

/// The longest name of a tool, as providers of models take it, and of a webhook.
const NAME_MAX_CHARS: usize = 64;
/// The schema of a tool that takes any object.
const ANY_OBJECT: &str = "{\"type\":\"object\",\"properties\":{}}";

/// A tool as an operator has configured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolConfig {
    /// The tool as an agent knows it.
    pub tool: Tool,
    /// Where it is run, if not by the page.
    pub webhook: Option<Webhook>,
}

pub(super) fn tools(values: &Values) -> Result<BTreeMap<String, ToolConfig>, ConfigError> {
    let names: Vec<&str> = values.names("tools").collect();
    names
        .into_iter()
        .map(|name| Ok((good_name("tools", name)?, tool(&values.of("tools", name), name)?)))
        .collect()
}

fn tool(values: &Values, name: &str) -> Result<ToolConfig, ConfigError> {
    const DESCRIPTION: &str = "tools.*.description";
    let description = values.text(DESCRIPTION)?.ok_or_else(|| {
        let accepted = "say what the tool does and when to call it: the model knows nothing else of it";
        values.wrong(DESCRIPTION, "nothing", accepted)
    })?;
    let deadline = Duration::from_secs(values.whole("tools.*.timeout_seconds")?.into());
    let max_result_bytes = values.whole("tools.*.max_result_bytes")? as usize;
    let parameters = schema(values)?;
    let webhook = signed(values, "tools.*.url", "tools.*.secret")?;
    let runs = if webhook.is_some() { Runs::Webhook } else { Runs::Page };
    let name = name.to_owned();
    let tool = Tool { name, description, parameters, runs, deadline, max_result_bytes };
    Ok(ToolConfig { tool, webhook })
}

fn schema(values: &Values) -> Result<Schema, ConfigError> {
    const KEY: &str = "tools.*.parameters";
    let text = values.text(KEY)?.unwrap_or_else(|| ANY_OBJECT.to_owned());
    Schema::parse(&text).map_err(|why| {
        let accepted =
            format!("give a JSON Schema of an object as JSON text, which refers to nothing outside: {why}");
        values.wrong(KEY, quote(&text), accepted)
    })
}

/// Providers of models take no other names of tools, and the ids of messages have the names of webhooks in them.
pub(super) fn good_name(section: &str, name: &str) -> Result<String, ConfigError> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > NAME_MAX_CHARS || !name.chars().all(is_good) {
        let accepted =
            format!("give a name of 1 to {NAME_MAX_CHARS} letters, digits, hyphens and underscores");
        let (key, place) = (section.to_owned(), Place::default());
        return Err(ConfigError::Value { key, place, given: quote(name), accepted });
    }
    Ok(name.to_owned())
}
