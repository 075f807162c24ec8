//! Who may begin a session: rates, the store's limits and budgets, and the refusal for those who may not.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use protocol::relay::{Attachment, Refusal};
use protocol::{CloseCode, ErrorCode, Hello};
use tokio::time::{Duration, sleep, timeout};

use super::assembly::Parts;
use super::registry::Command;
use super::resume::{self, resume_hash};
use super::{RETRY_AFTER_MS, later, lease};
use crate::App;
use crate::admission::auth::Identity;
use crate::admission::throttle::{Asking, Excess};
use crate::config::Limits;
use crate::money::budget::{Grant, Scope, Shortage};
use crate::operations::alerts;
use crate::records::recording;
use crate::records::store::{Inherited, NewSession, Opened, Quota, SessionFilter, StoreError, unix_ms};

/// How long a client waits for its session to be stored.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a client whose session may begin in a moment waits here, in place of being sent away and coming back. A session is counted a little
/// later by the database than by the relay, so a client that comes back as soon as the relay has told it to would be too early there.
const IN_A_MOMENT: Duration = Duration::from_millis(500);
/// How much longer than it is told to, because the database's clock has whole milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Whether the user may begin another session now, from this address and with the agent of this `hello`: what it is made of and its limits, if
/// so. A resumed session is not counted, nor is one of which somebody only asks whether it could begin.
pub(super) fn may_begin(
    app: &App,
    asking: Asking,
    hello: &Hello,
    identity: &Identity,
    address: IpAddr,
) -> Result<(Parts, Limits), Refusal> {
    let limits = app.config.limits_for(identity.plan.as_deref(), &identity.limits);
    let user = (identity.sub.as_str(), limits.sessions_per_minute);
    let of_address = (address, app.config.network.sessions_per_minute_per_address);
    let may = app.admission.throttle.begin(asking, user, of_address);
    may.map_err(|excess| too_often(&excess, &identity.sub, address))?;
    let agent = hello.agent.as_ref().unwrap_or(&app.config.default_agent);
    let parts = Parts::new(&app.config, &app.upstreams, &app.prices, agent, unix_ms())?;
    if !identity.may_speak_with(&parts.agent, &app.config.default_agent) {
        tracing::info!(sub = %identity.sub, agent = %parts.agent, "the token does not name this agent");
        return Err(Refusal::new(CloseCode::Forbidden, ErrorCode::AgentForbidden));
    }
    if let Some(plan) = identity.plan.as_ref().filter(|plan| !app.config.plans.contains_key(*plan)) {
        tracing::warn!(sub = %identity.sub, %plan, "the token names a plan that is not configured: the limits without one apply");
    }
    Ok((parts, limits))
}

/// The session that begins with this `hello`.
pub(super) fn new_session(
    app: &App,
    hello: &Hello,
    identity: &Identity,
    parts: &Parts,
    attachment: Attachment,
    token: &str,
) -> NewSession {
    let id = uuid::Uuid::now_v7().to_string();
    let started_at_ms = unix_ms();
    let epoch = match (&hello.resume, attachment) {
        (Some(resume), Attachment::Instead) => resume.epoch.saturating_add(1),
        _ => 0,
    };
    NewSession {
        conversation_id: hello.conversation.clone().unwrap_or_else(|| id.clone()),
        user_sub: identity.sub.clone(),
        account: identity.account.clone(),
        plan: identity.plan.clone(),
        login: identity.login.clone(),
        client: hello.client.clone(),
        agent: parts.agent.clone(),
        started_at_ms,
        epoch,
        committed: hello.start,
        resume_hash: resume_hash(token),
        recording: app.records.recordings.as_ref().map(|_| recording::key(&id, epoch, started_at_ms)),
        instead_of: hello
            .resume
            .as_ref()
            .filter(|_| attachment == Attachment::Instead)
            .map(resume::instead_of),
        id,
    }
}

