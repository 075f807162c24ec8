//! What really was, beside everything that is stored: what the proof holds the store against.

use std::collections::{BTreeMap, BTreeSet};

use ::relay::NanoUsd;
use ::relay::call::Turn;
use ::relay::money::budget::{Caps, Range, Reserved};
use ::relay::money::ledger::LedgerRow;
use ::relay::money::tab::{Billed, RequestId};
use ::relay::provider::Event;
use ::relay::records::store::{NewSession, Opened, Quality, Quota, Reserve, Settle};
use ::relay::session::machine::{Departure, Recorded};
use protocol::{CloseCode, Mark};

use super::ACCOUNT;
use super::session::Live;
use crate::provider::Answering;
use crate::scenario::{Refusing, Span};
use crate::store::Model;
use crate::watched::Shared;

/// Somebody else who spends the same account's money.
pub(super) const OTHER: &str = "other";

/// What really was: beside everything that is stored.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Sessions that were wanted.
    pub(super) sessions: u32,
    /// By session: each epoch that began in a relay.
    pub(super) epochs: BTreeMap<String, Vec<Epoch>>,
    pub(super) is_erased: bool,
    /// A disk that was full lost its memory with its relay.
    pub(super) is_lossy: bool,
    /// The end was said once more, of a session that is not there any more: what was on its way before is lost.
    pub(super) is_told_again: bool,
    /// The database refused something for good.
    pub(super) is_refused: bool,
    /// Something waited on a relay's own disk while its session went on elsewhere.
    pub(super) is_kept: bool,
    /// Sessions whose relay's words were written after they were given up or ended elsewhere. What it metered may stand in no ledger, since what
    /// it had exposed was charged in its place.
    pub(super) outlived: BTreeSet<String>,
    pub(super) exhausted: u32,
    /// By session: what was left of answers that lost relays were giving.
    pub(super) broken_off: BTreeMap<String, Vec<Turn>>,
    /// Samples that sessions began with, by their ids, because a session before them had paid.
    pub(super) paid: BTreeMap<String, u32>,
    /// What somebody else has spent.
    pub(super) elsewhere: NanoUsd,
    /// Rows of somebody else.
    pub(super) elsewhere_rows: u32,
}

/// An epoch of a session, as it went at its relay.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) number: u32,
    pub(super) log: Shared,
    /// How it ended; `None` while it lives.
    pub(super) end: Option<End>,
    /// What the provider reported, by request.
    pub(super) billed: BTreeMap<RequestId, Option<(u64, u64)>>,
    /// What recognisers that were let go of say that they bill, and whether what comes of it is written, as far as is known.
    pub(super) late: BTreeMap<RequestId, (Billed, bool)>,
    /// What recognisers and voices were given that bill by that, by request.
    pub(super) given: BTreeMap<RequestId, u64>,
    /// Requests that have reached their providers.
    pub(super) reached: BTreeSet<RequestId>,
    /// Requests that were under way when the relay was killed.
    pub(super) open: Vec<RequestId>,
    /// Samples of the agent that were sent.
    pub(super) sent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Killed,
    Departed(Departure),
}

impl Truth {
    pub(super) fn begun(&mut self, id: &str, number: u32, log: Shared) {
        self.epochs.entry(id.to_owned()).or_default().push(Epoch {
            number,
            log,
            end: None,
            billed: BTreeMap::new(),
            late: BTreeMap::new(),
            given: BTreeMap::new(),
            reached: BTreeSet::new(),
            open: Vec::new(),
            sent: 0,
        });
    }

    /// A session before this one has paid for so many samples.
    pub(super) fn paid(&mut self, id: &str, samples: u32) {
        self.paid.insert(id.to_owned(), samples);
    }

    /// How many samples of this session one before it has paid for.
    pub(super) fn paid_before(&self, id: &str) -> u64 {
        u64::from(self.paid.get(id).copied().unwrap_or_default())
    }

    fn epoch(&mut self, id: &str, number: u32) -> Option<&mut Epoch> {
        self.epochs.get_mut(id)?.iter_mut().find(|epoch| epoch.number == number)
    }

    pub(super) fn opened(&mut self, id: &str, number: u32, request: RequestId, answering: &Answering) {
        if let Some(epoch) = self.epoch(id, number) {
            epoch.billed.insert(request, answering.billed);
            epoch.given.extend(answering.given.map(|given| (request, given)));
        }
    }

    /// A provider says this of a request. One that has failed was reached only if it may bill that.
    pub(super) fn came(&mut self, id: &str, number: u32, request: RequestId, event: &Event) {
        let is_reached = match event {
            Event::Failed(failure) => failure.kind.may_be_billed(),
            _ => true,
        };
        if let Some(epoch) = self.epoch(id, number).filter(|_| is_reached) {
            epoch.reached.insert(request);
        }
    }

    /// A recogniser is let go of, and will say this.
    pub(super) fn let_go(&mut self, id: &str, number: u32, billed: &Billed) {
        if let Some(epoch) = self.epoch(id, number) {
            epoch.late.insert(billed.request, (billed.clone(), true));
        }
    }

    /// What was said of that by the end of the session was not written then, and may never be.
    pub(super) fn late_is_kept(&mut self, id: &str, number: u32) {
        let late = self.epoch(id, number).into_iter().flat_map(|epoch| epoch.late.values_mut());
        late.for_each(|(_, is_written)| *is_written = false);
    }

