//! What an operator has configured reaches the agent and its providers: each value is another one, so that none can stand in for a neighbour.

use std::time::Duration;

use super::*;
use crate::agent::tool::Runs;
use crate::agent::{Patience, Variable};
use crate::provider::{Deadlines, Provider, Skills};

const TOML: &str = r#"
[agents.host]
stt = ["ears", "other_ears"]
llm = ["mind", "other_mind"]
llm_near_cap = ["cheap"]
tts = ["mouth", "other_mouth"]
instructions = "These are the instructions."
greeting = "This is the greeting."
variables = ["plan=none", "town"]
page_variables = ["town"]
quiet_seconds = 31
quiet_question = "This is the question."
quiet_goodbye = "This is the goodbye of quiet."
longest_turn_seconds = 32
limit_goodbye = "This is the goodbye of the limit."
max_output_tokens = 33
interruption_ms = 340
resume_ms = 350
interruptible_greeting = false
uninterruptible_seconds = 36
memory_tokens = 3_700
max_tool_steps = 8
tool_filler = "This is the filler."
tools = ["book"]

[tools.book]
description = "It books."
timeout_seconds = 39
max_result_bytes = 400

[tools.cancel]
description = "No agent has it."

[providers.ears]
kind = "deepgram-flux"
model = "flux-general-multi"
language = "de"
key_terms = ["Voxrelay"]
eager = true
connect_timeout_seconds = 41
timeout_seconds = 42
silence_timeout_seconds = 43
whole_timeout_seconds = 44
max_concurrent = 45

[providers.other_ears]
kind = "deepgram"
model = "nova-3"
language = "en"

[providers.mind]
kind = "anthropic"
model = "claude-opus-5-5"
connect_timeout_seconds = 51
timeout_seconds = 52
silence_timeout_seconds = 53
whole_timeout_seconds = 54
max_concurrent = 55

[providers.other_mind]
kind = "openai-chat"
model = "deepseek-r1"
price = "anthropic/claude-sonnet-5-5"
thinks_first = true

[providers.cheap]
kind = "anthropic"
model = "claude-haiku-5-5"

[providers.mouth]
kind = "deepgram-aura"
model = "aura-2-thalia-en"
price = "deepgram/aura-2"

[providers.other_mouth]
kind = "elevenlabs"
model = "eleven_flash_v2_5"
voice = "Rachel"
"#;

/// 2026-11-28, from when each item above has a price.
const TODAY_MS: i64 = 1_795_824_000_000;

fn parts() -> Parts {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), TOML).expect("written");
    let config = Config::load(Some(file.path()), []).expect("good");
    let upstream = |provider: &Provider| {
        (provider.name.clone(), Arc::new(Upstream::new(provider.clone()).expect("a client")))
    };
    let upstreams: Upstreams = config.providers.values().map(upstream).collect();
    Parts::new(&config, &upstreams, &PriceTable::shipped(), "host", TODAY_MS).expect("a session")
}

fn host(parts: &Parts) -> &AgentConfig {
    parts.config.as_ref().expect("it is configured")
}

#[test]
fn what_an_agent_is_configured_to_be_is_what_it_is_told_to_be() {
    let parts = parts();
    let values = [("plan".to_owned(), "gold".to_owned())];
    let variable = |name: &str, default: &str, is_of_page| Variable {
        name: name.to_owned(),
        default: default.to_owned(),
        is_of_page,
    };
    let expected = Persona {
        instructions: "These are the instructions.".to_owned(),
        greeting: "This is the greeting.".to_owned(),
        max_output_tokens: 33,
        memory_tokens: 3_700,
        turn_taking: TurnTaking {
            interrupted_after: Duration::from_millis(340),
            resume_after: Duration::from_millis(350),
            interruptible_greeting: false,
            uninterruptible: Duration::from_secs(36),
            // That of the recogniser that is asked first.
            language: Some("de".to_owned()),
        },
        variables: vec![variable("plan", "none", false), variable("town", "", true)],
        values: values.to_vec(),
        patience: Patience {
            after: Duration::from_secs(31),
            question: "This is the question.".to_owned(),
            goodbye: "This is the goodbye of quiet.".to_owned(),
        },
        longest_turn: Duration::from_secs(32),
        limit_goodbye: "This is the goodbye of the limit.".to_owned(),
    };
    assert_eq!(parts.persona(host(&parts), &values), expected);
}

#[test]
fn an_agent_has_its_own_tools_and_uses_them_as_it_is_configured_to() {
    let parts = parts();
    let Toolbox { tools, max_steps, filler, prefix } = parts.toolbox(host(&parts), "call_s_0_".to_owned());
    assert_eq!((max_steps, &*filler, &*prefix), (8, "This is the filler.", "call_s_0_"));
    let [book] = &tools[..] else { panic!("{tools:?}") };
    assert_eq!((&*book.name, &*book.description, book.runs), ("book", "It books.", Runs::Page));
    assert_eq!((book.deadline, book.max_result_bytes), (Duration::from_secs(39), 400));
}

#[test]
fn an_agent_asks_each_of_its_providers_for_what_it_is_there_for_in_the_order_of_the_configuration() {
    let parts = parts();
    let team = parts.team();
    let name = |place: usize| parts.providers[place].provider().name.as_str();
    let names = |places: &[usize]| places.iter().map(|place| name(*place)).collect::<Vec<_>>();
    let skilled = |team: &[(usize, Skills)]| names(&team.iter().map(|(place, _)| *place).collect::<Vec<_>>());
    assert_eq!(skilled(&team.recognisers), ["ears", "other_ears"]);
    assert_eq!(names(&team.models), ["mind", "other_mind"]);
    assert_eq!(names(&team.near_cap), ["cheap"]);
    assert_eq!(skilled(&team.voices), ["mouth", "other_mouth"]);
    let items: Vec<&str> = parts.prices.iter().map(ItemPrice::item).collect();
    let of_mind = ["anthropic/claude-opus-5-5", "anthropic/claude-sonnet-5-5", "anthropic/claude-haiku-5-5"];
    assert_eq!(items[2..5], of_mind, "a place has its own provider's price");
    assert_eq!(&*parts.listening.item, "deepgram/flux-general-multi", "that of who hears first");
}

#[test]
fn a_provider_has_the_deadlines_and_the_limit_of_its_configuration() {
    let parts = parts();
    let seconds = |connect: u64, first: u64, silence: u64, whole: u64| {
        let [connect, first, silence, whole] = [connect, first, silence, whole].map(Duration::from_secs);
        Deadlines { connect, first, silence, whole }
    };
    let ears = parts.providers[0].provider();
    assert_eq!((ears.deadlines, ears.max_concurrent), (seconds(41, 42, 43, 44), 45));
    assert_eq!((ears.eager, &ears.key_terms[..]), (true, &["Voxrelay".to_owned()][..]));
    let mind = parts.providers[2].provider();
    assert_eq!((mind.deadlines, mind.max_concurrent), (seconds(51, 52, 53, 54), 55));
    let thinks_first: Vec<&str> = parts
        .providers
        .iter()
        .map(|upstream| upstream.provider())
        .filter(|provider| provider.thinks_first)
        .map(|provider| &*provider.name)
        .collect();
    assert_eq!(thinks_first, ["other_mind"]);
    let usual = parts.providers[1].provider();
    assert_eq!((usual.deadlines, usual.max_concurrent, usual.eager), (Deadlines::default(), 0, false));
}
