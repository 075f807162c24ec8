//! A model of the store: the same answers as the real one's, in memory, on simulated time.
//!
//! `tests/store.rs` holds it to that: the same operations, at random, on the model and on the real store in SQLite.

mod erased;
mod leases;
mod money;
mod periods;
mod rates;

use std::collections::BTreeMap;

use protocol::{CloseCode, Mark, Role};
use relay::NanoUsd;
use relay::agent::tool::{Called, StoredCall, ToolNote};
use relay::call::Turn;
use relay::money::budget::{Reserved, Scope};
use relay::money::ledger::LedgerRow;
use relay::records::store::{
    Alert, Feedback, HAND_OFF, Inherited, InsteadOf, NewSession, Opened, Quality, Quota, Reserve, SessionRow,
    SessionState, StoreError, TakeOver, TakenOver, TurnRow,
};

use erased::Erased;
pub(crate) use money::Counters;
use money::GivenBack;
use periods::Periods;

/// `lease_until` of a session that is its relay's as long as that is there.
const HELD: i64 = 253_370_764_800_000;

/// Everything that is stored. Every operation is told the database's clock, in milliseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Model {
    sessions: BTreeMap<String, Session>,
    /// By scope, owner and period.
    budgets: BTreeMap<(bool, String, i64), Counters>,
    /// What the owner of a budget may spend by plan and by token, as their last call had it, by scope, owner and period.
    caps: BTreeMap<(bool, String, i64), (NanoUsd, Option<NanoUsd>)>,
    relays: BTreeMap<String, RelayRow>,
    /// When whoever has begun sessions has their whole minute again, in microseconds since 1970.
    rates: BTreeMap<String, i64>,
    alerts: Vec<Alert>,
    /// The highest threshold that was told of each budget, by scope, owner and period: an alert may not name its owner any more.
    told: BTreeMap<(&'static str, String, String), u32>,
    erased: BTreeMap<String, Erased>,
    /// What sessions that were deleted have cost, by account and day.
    erased_cost: BTreeMap<(String, i64), NanoUsd>,
    /// What was given back, by key.
    credits: BTreeMap<String, GivenBack>,
    /// By how much that has lowered budgets of accounts, and of users.
    lowered: BTreeMap<bool, NanoUsd>,
}

#[derive(Clone, Copy, Debug)]
struct RelayRow {
    /// Until when it has its sessions.
    lease_until: i64,
    seen_at: i64,
}

#[derive(Clone, Debug)]
struct Session {
    row: SessionRow,
    exposed: NanoUsd,
    periods: Periods,
    lease_until: i64,
    detached_at: Option<i64>,
    end_requested: Option<String>,
    ledger: BTreeMap<String, (LedgerRow, i64)>,
    turns: BTreeMap<u32, TurnRow>,
    /// The epoch in which each turn was first written.
    epochs: BTreeMap<u32, u32>,
    /// Epoch and revision of each turn as it stands.
    versions: BTreeMap<u32, (u32, u32)>,
    tool_calls: Vec<StoredCall>,
    /// The epoch of the relay that had it last: the session's own, unless that has risen although nobody has taken the session over.
    relay_epoch: u32,
    /// Another session has taken over how far this one had come.
    succeeded: bool,
}

impl Session {
    fn is_live(&self) -> bool {
        self.row.state == SessionState::Live
    }
}

impl Model {
    /// See the store's own words for each of these.
    pub fn open_session(&mut self, now: i64, session: &NewSession, quota: &Quota) -> Opened {
        let mut after = self.clone();
        let opened = after.open(now, session, quota);
        if matches!(opened, Opened::Yes { .. }) {
            *self = after;
        }
        opened
    }

    fn inherit(&mut self, session: &NewSession) -> Inherited {
        let none = Inherited::nothing(session.committed);
        let Some(InsteadOf { session_id, resume_hash }) = &session.instead_of else { return none };
        let Some(before) = self.sessions.get_mut(session_id) else { return none };
        let row = &mut before.row;
        let is_theirs = row.user_sub == session.user_sub && row.account == session.account;
        if row.state != SessionState::Ended || !is_theirs || row.resume_hash != *resume_hash {
            return none;
        }
        let (committed, metered_through) = (row.committed, row.metered_position);
        let paid = std::mem::take(&mut row.replayable_samples);
        before.succeeded = true;
        Inherited { committed, paid, metered_through }.from(session.committed)
    }

