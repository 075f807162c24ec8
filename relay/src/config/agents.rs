//! `[agents.NAME]` and `[providers.NAME]`: whom a call may talk to, and whom that one asks.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;

use super::values::{Values, quote};
use super::{ConfigError, Place, ToolConfig};
use crate::agent::{Patience, TurnTaking, Variable};
use crate::provider::{Deadlines, Kind, Provider, Service};

/// The agent that is always there.
pub const ECHO: &str = "echo";
/// How many variables an agent may have.
const VARIABLES_MAX: usize = 32;
/// The longest name of an agent, a provider or a variable.
const NAME_MAX_CHARS: usize = 64;

/// An agent as an operator has configured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// What it does.
    pub kind: AgentKind,
    /// What its model is told before everything else; may be empty.
    pub instructions: String,
    /// What it says when a conversation begins; may be empty.
    pub greeting: String,
    /// The longest answer, in tokens.
    pub max_output_tokens: u32,
    /// How much of the conversation its model is told, in tokens.
    pub memory_tokens: u32,
    /// The names of the tools that its model may call.
    pub tools: Vec<String>,
    /// How often in one turn the model may call tools until it has to answer in words.
    pub max_tool_steps: u32,
    /// What it says when nothing was heard for a second while a tool runs; may be empty.
    pub tool_filler: String,
    /// How it takes turns with the user; the language is its recogniser's.
    pub turn_taking: TurnTaking,
    /// The names that stand in braces in its instructions and its greeting.
    pub variables: Vec<Variable>,
    /// What it does when nobody says anything.
    pub patience: Patience,
    /// A user who talks for so long without an end is answered all the same. Zero lets everybody talk on.
    pub longest_turn: Duration,
    /// What it says when a call has to end because its money or its time is used up; may be empty.
    pub limit_goodbye: String,
}

/// What an agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentKind {
    /// Says back what it hears.
    Echo,
    /// Holds a conversation with the help of providers, by their names, each list in the order in which they are asked.
    Chat {
        /// Recognisers; without one the agent reads what is typed.
        stt: Vec<String>,
        /// Language models; at least one.
        llm: Vec<String>,
        /// Language models that are asked before those when money is scarce.
        llm_near_cap: Vec<String>,
        /// Voices; without one the agent answers in text.
        tts: Vec<String>,
    },
}

pub(super) fn providers(values: &Values) -> Result<BTreeMap<String, Provider>, ConfigError> {
    let names: Vec<&str> = values.names("providers").collect();
    names.into_iter().map(|name| Ok((good_name("providers", name)?, provider(values, name)?))).collect()
}

fn provider(values: &Values, name: &str) -> Result<Provider, ConfigError> {
    let values = values.of("providers", name);
    let word = values.one_of("providers.*.kind")?;
    let kind = Kind::named(word).expect("the words of the table are those of the registry");
    let model = values.text("providers.*.model")?;
    let model = model.ok_or_else(|| {
        values.wrong("providers.*.model", "nothing", "give the name of the model, as the provider has it")
    })?;
    let voice = values.text("providers.*.voice")?;
    if kind.needs_voice && voice.is_none() {
        let accepted = format!("give the name of a voice, as the provider has it: {word} has no default");
        return Err(values.wrong("providers.*.voice", "nothing", accepted));
    }
    let (base_url, language) = (base_url(&values, kind)?, language(&values)?);
    Ok(Provider {
        name: name.to_owned(),
        kind,
        base_url,
        key: values.hidden("providers.*.key")?,
        price: values.text("providers.*.price")?,
        model,
        voice,
        language,
        key_terms: values.list("providers.*.key_terms")?,
        eager: eager(&values, kind)?,
        thinks_first: thinks_first(&values, kind)?,
        deadlines: deadlines(&values)?,
        max_concurrent: values.whole("providers.*.max_concurrent")?,
    })
}

fn eager(values: &Values, kind: &Kind) -> Result<bool, ConfigError> {
    const KEY: &str = "providers.*.eager";
    let is_eager = values.flag(KEY)?;
    if is_eager && kind.name != "deepgram-flux" {
        return Err(values.wrong(KEY, "true", "only `deepgram-flux` says when a turn may be over"));
    }
    Ok(is_eager)
}

fn thinks_first(values: &Values, kind: &Kind) -> Result<bool, ConfigError> {
    const KEY: &str = "providers.*.thinks_first";
    let thinks_first = values.flag(KEY)?;
    if thinks_first && kind.name != "openai-chat" {
        return Err(values.wrong(KEY, "true", "only `openai-chat` answers with thoughts in its text"));
    }
    Ok(thinks_first)
}

