//! Which agents a token is for.

use relay::Config;
use serde_json::{Value, json};

use super::support::Relay;
use super::token_with;

/// What the relay first says to whoever wants to speak with this agent, and how it closes if it refuses that.
async fn greeted(relay: &Relay, agents: &Value, agent: Option<&str>) -> (String, Option<u16>) {
    let (mut wire, _, _) = relay.call(|_| {}).await;
    let hello = json!({
        "type": "hello", "token": token_with("ada", &json!({ "agents": agents })), "client": "test",
        "codec": "pcm_s16le_16000", "start": { "seq": 0, "position": 0 }, "agent": agent,
    });
    wire.text(&hello.to_string()).await;
    let (_, answer) = wire.next().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    match answer["agent"].as_str() {
        Some(agent) => (agent.to_owned(), None),
        None => (answer["code"].as_str().unwrap_or_default().to_owned(), wire.close_code().await),
    }
}

#[tokio::test]
async fn a_token_is_for_the_agents_that_it_names_and_without_names_for_the_default_one() {
    let relay = Relay::with(|config| {
        let variables =
            ["DOCTOR", "CLERK"].map(|name| (format!("VOXRELAY_AGENTS__{name}__KIND"), "echo".to_owned()));
        let default = ("VOXRELAY_AGENTS__DEFAULT".to_owned(), "doctor".to_owned());
        let agents = Config::load(None, variables.into_iter().chain([default])).expect("good");
        config.agents = agents.agents;
        config.default_agent = agents.default_agent;
        config.limits.sessions_per_user = 100;
        config.limits.sessions_per_account = 100;
        config.limits.sessions_per_minute = 100;
    })
    .await;
    let forbidden = ("agent_forbidden".to_owned(), Some(4403));
    let speaks = |agent: &str| (agent.to_owned(), None);
    for (agents, agent, expected) in [
        (json!(null), None, speaks("doctor")),
        (json!(null), Some("doctor"), speaks("doctor")),
        (json!(null), Some("clerk"), forbidden.clone()),
        (json!(null), Some("echo"), forbidden.clone()),
        (json!("clerk"), Some("clerk"), speaks("clerk")),
        (json!("clerk"), None, forbidden.clone()),
        (json!(["clerk", "echo"]), Some("echo"), speaks("echo")),
        (json!(["clerk", "echo"]), Some("doctor"), forbidden.clone()),
        (json!([]), None, forbidden.clone()),
        (json!("*"), Some("clerk"), speaks("clerk")),
        (json!(["*"]), None, speaks("doctor")),
        (json!("*"), Some("nobody"), ("agent_unknown".to_owned(), Some(4403))),
        (json!(null), Some("nobody"), ("agent_unknown".to_owned(), Some(4403))),
    ] {
        assert_eq!(greeted(&relay, &agents, agent).await, expected, "{agents} {agent:?}");
    }
}
