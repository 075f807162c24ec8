//! Puts a session together: prices, agent, machine, connection, recording.

use std::sync::Arc;

use audio::Hz;
use protocol::relay::{Attachment, Refusal};
use protocol::{CloseCode, ErrorCode, Hello, Prices};
use tokio::sync::mpsc;

use super::beginning::{Beginning, FEATURES, FEATURES_OF_CHAT, FEATURES_OF_TOOLS, Terms, first_money};
use super::books::Books;
use super::connection::Connection;
use super::driver::Driver;
use super::machine::Input;
use super::registry::{Coming, Commands, Handle, Whose};
use super::requests::Requests;
use super::seconds_left;
use super::tools::{Caller, Tools};
use super::work::Work;
use crate::admission::auth::Identity;
use crate::agent::tool::{StoredCall, Toolbox};
use crate::agent::{Agent, Conversation, Echo, Persona, Team, TurnTaking};
use crate::call::Turn;
use crate::config::{AgentConfig, AgentKind, Config, ECHO, Limits, ToolConfig};
use crate::money::bill::ItemPrice;
use crate::money::budget::Range;
use crate::money::price::{Price, PriceError, PriceTable};
use crate::operations::telemetry;
use crate::operations::traces::Tracer;
use crate::provider::{Service, Upstream, Upstreams};
use crate::records::recording::Recorder;
use crate::records::store::Payer;
use crate::{App, NanoUsd};

/// The item as which audio is metered that the echo agent listens to.
const ECHO_ITEM: &str = "echo/listening";
/// The item as which audio is metered that no agent listens to.
const DEAF_ITEM: &str = "relay/audio";
/// How many commands to a session may wait.
const COMMANDS: usize = 4;

/// What is known of a session that begins, or that goes on after another relay had it.
pub(super) struct Prepared {
    /// The session's place in the registry.
    pub(super) coming: Coming,
    pub(super) beginning: Beginning,
    /// What was said before in the session's conversation, for an agent that wants to know.
    pub(super) turns: Vec<Turn>,
    /// What was called in the session, oldest first.
    pub(super) calls: Vec<StoredCall>,
    /// The sum of the session's ledger rows.
    pub(super) cost: NanoUsd,
    /// The key of the recording, if the call is recorded.
    pub(super) recording: Option<String>,
    /// The position up to which the user's audio is in the recording of the relay before.
    pub(super) recorded_through: u32,
}

/// What is known of a session before it has an id: its agent, and what that costs.
pub(super) struct Parts {
    /// The agent's name.
    pub(super) agent: String,
    config: Option<AgentConfig>,
    rate: Hz,
    /// When the session began, in milliseconds since 1970: its prices are those of that time.
    began_ms: i64,
    listening: Price,
    /// The providers that the agent asks, by their places.
    providers: Vec<Arc<Upstream>>,
    /// The prices of the providers, by their places.
    prices: Vec<ItemPrice>,
    /// What the agent's model may call.
    tools: Vec<ToolConfig>,
}

impl Parts {
    /// The parts of a session with this agent, or why there can be none, at the prices of when it began, in milliseconds since 1970.
    pub(super) fn new(
        config: &Config,
        upstreams: &Upstreams,
        table: &PriceTable,
        agent: &str,
        began_ms: i64,
    ) -> Result<Parts, Refusal> {
        let rate = Hz(config.echo.codec.rate());
        let declared = &config.tools;
        let config = config.agents.get(agent).cloned();
        if config.is_none() && agent != ECHO {
            tracing::info!(%agent, "there is no such agent");
            return Err(Refusal::new(CloseCode::Forbidden, ErrorCode::AgentUnknown));
        }
        let mut providers = Vec::<Arc<Upstream>>::new();
        if let Some(AgentKind::Chat { stt, llm, llm_near_cap, tts }) =
            config.as_ref().map(|config| &config.kind)
        {
            let named = stt.iter().chain(llm).chain(llm_near_cap).chain(tts);
            for name in named {
                let Some(upstream) = upstreams.get(name) else {
                    tracing::error!(%agent, provider = %name, "it cannot be asked: nothing was made ready for it");
                    return Err(Refusal::new(CloseCode::Internal, ErrorCode::Internal));
                };
                providers.push(upstream.clone());
            }
        }
        let prices = || {
            let prices = providers.iter().map(|upstream| upstream.provider().price(table, began_ms));
            let prices = prices.collect::<Result<Vec<_>, PriceError>>()?;
            // All audio of a call is metered, at the price of the recogniser that hears all of it: at first the first one's, and where
            // another one stands in at that one's.
            let listening = match prices.first() {
                Some(ItemPrice::Stream(price)) => price.clone(),
                Some(_) => table.second_price_at(DEAF_ITEM, began_ms)?.clone(),
                None => table.second_price_at(ECHO_ITEM, began_ms)?.clone(),
            };
            Ok::<_, PriceError>((listening, prices))
        };
        let (listening, prices) = prices().map_err(|error| {
            tracing::error!(%error, "no price, no call");
            Refusal::new(CloseCode::Forbidden, ErrorCode::MissingPrice)
        })?;
        let names = config.iter().flat_map(|config| &config.tools);
        let tools = names.filter_map(|name| declared.get(name)).cloned().collect();
        Ok(Parts { agent: agent.to_owned(), config, rate, began_ms, listening, providers, prices, tools })
    }