/// Stores a new session and sets its first money aside, or looks whether the store would.
pub(super) async fn open(
    app: &App,
    asking: Asking,
    mut session: NewSession,
    parts: &Parts,
    limits: &Limits,
    address: IpAddr,
    attachment: Attachment,
) -> Result<(NewSession, Grant, Inherited), Refusal> {
    let quota = Quota {
        sessions_per_user: limits.sessions_per_user,
        sessions_per_account: limits.sessions_per_account,
        sessions_per_minute: limits.sessions_per_minute,
        address,
        sessions_per_minute_per_address: app.config.network.sessions_per_minute_per_address,
        caps: limits.caps(),
        reserve: parts.first_money(),
        relay: app.live.relay_id.clone(),
        lease: lease::duration(app.config.store_grace),
    };
    let mut has_waited = false;
    loop {
        let opened = async {
            match asking {
                Asking::Take => app.records.store.open_session(&session, &quota).await,
                Asking::Look => app.records.store.may_open_session(&session, &quota).await,
            }
        };
        let opened = match timeout(OPEN_TIMEOUT, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                tracing::error!(%error, "a session could not be stored, so it is refused");
                return Err(later(ErrorCode::StoreUnavailable));
            }
            Err(_) => {
                tracing::error!("a session could not be stored in time, so it is refused");
                return Err(later(ErrorCode::StoreUnavailable));
            }
        };
        return match opened {
            Opened::Yes { grant, replaced, inherited } => {
                if let Some(replaced) = replaced.filter(|_| asking == Asking::Take) {
                    app.live.sessions.tell(&replaced, Command::End(CloseCode::Replaced));
                }
                Ok((session, grant, inherited))
            }
            Opened::UserFull { live } => Err(full(ErrorCode::SessionLimit, limits.sessions_per_user, live)),
            Opened::AccountFull { live } => {
                Err(full(ErrorCode::AccountSessionLimit, limits.sessions_per_account, live))
            }
            Opened::NoMoney(shortage) => {
                if asking == Asking::Take {
                    tell_operators(app, &session, &shortage).await;
                }
                Err(no_money(&shortage))
            }
            Opened::TooOften(excess) if excess.retry_after <= IN_A_MOMENT && !has_waited => {
                has_waited = true;
                sleep(excess.retry_after + TICK).await;
                continue;
            }
            Opened::TooOften(excess) => {
                let user = (session.user_sub.as_str(), quota.sessions_per_minute);
                let of_address = (address, quota.sessions_per_minute_per_address);
                // What the database refuses counts here all the same, so that nobody has it asked without end. A client that comes back when it
                // is told to is not to be refused for that.
                let here = app.admission.throttle.begin(Asking::Look, user, of_address).err();
                let longer = here.filter(|here| here.retry_after > excess.retry_after).unwrap_or(excess);
                Err(too_often(&longer, &session.user_sub, address))
            }
            // The conversation was deleted while its last session was away, so the new session begins a conversation of its own.
            Opened::NoConversation if attachment == Attachment::Instead => {
                session.conversation_id = session.id.clone();
                continue;
            }
            Opened::NoConversation => Err(Refusal::new(CloseCode::Forbidden, ErrorCode::ConversationUnknown)),
        };
    }
}

/// The refusal of a session that is one too many in a minute, here or over all relays.
fn too_often(excess: &Excess, sub: &str, address: IpAddr) -> Refusal {
    tracing::info!(%address, sub, code = excess.code.name(), "session refused");
    excess.to_refusal()
}

fn full(code: ErrorCode, limit: u32, live: u32) -> Refusal {
    let mut refusal = Refusal::new(CloseCode::Limited, code);
    refusal.error.limit = Some(limit.into());
    refusal.error.asked = Some(u64::from(live) + 1);
    refusal.error.retry_after_ms = Some(RETRY_AFTER_MS);
    refusal
}

/// Tells the operators that a budget was used up before a call could begin, as if it had been used up in a call. The alert names the newest
/// session that the budget paid for.
async fn tell_operators(app: &App, refused: &NewSession, shortage: &Shortage) {
    let mut filter = SessionFilter::default();
    match shortage.scope {
        Scope::User => filter.user_sub = Some(refused.user_sub.clone()),
        Scope::Account => filter.account = Some(refused.account.clone()),
        Scope::Session => return,
    }
    if shortage.contended {
        return;
    }
    let told = async {
        let newest = app.records.store.list_sessions(&filter, None, 1).await?;
        let Some(session) = newest.rows.first() else { return Ok(None) };
        app.records.store.exhausted(&session.id, shortage.scope, shortage.balance, unix_ms()).await
    };
    let told: Result<_, StoreError> = told.await;
    match told {
        Ok(alert) => alert.iter().for_each(alerts::raised),
        Err(error) => tracing::warn!(%error, "that a budget is used up was not noted"),
    }
}

/// The refusal that says which budget is used up, and when there is a new one.
fn no_money(shortage: &Shortage) -> Refusal {
    let (code, period) = match shortage.scope {
        Scope::Session => (ErrorCode::Budget, None),
        Scope::User => (ErrorCode::UserBudget, Some(Unit::Day)),
        Scope::Account => (ErrorCode::AccountBudget, Some(Unit::Month)),
    };
    // Money that other calls have set aside may come back at any moment, so a contended budget is not used up for good.
    let close = if shortage.contended { CloseCode::Limited } else { CloseCode::Budget };
    let mut refusal = Refusal::new(close, code);
    refusal.error.limit = Some(shortage.balance.limit.get());
    refusal.error.asked = Some(shortage.balance.spent.get() + shortage.balance.reserved.get());
    refusal.error.retry_after_ms = match (shortage.contended, period) {
        (true, _) => Some(RETRY_AFTER_MS),
        (false, period) => period.map(until_next),
    };
    refusal
}

/// The time until the next day or month (UTC) begins, in milliseconds.
fn until_next(period: Unit) -> u64 {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let next = match period {
        Unit::Month => now.date().last_of_month(),
        _ => now.date(),
    };
    let midnight = next.tomorrow().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    let left = midnight
        .map_or(0, |midnight| midnight.timestamp().as_millisecond() - now.timestamp().as_millisecond());
    u64::try_from(left).unwrap_or_default()
}