    fn open(&mut self, now: i64, session: &NewSession, quota: &Quota) -> Opened {
        if session.conversation_id != session.id {
            let mut known =
                self.sessions.values().filter(|known| known.row.conversation_id == session.conversation_id);
            let owned = known.next().is_some_and(|known| {
                known.row.user_sub == session.user_sub && known.row.account == session.account
            });
            if !owned {
                return Opened::NoConversation;
            }
        }
        let live = || self.sessions.values().filter(|known| known.is_live());
        let of_user = live().filter(|known| known.row.user_sub == session.user_sub).count() as u32;
        let of_account = live().filter(|known| known.row.account == session.account).count() as u32;
        let mut replaced = None;
        let account_is_full = of_account >= quota.sessions_per_account;
        if of_user >= quota.sessions_per_user || account_is_full {
            let makes_room = |account: &str| !account_is_full || account == session.account;
            replaced = self
                .detached(now, &session.user_sub, &session.account)
                .filter(|id| makes_room(&self.sessions[id].row.account));
            if replaced.is_none()
                || of_user > quota.sessions_per_user
                || of_account > quota.sessions_per_account
            {
                return if of_user >= quota.sessions_per_user {
                    Opened::UserFull { live: of_user }
                } else {
                    Opened::AccountFull { live: of_account }
                };
            }
        }
        let periods = Periods::at(session.started_at_ms);
        self.note_caps(&session.user_sub, &session.account, periods, quota.caps);
        if let Some(id) = &replaced {
            self.end_lost(now, id, CloseCode::Replaced);
        }
        let inherited = self.inherit(session);
        self.begin_lease(now, &quota.relay, quota.lease);
        let row = SessionRow {
            id: session.id.clone(),
            conversation_id: session.conversation_id.clone(),
            user_sub: session.user_sub.clone(),
            account: session.account.clone(),
            plan: session.plan.clone(),
            login: session.login.clone(),
            client: session.client.clone(),
            agent: session.agent.clone(),
            state: SessionState::Live,
            started_at_ms: session.started_at_ms,
            ended_at_ms: None,
            end_reason: None,
            relay: quota.relay.clone(),
            attached: true,
            strikes: 0,
            epoch: session.epoch,
            committed: inherited.committed,
            resume_hash: session.resume_hash,
            resume_hash_previous: None,
            reconnects: 0,
            feedback: Feedback::default(),
            quality: Quality::default(),
            recording: session.recording.clone(),
            audio_samples: 0,
            tokens: 0,
            characters: 0,
            cost: NanoUsd::ZERO,
            authorised: NanoUsd::ZERO,
            metered_position: inherited.metered_through,
            replayable_samples: inherited.paid,
            settlements: 0,
        };
        self.sessions.insert(
            session.id.clone(),
            Session {
                row,
                exposed: NanoUsd::ZERO,
                periods,
                lease_until: HELD,
                detached_at: None,
                end_requested: None,
                ledger: BTreeMap::new(),
                turns: BTreeMap::new(),
                epochs: BTreeMap::new(),
                versions: BTreeMap::new(),
                tool_calls: Vec::new(),
                relay_epoch: session.epoch,
                succeeded: false,
            },
        );
        let ask = Reserve {
            session_id: &session.id,
            epoch: session.epoch,
            through: quota.reserve,
            spent: NanoUsd::ZERO,
            exposed: NanoUsd::ZERO,
            caps: quota.caps,
            at_ms: session.started_at_ms,
        };
        let grant = match self.grant(&ask) {
            Reserved::Granted(grant) => grant,
            Reserved::Short(shortage) => return Opened::NoMoney(shortage),
        };
        match self.take_rates(now, &session.user_sub, quota) {
            None => Opened::Yes { grant, replaced, inherited },
            Some(excess) => Opened::TooOften(excess),
        }
    }

