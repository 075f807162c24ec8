use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::auth::Verifier;
use crate::admission::denials::Denials;
use crate::admission::throttle::{Rates, Throttle};
use crate::config::Config;
use crate::money::price::PriceTable;
use crate::operations::health::LongCalls;
use crate::operations::traces::Traces;
use crate::provider::Upstreams;
use crate::records::store::StoreError;
use crate::server::Tls;
use crate::session::lease::Lease;
use crate::session::{OwnLease, Registry};
use crate::{Admission, Records};

/// What a relay is made of, in three: who may come in, what is written, what is live. Whatever needs two or three fields of it takes those.
///
/// A configuration that is read again makes another one of these ([`App::renewed`]) that shares the three. Whoever holds the one before goes on
/// with it: a call has the prices, limits and agent of when it began.
#[derive(Debug)]
pub struct App {
    /// How the operator wants it.
    pub config: Config,
    /// What things cost.
    pub prices: PriceTable,
    /// The speech and language providers, each with what all calls share of it.
    pub upstreams: Upstreams,
    /// What asks the tools that are webhooks, if there are any.
    pub tool_client: Option<reqwest::Client>,
    /// What the relay speaks TLS with, if it does.
    pub tls: Option<Arc<Tls>>,
    /// Where the turns of calls are traced, if anywhere.
    pub traces: Option<Arc<Traces>>,
    /// Who may come in.
    pub admission: Arc<Admission>,
    /// What is written.
    pub records: Arc<Records>,
    /// What is live.
    pub live: Arc<Live>,
}

/// What lives in this relay now, and until when.
#[derive(Debug)]
pub struct Live {
    /// This relay among those that share a database: another one each time it starts.
    pub relay_id: String,
    /// The sessions that live here, so that a reconnect finds its own.
    pub sessions: Registry,
    /// Those that have ended here lately after they had lasted for long.
    pub(crate) long_calls: LongCalls,
    /// Until when they are this relay's.
    pub lease: OwnLease,
    /// Cancelled when the relay is told to stop: it is not ready any more, and load balancers are to send new calls elsewhere.
    pub unready: CancellationToken,
    /// Whether the schema of the database lacked what this relay needs when it was asked last.
    is_outdated: AtomicBool,
    /// Cancelled when it takes no calls any more, and sends its own elsewhere. Then it is not ready either.
    pub moving: CancellationToken,
    /// When the last of them is to be gone.
    moved_by: OnceLock<protocol::Time>,
    /// Cancelled when the relay is to stop: sessions then say goodbye. Then it takes no calls either.
    pub shutdown: CancellationToken,
    /// Told whenever sessions were erased that may have recordings: those are deleted then, and whoever erased them waits for none.
    pub erased: Notify,
    /// Every connection and session; the relay waits for them before it leaves.
    pub tasks: TaskTracker,
    /// When the relay started: the zero of the machines' time.
    pub started: Instant,
}

impl App {
    /// Puts the parts together; the clock starts here.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, records: Records, prices: PriceTable) -> App {
        let admission = Admission {
            verifier,
            denials: Denials::default(),
            throttle: Throttle::default(),
            api_requests: Rates::default(),
        };
        App {
            live: Arc::new(Live::new(config.store_grace)),
            config,
            prices,
            upstreams: Upstreams::new(),
            tool_client: None,
            tls: None,
            traces: None,
            admission: Arc::new(admission),
            records: Arc::new(records),
        }
    }

    /// Asks these providers.
    #[must_use]
    pub fn with_upstreams(self, upstreams: Upstreams) -> App {
        App { upstreams, ..self }
    }

    /// Has this client ask the tools that are webhooks.
    #[must_use]
    pub fn with_tool_client(self, tool_client: Option<reqwest::Client>) -> App {
        App { tool_client, ..self }
    }

    /// Speaks TLS with this.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> App {
        App { tls, ..self }
    }

    /// Traces the turns of calls there.
    #[must_use]
    pub fn with_traces(self, traces: Option<Arc<Traces>>) -> App {
        App { traces, ..self }
    }

    /// The same relay with another configuration, and with what was made of that.
    #[must_use]
    pub fn renewed(
        &self,
        config: Config,
        prices: PriceTable,
        upstreams: Upstreams,
        tool_client: Option<reqwest::Client>,
    ) -> App {
        App {
            config,
            prices,
            upstreams,
            tool_client,
            tls: self.tls.clone(),
            traces: self.traces.clone(),
            admission: Arc::clone(&self.admission),
            records: Arc::clone(&self.records),
            live: Arc::clone(&self.live),
        }
    }
}

impl Live {
    /// Nothing lives here yet. A call goes on for the grace while the database is away.
    fn new(store_grace: Duration) -> Live {
        let shutdown = CancellationToken::new();
        let moving = shutdown.child_token();
        Live {
            relay_id: uuid::Uuid::now_v7().to_string(),
            sessions: Registry::default(),
            long_calls: LongCalls::default(),
            lease: OwnLease::new(Lease::new(protocol::Time::ZERO, store_grace)),
            unready: moving.child_token(),
            is_outdated: AtomicBool::new(false),
            moving,
            moved_by: OnceLock::new(),
            shutdown,
            erased: Notify::new(),
            tasks: TaskTracker::new(),
            started: Instant::now(),
        }
    }

    /// Takes no calls any more, and sends those that are here elsewhere within this time.
    pub(crate) fn move_calls(&self, within: Duration) {
        self.moved_by.get_or_init(|| self.now() + within);
        self.moving.cancel();
    }

    /// How much of that time is left.
    pub(crate) fn moves_within(&self) -> Duration {
        self.moved_by.get().map_or(Duration::ZERO, |by| by.since(self.now()))
    }

    /// Notes what the database said when it was asked whether it serves this relay. While it does not answer, its schema is what it was.
    pub(crate) fn note_schema(&self, answer: &Result<(), StoreError>) {
        let is_outdated = match answer {
            Ok(()) => false,
            Err(StoreError::Outdated { .. }) => true,
            Err(_) => return,
        };
        if self.is_outdated.swap(is_outdated, Ordering::Relaxed) == is_outdated {
            return;
        }
        match answer {
            Err(error) => tracing::error!(%error, "calls are to be sent elsewhere"),
            Ok(()) => tracing::info!("the schema of the database is up to date again"),
        }
    }

    /// Whether the schema of the database lacks what this relay needs, as was noted last.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }

    /// The time since the start, as the machines want it.
    #[must_use]
    pub fn now(&self) -> protocol::Time {
        protocol::Time::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// That time on the runtime's clock.
    pub(crate) fn instant(&self, time: protocol::Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.started) + Duration::from_micros(time.as_micros())
    }
}