    /// How many samples a second the agent speaks.
    pub(super) fn rate(&self) -> u32 {
        self.rate.0
    }

    /// How much money is set aside for a session when it begins.
    pub(super) fn first_money(&self) -> Range {
        first_money(&self.listening)
    }

    /// The features of the protocol that the session speaks beyond its first version.
    fn features(&self) -> &'static [&'static str] {
        match self.config.as_ref().map(|config| &config.kind) {
            None | Some(AgentKind::Echo) => FEATURES,
            Some(AgentKind::Chat { .. }) if self.has_tools() => FEATURES_OF_TOOLS,
            Some(AgentKind::Chat { .. }) => FEATURES_OF_CHAT,
        }
    }

    /// Whether the agent's model may call tools.
    pub(super) fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }

    /// Whether the agent wants to know what was said before in its conversation.
    pub(super) fn wants_history(&self) -> bool {
        matches!(self.config.as_ref().map(|config| &config.kind), Some(AgentKind::Chat { .. }))
    }

    /// Makes the agent for a session that begins or goes on so, after these turns and calls of tools, with the values that the user's token has
    /// for its variables. The names of its own calls begin with `prefix`.
    ///
    /// # Panics
    /// Never: the echo speaks at every rate that a codec has.
    fn agent(
        &self,
        beginning: &Beginning,
        turns: &[Turn],
        calls: &[StoredCall],
        values: &[(String, String)],
        prefix: String,
    ) -> Box<dyn Agent> {
        let position = beginning.mark.position;
        match &self.config {
            Some(config @ AgentConfig { kind: AgentKind::Chat { .. }, .. }) => {
                let persona = self.persona(config, values);
                let conversation = Conversation::new(persona, self.team(), self.rate.0, position, turns);
                let conversation = conversation.with_tools(self.toolbox(config, prefix), calls);
                Box::new(conversation.with_unheard(&beginning.unheard))
            }
            None | Some(AgentConfig { kind: AgentKind::Echo, .. }) => {
                Box::new(Echo::new(self.rate, position).expect("it speaks at every rate that a codec has"))
            }
        }
    }

    /// How the agent is to behave, with the values that the user's token has for its variables.
    fn persona(&self, config: &AgentConfig, values: &[(String, String)]) -> Persona {
        let recogniser = self
            .providers
            .iter()
            .map(|upstream| upstream.provider())
            .find(|one| one.kind.service == Service::SpeechToText);
        let language = recogniser.and_then(|recogniser| recogniser.language.clone());
        Persona {
            instructions: config.instructions.clone(),
            greeting: config.greeting.clone(),
            max_output_tokens: config.max_output_tokens,
            memory_tokens: config.memory_tokens,
            turn_taking: TurnTaking { language, ..config.turn_taking.clone() },
            variables: config.variables.clone(),
            values: values.to_owned(),
            patience: config.patience.clone(),
            longest_turn: config.longest_turn,
            limit_goodbye: config.limit_goodbye.clone(),
        }
    }

    fn toolbox(&self, config: &AgentConfig, prefix: String) -> Toolbox {
        let (max_steps, filler) = (config.max_tool_steps, config.tool_filler.clone());
        let tools = self.tools.iter().map(|tool| tool.tool.clone()).collect();
        Toolbox { tools, max_steps, filler, prefix }
    }

    /// Whom the agent asks, by their places.
    fn team(&self) -> Team {
        let mut team = Team::default();
        let models = match self.config.as_ref().map(|config| &config.kind) {
            Some(AgentKind::Chat { llm, .. }) => llm.len(),
            Some(AgentKind::Echo) | None => 0,
        };
        for (place, (upstream, price)) in self.providers.iter().zip(&self.prices).enumerate() {
            let skills = upstream.provider().skills(price);
            match skills.service {
                Service::SpeechToText => team.recognisers.push((place, skills)),
                Service::LanguageModel if team.models.len() < models => team.models.push(place),
                Service::LanguageModel => team.near_cap.push(place),
                Service::TextToSpeech => team.voices.push((place, skills)),
            }
        }
        team
    }

    /// The prices as the page is told them.
    fn messages(&self, app: &App) -> Vec<protocol::Price> {
        // Nobody hears the audio of an agent without a recogniser, and a page tells by this price whether somebody does.
        let hears = self.providers.is_empty()
            || self
                .providers
                .iter()
                .any(|upstream| upstream.provider().kind.service == Service::SpeechToText);
        let listening = hears.then_some(&*self.listening.item);
        let items = listening.into_iter().chain(self.prices.iter().map(ItemPrice::item));
        let mut items: Vec<&str> = items.collect();
        items.sort_unstable();
        items.dedup();
        items.into_iter().flat_map(|item| app.prices.messages(item, self.began_ms)).collect()
    }
}