    /// The session of a user that has been without a connection for longest.
    fn detached(&self, now: i64, sub: &str, account: &str) -> Option<String> {
        self.sessions
            .values()
            .filter(|one| one.is_live() && one.row.user_sub == sub)
            .filter(|one| one.detached_at.is_some() || self.lease(one) <= now)
            .min_by_key(|one| {
                let since = one.detached_at.unwrap_or_else(|| self.lease(one));
                (one.row.account != account, since, one.row.id.clone())
            })
            .map(|one| one.row.id.clone())
    }

    /// See [`relay::records::store::Store::session`].
    #[must_use]
    pub fn session(&self, id: &str) -> Option<SessionRow> {
        let session = self.sessions.get(id)?;
        let attached = session.detached_at.is_none();
        Some(SessionRow { attached, ..session.row.clone() })
    }

    /// The epoch in which a turn was first written.
    #[must_use]
    pub fn epoch_of_turn(&self, id: &str, turn: u32) -> Option<u32> {
        self.sessions.get(id)?.epochs.get(&turn).copied()
    }

    /// See [`relay::records::store::Store::take_over`].
    pub fn take_over(&mut self, now: i64, id: &str, by: &TakeOver) -> Option<TakenOver> {
        let session = self.sessions.get(id)?;
        if !session.is_live() || session.row.epoch != by.epoch {
            return None;
        }
        self.write_off(now, id);
        self.begin_lease(now, &by.relay, by.lease);
        let session = self.sessions.get_mut(id)?;
        session.row.epoch += 1;
        session.relay_epoch = session.row.epoch;
        session.row.reconnects += 1;
        session.row.resume_hash = by.resume_hash;
        session.row.resume_hash_previous = Some(by.previous);
        session.row.relay.clone_from(&by.relay);
        session.lease_until = HELD;
        session.detached_at = None;
        if session.end_requested.as_deref() == Some(HAND_OFF) {
            session.end_requested = None;
        }
        let metered = session.ledger.values().filter(|(row, _)| row.item != LedgerRow::LOST);
        let metered_at_ms = metered.map(|(_, at)| *at).max();
        let next_turn = session.turns.keys().next_back().map_or(0, |last| last + 1);
        let by_item = money::by_item(session);
        let unheard =
            |turn: &&Turn| turn.role == Role::Agent && turn.heard.is_none() && turn.end > turn.start;
        let newest = session.turns.values().rev().map(|row| &row.turn).filter(unheard).take(9);
        let unheard = newest.filter_map(|turn| Some((session.versions.get(&turn.turn)?.0, turn.clone())));
        let mut unheard: Vec<(u32, Turn)> = unheard.collect();
        unheard.reverse();
        Some(TakenOver { session: self.session(id)?, by_item, next_turn, metered_at_ms, unheard })
    }

    /// See [`relay::records::store::Store::rotate_resume`].
    ///
    /// # Errors
    /// As the store's.
    pub fn rotate_resume(
        &mut self,
        id: &str,
        epoch: u32,
        hash: &[u8; 32],
        previous: Option<&[u8; 32]>,
        reconnects: u32,
    ) -> Result<(), StoreError> {
        let session = self.live_of_epoch(id, epoch)?;
        session.row.resume_hash = *hash;
        session.row.resume_hash_previous = previous.copied();
        session.row.reconnects = reconnects;
        Ok(())
    }

    /// See [`relay::records::store::Store::note_strikes`].
    ///
    /// # Errors
    /// As the store's.
    pub fn note_strikes(&mut self, id: &str, epoch: u32, strikes: u32) -> Result<(), StoreError> {
        self.live_of_epoch(id, epoch)?.row.strikes = strikes;
        Ok(())
    }