fn deadlines(values: &Values) -> Result<Deadlines, ConfigError> {
    let seconds = |key| values.whole(key).map(|seconds| Duration::from_secs(seconds.into()));
    Ok(Deadlines {
        connect: seconds("providers.*.connect_timeout_seconds")?,
        first: seconds("providers.*.timeout_seconds")?,
        silence: seconds("providers.*.silence_timeout_seconds")?,
        whole: seconds("providers.*.whole_timeout_seconds")?,
    })
}

/// A tag by its shape (RFC 5646): which languages there are is the provider's to say.
fn language(values: &Values) -> Result<Option<String>, ConfigError> {
    const KEY: &str = "providers.*.language";
    let Some(tag) = values.text(KEY)? else { return Ok(None) };
    let is_part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if tag.split('-').all(is_part) {
        return Ok(Some(tag));
    }
    Err(values.wrong(KEY, quote(&tag), "give a language tag such as `en`, `de-CH` or `multi`"))
}

fn base_url(values: &Values, kind: &Kind) -> Result<Url, ConfigError> {
    const KEY: &str = "providers.*.url";
    let given = values.text(KEY)?.unwrap_or_else(|| kind.default_url.to_owned());
    // What a path is joined to ends with a slash.
    let slashed = if given.ends_with('/') { given.clone() } else { format!("{given}/") };
    let bare = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    Url::parse(&slashed).ok().filter(bare).ok_or_else(|| {
        let accepted = "give http:// or https://, without a query and without a password, up to the version: https://api.openai.com/v1";
        values.wrong(KEY, quote(&given), accepted)
    })
}

pub(super) fn agents(
    values: &Values,
    providers: &BTreeMap<String, Provider>,
    tools: &BTreeMap<String, ToolConfig>,
) -> Result<BTreeMap<String, AgentConfig>, ConfigError> {
    let names: Vec<&str> = values.names("agents").collect();
    names
        .into_iter()
        .map(|name| Ok((good_name("agents", name)?, agent(&values.of("agents", name), providers, tools)?)))
        .collect()
}

fn agent(
    values: &Values,
    providers: &BTreeMap<String, Provider>,
    tools: &BTreeMap<String, ToolConfig>,
) -> Result<AgentConfig, ConfigError> {
    let kind = match values.one_of("agents.*.kind")? {
        "echo" => AgentKind::Echo,
        _ => AgentKind::Chat {
            stt: team(values, "agents.*.stt", providers, Service::SpeechToText, false)?,
            tts: team(values, "agents.*.tts", providers, Service::TextToSpeech, false)?,
            llm_near_cap: team(values, "agents.*.llm_near_cap", providers, Service::LanguageModel, false)?,
            llm: team(values, "agents.*.llm", providers, Service::LanguageModel, true)?,
        },
    };
    Ok(AgentConfig {
        kind,
        instructions: values.text("agents.*.instructions")?.unwrap_or_default(),
        greeting: values.text("agents.*.greeting")?.unwrap_or_default(),
        max_output_tokens: values.whole("agents.*.max_output_tokens")?,
        memory_tokens: values.whole("agents.*.memory_tokens")?,
        tools: tools_of(values, tools)?,
        max_tool_steps: values.whole("agents.*.max_tool_steps")?,
        tool_filler: values.spoken("agents.*.tool_filler")?,
        turn_taking: turn_taking(values)?,
        variables: variables(values)?,
        patience: Patience {
            after: Duration::from_secs(values.whole("agents.*.quiet_seconds")?.into()),
            question: values.word("agents.*.quiet_question")?,
            goodbye: values.word("agents.*.quiet_goodbye")?,
        },
        longest_turn: Duration::from_secs(values.whole("agents.*.longest_turn_seconds")?.into()),
        limit_goodbye: values.spoken("agents.*.limit_goodbye")?,
    })
}

fn turn_taking(values: &Values) -> Result<TurnTaking, ConfigError> {
    let millis = |key| values.whole(key).map(|millis| Duration::from_millis(millis.into()));
    Ok(TurnTaking {
        interrupted_after: millis("agents.*.interruption_ms")?,
        resume_after: millis("agents.*.resume_ms")?,
        interruptible_greeting: values.flag("agents.*.interruptible_greeting")?,
        uninterruptible: Duration::from_secs(values.whole("agents.*.uninterruptible_seconds")?.into()),
        language: None,
    })
}