/// The first connection of a session at this relay.
pub(super) struct First {
    pub(super) connection: Connection,
    pub(super) hello: Hello,
    pub(super) attachment: Attachment,
    /// The resume token that the client is given.
    pub(super) token: String,
}

/// Puts a session together and enters it in the registry, where it is expected.
pub(super) fn prepare(
    app: &Arc<App>,
    prepared: Prepared,
    parts: Parts,
    limits: &Limits,
    identity: &Identity,
    first: First,
) -> Box<Driver> {
    let Prepared { coming, beginning, turns, calls, cost, recording, recorded_through } = prepared;
    let config = &app.config;
    let (sender, commands) = mpsc::channel(COMMANDS);
    let whose = Arc::new(Whose {
        id: beginning.id.clone(),
        sub: identity.sub.clone(),
        account: identity.account.clone(),
        login: identity.login.clone(),
    });
    let registration = coming.enter(Handle { whose: whose.clone(), commands: sender });
    let recording = app.records.recordings.as_ref().zip(recording.as_ref()).and_then(|(recordings, key)| {
        let (rate, from) = (parts.rate.0, recorded_through);
        Recorder::begin(&app.live.tasks, &app.records.store, recordings, &beginning.id, key, rate, from)
            .inspect_err(|error| tracing::error!(session = %beginning.id, %error, "the call is not recorded"))
            .map(Box::new)
            .ok()
    });
    let agent_rate = parts.rate.0;
    let caps = limits.caps();
    let payer = Payer { user_sub: whose.sub.clone(), account: whose.account.clone() };
    let books = Books { session_id: beginning.id.clone(), epoch: beginning.epoch, payer, caps };
    // No two calls have one name, not even of two sessions: a page and a backend know by it what they have done.
    let prefix = format!("call_{}_{}_", beginning.id, beginning.epoch);
    let agent = parts.agent(&beginning, &turns, &calls, &identity.variables, prefix);
    let caller = Caller {
        session_id: beginning.id.clone(),
        conversation_id: beginning.conversation_id.clone(),
        agent: parts.agent.clone(),
        user: whose.sub.clone(),
        account: whose.account.clone(),
    };
    let now = app.live.now();
    let about = [&*beginning.id, &*beginning.conversation_id, &*parts.agent];
    let providers = parts.providers.iter().map(|upstream| upstream.provider()).zip(&parts.prices);
    let tracer = Tracer::new(app.traces.as_ref(), now, about, providers).map(Box::new);
    let terms = Terms {
        features: parts.features(),
        prices: Prices { version: app.prices.version().to_owned(), items: parts.messages(app) },
        agent: parts.agent,
        listening: parts.listening,
        items: parts.prices,
        caps,
        limits: limits.to_message(),
        control_per_second: limits.control_messages_per_second,
        agent_codec: config.echo.codec,
        is_recorded: recording.is_some(),
        heartbeat: config.heartbeat,
        resume_window: config.resume_window,
        identity: identity.clone(),
        token_left: seconds_left(identity.expires_at),
        token_grace: config.auth.token_grace,
        store_grace: config.store_grace,
        lease: app.live.lease.valid_until(),
        seeds: [seed(), seed()],
    };
    let mut machine = beginning.machine(now, terms, agent);
    let First { connection, hello, attachment, token } = first;
    if tracer.is_some() {
        machine.trace();
    }
    machine.handle_input(now, Input::Begin { hello: Box::new(hello), attachment, token });
    telemetry::session_opened();
    Box::new(Driver {
        live: app.live.clone(),
        store: app.records.store.clone(),
        whose,
        began_ms: parts.began_ms,
        machine,
        work: Work::new(app, books, cost),
        requests: Requests::new(
            app.live.tasks.clone(),
            app.live.shutdown.clone(),
            app.live.started,
            parts.providers,
        ),
        tools: Tools::new(app.live.tasks.clone(), app.tool_client.clone(), caller, parts.tools),
        recording,
        ears: None,
        agent_rate,
        tracer,
        connection: Some(connection),
        visitors: Vec::new(),
        next_visitor: 0,
        commands: Commands(commands),
        registration,
        line: telemetry::Line::new(),
    })
}

/// A random seed, so that the waits between two tries differ between sessions.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests;