    /// See [`relay::records::store::Store::note_tool`].
    ///
    /// # Errors
    /// As the store's.
    pub fn note_tool(&mut self, id: &str, epoch: u32, note: &ToolNote) -> Result<(), StoreError> {
        let calls = &mut self.live_of_epoch(id, epoch)?.tool_calls;
        let (ToolNote::Called { called: Called { call_id, .. }, .. } | ToolNote::Output { call_id, .. }) =
            note;
        let stored = calls.iter_mut().find(|stored| stored.called.call_id == *call_id);
        match (note, stored) {
            (ToolNote::Called { called, turn }, None) => {
                calls.push(StoredCall { called: called.clone(), turn: *turn, output: None });
            }
            (ToolNote::Called { .. }, Some(_)) => {}
            (ToolNote::Output { output, .. }, Some(stored)) => {
                stored.output.get_or_insert_with(|| output.clone());
            }
            (ToolNote::Output { .. }, None) => return Err(StoreError::NoSession { id: id.to_owned() }),
        }
        Ok(())
    }

    /// See [`relay::records::store::Store::tool_calls`].
    #[must_use]
    pub fn tool_calls(&self, id: &str) -> Vec<StoredCall> {
        self.sessions.get(id).map(|session| session.tool_calls.clone()).unwrap_or_default()
    }

    /// See [`relay::records::store::Store::set_attached`].
    ///
    /// # Errors
    /// As the store's.
    pub fn set_attached(&mut self, now: i64, id: &str, epoch: u32, attached: bool) -> Result<(), StoreError> {
        self.live_of_epoch(id, epoch)?.detached_at = (!attached).then_some(now);
        Ok(())
    }

    /// See [`relay::records::store::Store::end_session`].
    ///
    /// # Errors
    /// As the store's.
    pub fn end_session(
        &mut self,
        id: &str,
        epoch: u32,
        reason: &str,
        quality: Quality,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        let live = self.sessions.get(id).filter(|session| session.is_live());
        let Some(session) = live else { return Err(StoreError::NoSession { id: id.to_owned() }) };
        if session.row.epoch != epoch {
            return Err(StoreError::Fenced { id: id.to_owned() });
        }
        self.release(id);
        if let Some(session) = self.sessions.get_mut(id) {
            session.end(at_ms, reason);
            session.row.quality = quality;
        }
        Ok(())
    }

    /// See [`relay::records::store::Store::end_elsewhere`].
    pub fn end_elsewhere(&mut self, now: i64, id: &str, reason: &str) -> bool {
        if !self.sessions.get(id).is_some_and(Session::is_live) {
            return false;
        }
        self.write_off(now, id);
        if let Some(session) = self.sessions.get_mut(id) {
            session.end(now, reason);
            session.row.epoch += 1;
        }
        true
    }

