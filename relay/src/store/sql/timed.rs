//! The trait: each of its methods is the store's own, and its time is measured.

use std::time::Duration;

use async_trait::async_trait;
use protocol::Mark;

use super::super::query::{
    AlertFilter, AlertRow, Cursor, Denial, DenialCursor, DenialKind, EndRequest, LiveRow, Page, SaidRow,
    SessionFilter, Transcript, TurnCursor, UsageCursor, UsageFilter, UsageRow, Whom,
};
use super::super::types::{
    Alert, Attempted, Expiring, NewSession, Opened, Quality, Quota, Renewed, Reserve, SessionRow, Settle,
    Settled, Swept, TakeOver, TakenOver, TurnRow,
};
use super::super::{Leases, Store, StoreError};
use super::SqlStore;
use crate::call::Turn;
use crate::money::budget::{Balance, Reserved, Scope};
use crate::money::ledger::LedgerRow;
use crate::telemetry;

#[async_trait]
impl Store for SqlStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.writer.promptly().ping().await
    }

    async fn close(&self) {
        SqlStore::close(self).await;
    }

    async fn open_session(&self, session: &NewSession, quota: &Quota) -> Result<Opened, StoreError> {
        telemetry::store("open_session", self.open_session(session.clone(), quota.clone())).await
    }

    async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        telemetry::store("session", self.read_session(id)).await
    }

    async fn ask_for(&self, id: &str, by: &str, renewed: Duration) -> Result<bool, StoreError> {
        telemetry::store("ask_for", self.ask_for(id, by, renewed)).await
    }

    async fn take_over(&self, id: &str, by: &TakeOver) -> Result<Option<TakenOver>, StoreError> {
        telemetry::store("take_over", self.take_over(id.to_owned(), by.clone())).await
    }

    async fn rotate_resume(
        &self,
        id: &str,
        epoch: u32,
        resume_hash: &[u8; 32],
        previous: Option<&[u8; 32]>,
        reconnects: u32,
    ) -> Result<(), StoreError> {
        telemetry::store("rotate_resume", self.rotate_resume(id, epoch, resume_hash, previous, reconnects))
            .await
    }

    async fn set_attached(&self, id: &str, epoch: u32, attached: bool) -> Result<(), StoreError> {
        telemetry::store("set_attached", self.set_attached(id, epoch, attached)).await
    }

    async fn end_session(
        &self,
        id: &str,
        epoch: u32,
        reason: &str,
        quality: Quality,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        telemetry::store(
            "end_session",
            self.end_session(id.to_owned(), epoch, reason.to_owned(), quality, at_ms),
        )
        .await
    }

    async fn renew_leases(&self, relay: &str, lease: Duration) -> Result<Renewed, StoreError> {
        telemetry::store("renew_leases", self.renew_leases(relay, lease)).await
    }

    async fn end_leases(&self, leases: Leases<'_>) -> Result<(), StoreError> {
        telemetry::store("end_leases", self.end_leases(leases)).await
    }

    async fn sweep(&self, resume_window: Duration) -> Result<Swept, StoreError> {
        telemetry::store("sweep", self.sweep(resume_window)).await
    }

    async fn save_turns(
        &self,
        id: &str,
        epoch: u32,
        turns: &[Turn],
        committed: Mark,
    ) -> Result<(), StoreError> {
        telemetry::store("save_turns", self.save_turns(id.to_owned(), epoch, turns.to_owned(), committed))
            .await
    }

    async fn turns(&self, id: &str) -> Result<Vec<TurnRow>, StoreError> {
        telemetry::store("turns", self.read_turns(id)).await
    }

    async fn reserve(&self, ask: &Reserve<'_>) -> Result<Reserved, StoreError> {
        telemetry::store("reserve", self.reserve(ask)).await
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, StoreError> {
        telemetry::store("settle", self.settle(settle.clone())).await
    }

    async fn ledger(&self, id: &str) -> Result<Vec<LedgerRow>, StoreError> {
        telemetry::store("ledger", self.read_ledger(id)).await
    }

    async fn exhausted(
        &self,
        id: &str,
        scope: Scope,
        balance: Balance,
        at_ms: i64,
    ) -> Result<Option<Alert>, StoreError> {
        telemetry::store("exhausted", self.exhausted(id.to_owned(), scope, balance, at_ms)).await
    }

    async fn claim_alerts(&self, claim: Duration, limit: u32) -> Result<Vec<Alert>, StoreError> {
        telemetry::store("claim_alerts", self.claim_alerts(claim, limit)).await
    }

    async fn finish_alert(&self, id: &str, attempts: u32, attempted: Attempted) -> Result<(), StoreError> {
        telemetry::store("finish_alert", self.finish_alert(id, attempts, attempted)).await
    }

    async fn dismiss_alerts(&self) -> Result<(), StoreError> {
        telemetry::store("dismiss_alerts", self.dismiss_alerts()).await
    }

    async fn expire(&self, what: Expiring<'_>, limit: u32) -> Result<u64, StoreError> {
        telemetry::store("expire", self.expire(what, limit)).await
    }

    async fn add_recording(&self, id: &str, epoch: u32, key: &str) -> Result<(), StoreError> {
        telemetry::store("add_recording", self.add_recording(id, epoch, key)).await
    }

    async fn expired_recordings(
        &self,
        before_ms: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        telemetry::store("expired_recordings", self.expired_recordings(before_ms, after, limit)).await
    }

    async fn forget_recording(&self, id: &str, recording: &str) -> Result<(), StoreError> {
        telemetry::store("forget_recording", self.forget_recording(id, recording)).await
    }

    async fn erased_recordings(&self, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        telemetry::store("erased_recordings", self.erased_recordings(after, limit)).await
    }

    async fn forget_erased(&self, recording: &str) -> Result<(), StoreError> {
        telemetry::store("forget_erased", self.forget_erased(recording)).await
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        telemetry::store("scrub", self.scrub()).await
    }

    async fn list_sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<SessionRow, Cursor>, StoreError> {
        telemetry::store("list_sessions", self.list_sessions(filter, after, limit)).await
    }

    async fn live_sessions(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<LiveRow, Cursor>, StoreError> {
        telemetry::store("live_sessions", self.live_sessions(after, limit)).await
    }

    async fn transcript(
        &self,
        of: Transcript<'_>,
        after: Option<&TurnCursor>,
        limit: u32,
    ) -> Result<Page<SaidRow, TurnCursor>, StoreError> {
        telemetry::store("transcript", self.transcript(of, after, limit)).await
    }

    async fn usage(
        &self,
        filter: &UsageFilter,
        after: Option<&UsageCursor>,
        limit: u32,
    ) -> Result<Page<UsageRow, UsageCursor>, StoreError> {
        telemetry::store("usage", self.usage(filter, after, limit)).await
    }

    async fn list_alerts(
        &self,
        filter: &AlertFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<AlertRow, Cursor>, StoreError> {
        telemetry::store("list_alerts", self.list_alerts(filter, after, limit)).await
    }

    async fn delete_session(&self, id: &str) -> Result<bool, StoreError> {
        telemetry::store("delete_session", self.delete_session(id.to_owned())).await
    }

    async fn delete_user(&self, sub: &str) -> Result<u64, StoreError> {
        telemetry::store("delete_user", self.delete_user(sub.to_owned())).await
    }

    async fn request_end(&self, whom: Whom<'_>, reason: &str) -> Result<u64, StoreError> {
        telemetry::store("request_end", self.request_end(whom, reason.to_owned())).await
    }

    async fn ends_requested(&self, relay: &str) -> Result<Vec<EndRequest>, StoreError> {
        telemetry::store("ends_requested", self.ends_requested(relay)).await
    }

    async fn end_elsewhere(&self, id: &str, reason: &str) -> Result<bool, StoreError> {
        telemetry::store("end_elsewhere", self.end_elsewhere(id.to_owned(), reason.to_owned())).await
    }

    async fn deny(&self, denial: &Denial) -> Result<(), StoreError> {
        telemetry::store("deny", self.deny(denial.clone())).await
    }

    async fn allow(&self, kind: DenialKind, subject: &str) -> Result<bool, StoreError> {
        telemetry::store("allow", self.allow(kind, subject.to_owned())).await
    }

    async fn denials(
        &self,
        after: Option<&DenialCursor>,
        limit: u32,
    ) -> Result<Page<Denial, DenialCursor>, StoreError> {
        telemetry::store("denials", self.denials(after, limit)).await
    }

    async fn denials_revision(&self) -> Result<i64, StoreError> {
        telemetry::store("denials_revision", self.denials_revision()).await
    }
}