fn tools_of(values: &Values, tools: &BTreeMap<String, ToolConfig>) -> Result<Vec<String>, ConfigError> {
    const KEY: &str = "agents.*.tools";
    let mut names = values.list(KEY)?;
    if let Some(unknown) = names.iter().find(|name| !tools.contains_key(*name)) {
        let there: Vec<String> = tools.keys().map(quote).collect();
        let there = if there.is_empty() { "there are none".to_owned() } else { there.join(" or ") };
        let accepted = format!("give names of [tools.NAME]: {there}");
        return Err(values.wrong(KEY, quote(unknown), accepted));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The variables that an agent declares, each a name or a name with its default.
fn variables(values: &Values) -> Result<Vec<Variable>, ConfigError> {
    const KEY: &str = "agents.*.variables";
    const PAGE_KEY: &str = "agents.*.page_variables";
    let of_page = values.list(PAGE_KEY)?;
    let mut variables: Vec<Variable> = Vec::new();
    for given in values.list(KEY)? {
        let (name, default) = given.split_once('=').unwrap_or((&given, ""));
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_name = name.starts_with(is_start) && name.chars().all(is_part) && name.len() <= NAME_MAX_CHARS;
        if !is_name || variables.iter().any(|other| other.name == name) || variables.len() == VARIABLES_MAX {
            let accepted = format!(
                "give up to {VARIABLES_MAX} names of letters, digits and underscores, each once and with a default or without: `name=there`"
            );
            return Err(values.wrong(KEY, quote(&given), accepted));
        }
        let is_of_page = of_page.iter().any(|of_page| of_page == name);
        variables.push(Variable { name: name.to_owned(), default: default.to_owned(), is_of_page });
    }
    match of_page.iter().find(|name| variables.iter().all(|variable| variable.name != **name)) {
        None => Ok(variables),
        Some(name) => {
            Err(values.wrong(PAGE_KEY, quote(name), "give names that are among the agent's variables"))
        }
    }
}

/// The names of providers that have this to give.
fn team(
    values: &Values,
    key: &'static str,
    providers: &BTreeMap<String, Provider>,
    service: Service,
    is_needed: bool,
) -> Result<Vec<String>, ConfigError> {
    let names = values.list(key)?;
    let good = |provider: &Provider| provider.kind.service == service;
    let wrong = names.iter().find(|name| !providers.get(*name).is_some_and(good));
    if wrong.is_none() && (!is_needed || !names.is_empty()) {
        return alike(values, key, names, providers, service);
    }
    let there: Vec<String> =
        providers.values().filter(|provider| good(provider)).map(|provider| quote(&provider.name)).collect();
    let there = if there.is_empty() { "there are none".to_owned() } else { there.join(" or ") };
    let accepted = format!(
        "give the name of one of [providers.NAME] that is a {}, or a list of them: {there}",
        service.name()
    );
    Err(values.wrong(key, wrong.map_or("nothing".to_owned(), quote), accepted))
}

/// Recognisers stand in for each other only where they hear alike: what one has heard of a stream is of no use to one that is asked about
/// utterances.
fn alike(
    values: &Values,
    key: &'static str,
    names: Vec<String>,
    providers: &BTreeMap<String, Provider>,
    service: Service,
) -> Result<Vec<String>, ConfigError> {
    let is_fed = |name: &String| providers.get(name).is_some_and(|provider| provider.kind.is_fed);
    let first = names.first().filter(|_| service == Service::SpeechToText);
    let Some((first, other)) =
        first.and_then(|first| Some((first, names.iter().find(|name| is_fed(name) != is_fed(first))?)))
    else {
        return Ok(names);
    };
    let (fed, asked) = if is_fed(first) { (first, other) } else { (other, first) };
    let accepted = format!(
        "give recognisers that hear alike: {} hears all of a call and {} one utterance at a time, so neither can stand in for the other",
        quote(fed),
        quote(asked)
    );
    Err(values.wrong(key, quote(other), accepted))
}

pub(super) fn default(values: &Values) -> Result<String, ConfigError> {
    const KEY: &str = "agents.default";
    let name = values.word(KEY)?;
    if name == ECHO || values.names("agents").any(|there| there == name) {
        return Ok(name);
    }
    let there: Vec<String> = [ECHO].into_iter().chain(values.names("agents")).map(quote).collect();
    Err(values.wrong(KEY, quote(&name), format!("give {}", there.join(" or "))))
}

/// Names stand in URLs, logs, tables and messages.
fn good_name(section: &str, name: &str) -> Result<String, ConfigError> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.chars().count() > NAME_MAX_CHARS || !name.chars().all(is_good) {
        let accepted =
            format!("give a name of 1 to {NAME_MAX_CHARS} letters, digits, hyphens, underscores and points");
        let (key, place) = (section.to_owned(), Place::default());
        return Err(ConfigError::Value { key, place, given: quote(name), accepted });
    }
    Ok(name.to_owned())
}
