use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Verifier;
use crate::config::Config;
use crate::denials::Denials;
use crate::money::price::PriceTable;
use crate::recording::Recordings;
use crate::session::{Lease, Registry};
use crate::spill::Spill;
use crate::store::Store;
use crate::throttle::{Rates, Throttle};

/// What every connection shares.
#[derive(Debug)]
pub struct App {
    /// How the operator wants it; it does not change while the relay runs.
    pub config: Config,
    /// Says whose token it is.
    pub verifier: Verifier,
    /// Sessions, turns and usage, on disk.
    pub store: Arc<dyn Store>,
    /// Where what is to be written is kept while the database is away.
    pub spill: Spill,
    /// What things cost.
    pub prices: PriceTable,
    /// Asks speech and language providers, and keeps its connections to them. A relay without providers needs none, and no certificates.
    pub provider_client: Option<reqwest::Client>,
    /// Where recordings are; nothing is recorded without.
    pub recordings: Option<Arc<Recordings>>,
    /// The sessions that live here, so that a reconnect finds its own.
    pub sessions: Registry,
    /// Who may not call.
    pub denials: Denials,
    /// Requests of each user to the HTTP API.
    pub api_requests: Rates,
    /// Until when they are this relay's.
    pub lease: Lease,
    /// This relay among those that share a database: another one each time it starts.
    pub relay_id: String,
    /// How often sessions begin, and how many connections wait to be greeted.
    pub throttle: Throttle,
    /// Cancelled when the relay is to stop: sessions then say goodbye.
    pub shutdown: CancellationToken,
    /// Every connection and session; the relay waits for them before it leaves.
    pub tasks: TaskTracker,
    /// When the relay started: the zero of the machines' time.
    pub started: Instant,
}

impl App {
    /// Puts the parts together; the clock starts here.
    #[must_use]
    pub fn new(
        config: Config,
        verifier: Verifier,
        store: Arc<dyn Store>,
        spill: Spill,
        prices: PriceTable,
    ) -> App {
        App {
            lease: Lease::new(config.store_grace),
            relay_id: uuid::Uuid::now_v7().to_string(),
            config,
            verifier,
            store,
            spill,
            prices,
            provider_client: None,
            recordings: None,
            sessions: Registry::default(),
            throttle: Throttle::default(),
            denials: Denials::default(),
            api_requests: Rates::default(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            started: Instant::now(),
        }
    }

    /// Asks providers with this client.
    #[must_use]
    pub fn with_provider_client(self, client: Option<reqwest::Client>) -> App {
        App { provider_client: client, ..self }
    }

    /// Records calls, and finds what was recorded.
    #[must_use]
    pub fn with_recordings(self, recordings: Option<Recordings>) -> App {
        App { recordings: recordings.map(Arc::new), ..self }
    }

    /// The time since the start, as the machines want it.
    #[must_use]
    pub fn now(&self) -> protocol::Time {
        protocol::Time::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