    /// Ends a session whose relay is lost, or that makes room for another one.
    fn end_lost(&mut self, now: i64, id: &str, reason: CloseCode) {
        self.write_off(now, id);
        let Some(lease) = self.sessions.get(id).map(|session| self.lease(session)) else { return };
        if let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_live()) {
            let at = if lease <= 0 { session.row.started_at_ms } else { lease.min(now) };
            session.end(at, reason.name());
        }
    }

    /// See [`relay::records::store::Store::save_turns`].
    ///
    /// # Errors
    /// As the store's.
    pub fn save_turns(
        &mut self,
        now: i64,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        let takes = |session: &Session| session.is_live() && session.row.epoch == epoch;
        self.write_turns(now, (id, epoch), takes, turns, committed, replayable)
    }

    /// See [`relay::records::store::Store::save_kept_turns`].
    ///
    /// # Errors
    /// As the store's.
    pub fn save_kept_turns(
        &mut self,
        now: i64,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        // The session's epoch may have risen since without a take-over: nobody else writes these words then.
        let takes = |session: &Session| !session.succeeded && session.relay_epoch == epoch;
        self.write_turns(now, (id, epoch), takes, turns, committed, replayable)
    }

    /// Writes turns of this session, of a relay that had it in this epoch, if it takes any.
    fn write_turns(
        &mut self,
        now: i64,
        (id, epoch): (&str, u32),
        takes: impl FnOnce(&Session) -> bool,
        turns: &[Turn],
        committed: Mark,
        replayable: u32,
    ) -> Result<(), StoreError> {
        let Some(session) = self.sessions.get_mut(id) else {
            return Err(StoreError::NoSession { id: id.to_owned() });
        };
        if !takes(session) {
            let is_fenced = session.is_live() && session.row.epoch != epoch;
            let id = id.to_owned();
            return Err(if is_fenced { StoreError::Fenced { id } } else { StoreError::NoSession { id } });
        }
        let row = &mut session.row;
        if row.committed.position < committed.position {
            row.replayable_samples = row.replayable_samples.min(replayable);
        }
        let is_newest = row.state == SessionState::Live || row.committed.seq < committed.seq;
        row.move_committed(committed);
        for turn in turns {
            let version = (epoch, turn.revision);
            let stored = session.versions.get(&turn.turn).copied();
            // Of a session that has ended it is not known which was written last, unless the versions say it.
            if stored.is_some_and(|stored| stored > version || !is_newest && stored == version) {
                continue;
            }
            session.epochs.entry(turn.turn).or_insert(epoch);
            session.versions.insert(turn.turn, version);
            let stored = session
                .turns
                .entry(turn.turn)
                .or_insert_with(|| TurnRow { turn: turn.clone(), created_at_ms: now });
            let before = std::mem::replace(&mut stored.turn, turn.clone());
            let (after, latency) = (&mut stored.turn, before.latency);
            after.heard = after.heard.or(before.heard);
            after.latency.stt_ms = after.latency.stt_ms.or(latency.stt_ms);
            after.latency.llm_ms = after.latency.llm_ms.or(latency.llm_ms);
            after.latency.tts_ms = after.latency.tts_ms.or(latency.tts_ms);
            after.latency.send_ms = after.latency.send_ms.or(latency.send_ms);
            after.latency.heard_ms = after.latency.heard_ms.or(latency.heard_ms);
            after.latency.total_ms = after.latency.total_ms.or(latency.total_ms);
        }
        Ok(())
    }

    /// See [`relay::records::store::Store::turns`].
    #[must_use]
    pub fn turns(&self, id: &str) -> Vec<TurnRow> {
        self.sessions.get(id).map(|session| session.turns.values().cloned().collect()).unwrap_or_default()
    }

    /// See [`relay::records::store::Store::ledger`].
    #[must_use]
    pub fn ledger(&self, id: &str) -> Vec<LedgerRow> {
        let rows = self.sessions.get(id).map(|session| session.ledger.values());
        rows.map(|rows| rows.map(|(row, _)| row.clone()).collect()).unwrap_or_default()
    }

    /// Every session, by its id.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.sessions.keys().map(String::as_str)
    }

    /// What counts as spent if the session's relay is lost.
    #[must_use]
    pub fn exposed(&self, id: &str) -> NanoUsd {
        self.sessions.get(id).map(|session| session.exposed).unwrap_or_default()
    }

    /// Every threshold that was told, in order.
    #[must_use]
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// A threshold of a session's budget that was reached, as the store tells alerts: by scope and percent.
    #[must_use]
    pub fn is_alerted(&self, scope: Scope, percent: u32) -> bool {
        self.alerts.iter().any(|alert| alert.scope == scope && alert.percent == percent)
    }

    /// A live session of this epoch, as statements without a transaction find it.
    fn live_of_epoch(&mut self, id: &str, epoch: u32) -> Result<&mut Session, StoreError> {
        self.sessions
            .get_mut(id)
            .filter(|session| session.is_live() && session.row.epoch == epoch)
            .ok_or_else(|| StoreError::NoSession { id: id.to_owned() })
    }
}

impl Session {
    fn end(&mut self, at_ms: i64, reason: &str) {
        self.row.state = SessionState::Ended;
        self.row.ended_at_ms = Some(at_ms);
        self.row.end_reason = Some(reason.to_owned());
        self.row.resume_hash_previous = None;
        self.tool_calls.clear();
    }
}

/// Moves what is committed forward, never back.
trait MoveCommitted {
    fn move_committed(&mut self, to: Mark);
}

impl MoveCommitted for SessionRow {
    fn move_committed(&mut self, to: Mark) {
        self.committed.seq = self.committed.seq.max(to.seq);
        self.committed.position = self.committed.position.max(to.position);
    }
}
