//! A session is put together: price, agent, link, call, journal, recording.

use std::sync::Arc;

use audio::Hz;
use protocol::relay::{Elsewhere, Link, Refusal};
use protocol::{CloseCode, Codec, ErrorCode, Features, Mark, Prices};
use tokio::sync::mpsc;

use super::admission::caps;
use super::driver::Driver;
use super::journal::Journal;
use super::registry::{Commands, Handle, Registry, Whose};
use super::token::TokenClock;
use crate::auth::Identity;
use crate::call::{Agent, Call, Echo, Start};
use crate::config::Limits;
use crate::money::budget::Grant;
use crate::money::meter::Meter;
use crate::money::price::Price;
use crate::recording::Recorder;
use crate::store::{Quality, unix_ms};
use crate::{App, NanoUsd, telemetry};

/// What the echo agent is metered as.
const ECHO_ITEM: &str = "echo/listening";
/// What this relay speaks beyond the first version of the protocol: what its link does alone. A word of a message is added with the agent that
/// takes it.
pub(super) const FEATURES: &[&str] = &[Features::SAMPLES];
/// Commands to a session that may wait.
const COMMANDS: usize = 4;

/// Where a session begins, or goes on.
pub(super) struct Beginning {
    pub(super) id: String,
    pub(super) conversation_id: String,
    pub(super) epoch: u32,
    /// Its relay was lost, and this is what it used there.
    pub(super) recovered: Option<Elsewhere>,
    pub(super) mark: Mark,
    pub(super) turn: u32,
    pub(super) samples: u64,
    pub(super) cost: NanoUsd,
    pub(super) grant: Grant,
    /// See [`Start::replayable`].
    pub(super) replayable: u32,
    /// See [`Start::metered_through`].
    pub(super) metered_through: u32,
    /// The key of its recording.
    pub(super) recording: Option<String>,
    /// Audio before this position is in the recording of the relay before.
    pub(super) recorded_through: u32,
}

/// What a session is made of before it has an id.
pub(super) struct Parts {
    pub(super) price: Price,
    pub(super) agent: Echo,
}

impl Parts {
    pub(super) fn new(app: &App, mark: Mark) -> Result<Parts, Refusal> {
        let price = app.prices.second_price_at(ECHO_ITEM, unix_ms()).map_err(|error| {
            tracing::error!(%error, "no price, no call");
            Refusal::new(CloseCode::Forbidden, ErrorCode::MissingPrice)
        })?;
        let agent = Echo::new(Hz(app.config.echo.codec.rate()), mark.position).map_err(|error| {
            tracing::error!(%error, "the echo agent cannot speak at this rate");
            Refusal::new(CloseCode::Internal, ErrorCode::Internal)
        })?;
        Ok(Parts { price: price.clone(), agent })
    }

    /// The same for a session that goes on at this mark. Nothing can be refused any more.
    pub(super) fn going_on_at(self, mark: Mark) -> Parts {
        Parts { agent: self.agent.beginning_at(mark.position), ..self }
    }

    pub(super) fn meter(&self, samples: u64, cost: NanoUsd) -> Meter {
        Meter::resume(self.price.clone(), Codec::PcmS16le16000.rate(), samples, cost)
    }
}

/// Puts a session together and enters it in the registry.
pub(super) fn prepare(
    app: &Arc<App>,
    beginning: Beginning,
    parts: Parts,
    limits: &Limits,
    identity: &Identity,
) -> Driver {
    let config = &app.config;
    let (sender, commands) = mpsc::channel(COMMANDS);
    let whose = Arc::new(Whose {
        id: beginning.id.clone(),
        sub: identity.sub.clone(),
        account: identity.account.clone(),
        login: identity.session_id.clone(),
    });
    let registration = Registry::enter(app, &beginning.id, Handle { whose: whose.clone(), commands: sender });
    let recording =
        app.recordings.as_ref().zip(beginning.recording.as_ref()).and_then(|(recordings, key)| {
            let (rate, from) = (parts.agent.rate(), beginning.recorded_through);
            Recorder::begin(app, recordings, &beginning.id, key, rate, from)
                .inspect_err(
                    |error| tracing::error!(session = %beginning.id, %error, "the call is not recorded"),
                )
                .ok()
        });
    let link = protocol::relay::Config {
        session_id: beginning.id.clone(),
        conversation_id: beginning.conversation_id,
        limits: limits.to_message(),
        prices: Prices {
            version: app.prices.version().to_owned(),
            items: app.prices.messages(ECHO_ITEM, unix_ms()),
        },
        control_per_second: limits.control_messages_per_second,
        agent_codec: config.echo.codec,
        recording: recording.is_some(),
        heartbeat: config.heartbeat,
        resume_window: config.resume_window,
        agent: None,
        features: FEATURES,
    };
    let caps = caps(limits);
    let start = Start {
        mark: beginning.mark,
        turn: beginning.turn,
        meter: parts.meter(beginning.samples, beginning.cost),
        caps,
        grant: beginning.grant,
        replayable: beginning.replayable,
        metered_through: beginning.metered_through,
    };
    let now = app.now();
    telemetry::session_opened();
    Driver {
        app: app.clone(),
        id: beginning.id.clone(),
        whose,
        caps,
        link: if let Some(elsewhere) = beginning.recovered {
            let mut link = Link::recovered(now, link, beginning.epoch, beginning.mark);
            link.carry_over(&elsewhere);
            link
        } else {
            Link::new(now, link, beginning.mark)
        },
        call: Call::new(now, Box::new(parts.agent) as Box<dyn Agent>, start),
        journal: Journal::new(app.clone(), beginning.id, beginning.epoch),
        recording,
        connection: None,
        commands: Commands(commands),
        registration,
        reconnects: 0,
        token: TokenClock::new(identity.expires_at, config.auth.token_grace),
        verifying: None,
        reserving: None,
        resuming: None,
        resuming_next: None,
        quality: Quality::default(),
        round_trips: (0, 0),
        settled: beginning.cost,
        ending: None,
        ended: false,
    }
}