    /// Whether what came of one of them is written.
    pub(super) fn late_is_written(&mut self, id: &str, number: u32, request: RequestId, written: bool) {
        let late = self.epoch(id, number).and_then(|epoch| epoch.late.get_mut(&request));
        if let Some((_, is_written)) = late {
            *is_written = written;
        }
    }

    pub(super) fn crashed(&mut self, live: &Live) {
        let open = live.under_way().collect();
        if let Some(epoch) = self.epoch(&live.id, live.books.epoch) {
            epoch.end = Some(End::Killed);
            epoch.open = open;
        }
    }

    pub(super) fn departed(&mut self, live: &Live, departure: Departure) {
        if let Some(epoch) = self.epoch(&live.id, live.books.epoch) {
            epoch.end = Some(End::Departed(departure));
        }
    }

    pub(super) fn record(&mut self, live: &Live, recorded: &Recorded) {
        if let Recorded::Agent(samples) = recorded
            && let Some(epoch) = self.epoch(&live.id, live.books.epoch)
        {
            epoch.sent += samples.len() as u32;
        }
    }

    pub(super) fn refused(&mut self, refuses: Option<(Span, Refusing)>) {
        self.is_refused |= refuses.is_some_and(|(_, kind)| kind == Refusing::ForGood);
    }

    /// Somebody else of the account spends as much as there is for that.
    pub(super) fn spend_elsewhere(
        &mut self,
        store: &mut Model,
        now: i64,
        amount: NanoUsd,
        caps: Caps,
    ) -> Result<(), String> {
        let caps = Caps { session: NanoUsd::MAX, user_day: NanoUsd::MAX, ..caps };
        if store.session(OTHER).is_none() {
            let session = NewSession {
                id: OTHER.into(),
                conversation_id: OTHER.into(),
                user_sub: "bob".into(),
                account: ACCOUNT.into(),
                plan: None,
                login: None,
                client: "other".into(),
                agent: "agent".into(),
                started_at_ms: now,
                epoch: 0,
                committed: Mark::default(),
                resume_hash: [9; 32],
                recording: None,
                instead_of: None,
            };
            let quota = Quota {
                sessions_per_user: 100,
                sessions_per_account: 100,
                sessions_per_minute: u32::MAX,
                address: std::net::Ipv4Addr::LOCALHOST.into(),
                sessions_per_minute_per_address: u32::MAX,
                caps,
                reserve: Range { at_least: NanoUsd::ZERO, at_most: NanoUsd::ZERO },
                relay: "elsewhere".into(),
                lease: std::time::Duration::from_secs(100_000),
            };
            if !matches!(store.open_session(now, &session, &quota), Opened::Yes { .. }) {
                return Ok(());
            }
        }
        let through = self.elsewhere + amount;
        let ask = Reserve {
            session_id: OTHER,
            epoch: 0,
            through: Range { at_least: through, at_most: through },
            spent: self.elsewhere,
            exposed: NanoUsd::ZERO,
            caps,
            at_ms: now,
        };
        let granted = matches!(store.reserve(&ask), Ok(Reserved::Granted(_)));
        let mut rows = Vec::new();
        if granted {
            self.elsewhere_rows += 1;
            self.elsewhere = through;
            rows.push(LedgerRow {
                key: format!("other@{}", self.elsewhere_rows),
                provider: "other".into(),
                item: "other/thing".into(),
                unit: "character".into(),
                quantity: 1,
                price: amount,
                per: 1,
                price_version: "1".into(),
                cost: amount,
                estimated: false,
                turn: None,
                request_id: None,
            });
        }
        let settle = Settle {
            session_id: OTHER.into(),
            payer: None,
            epoch: 0,
            number: 0,
            rows,
            credits: Vec::new(),
            metered_position: 0,
            committed: Mark::default(),
            replayable_samples: 0,
            exposed: NanoUsd::ZERO,
            release: true,
            caps,
            at_ms: now,
        };
        store.settle(&settle).map(drop).map_err(|error| format!("somebody else cannot pay: {error}"))
    }
}

impl Truth {
    /// Somebody else is done.
    pub(super) fn leave_elsewhere(&self, store: &mut Model, now: i64) {
        let _ = store.end_session(OTHER, 0, CloseCode::Normal.name(), Quality::default(), now);
    }
}

impl Truth {
    /// The places of the user's timeline that some agent of a session has heard, merged; also those that the client has dropped since, or not.
    pub(super) fn heard(&self, id: &str, and_dropped: bool) -> Vec<(u32, u32)> {
        let Some(epochs) = self.epochs.get(id) else { return Vec::new() };
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for epoch in epochs {
            let log = epoch.log.lock();
            // What an earlier relay has heard and the client has dropped by now is lost. What comes again while nobody hears costs nothing here.
            for (from, to) in log.gaps.iter().chain(&log.unheard).filter(|_| !and_dropped) {
                ranges = ranges
                    .into_iter()
                    .flat_map(|(start, end)| [(start, end.min(*from)), (start.max(*to), end)])
                    .filter(|(start, end)| start < end)
                    .collect();
            }
            ranges.extend(log.heard.iter().copied());
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (from, to) in ranges {
            match merged.last_mut().filter(|last| from <= last.1) {
                Some(last) => last.1 = last.1.max(to),
                None => merged.push((from, to)),
            }
        }
        merged
    }
}
