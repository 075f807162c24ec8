//! Messages to the operator's webhooks: signed, retried, at least once.
//!
//! Alerts go to one address, and their outboxes are the tables of alerts and of incidents. Events go to as many as there are, and their outbox is
//! the table of deliveries. [`Webhook::deliver_due`], [`Webhook::deliver_incidents`] and [`Webhook::deliver_events`] claim what is due, so that of
//! several relays one sends it; a relay that is lost in the middle leaves a claim that ends. Receivers tell repetitions by `webhook-id`.
//! `docs/webhooks.md` is what they read.

mod events;
mod incidents;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::json;
use sha2::Sha256;

use crate::config::{self, Secret};
use crate::money::budget::Scope;
use crate::operations::{log, outbound, telemetry};
use crate::records::store::{Alert, Attempted, Claimed, MessageKind, Notice, Store, StoreError, unix_ms};

/// For a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Nobody else sends a claimed message for so long: more than a batch takes that has to go one after another.
const CLAIM: Duration = Duration::from_secs(120);
/// For how long what is due waits for a relay that has an address for it. Such a relay takes it within seconds, or, if many wait for a receiver that does
/// not answer, within minutes, and what it tries again later is not due until then. So this is rather as long as all relays of a database may take to
/// get an address one after another, or the only one that has it to be replaced; and what is still so after it is told anew.
pub const WAIT_FOR_ADDRESS: Duration = Duration::from_secs(3_600);
/// Messages that are sent at the same time.
const BATCH: u32 = 8;
/// Of a key in the form of the specification.
const KEY_PREFIX: &str = "whsec_";

/// When a delivery that failed is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The first wait, at most. Each further one may be three times as long,
    pub first: Duration,
    /// but no longer than this.
    pub longest: Duration,
    /// Tries in all.
    pub attempts: u32,
    /// Nothing is tried when the message has been due for as long as this.
    pub give_up_after: Duration,
    /// What has waited for longer than that before it was tried at all, since no relay ran or too much was before it, is tried so often.
    pub at_least: u32,
}

/// Sends messages to one address.
#[derive(Debug)]
pub struct Webhook {
    url: Url,
    secrets: Vec<Secret>,
    client: Client,
    pace: Pace,
}

/// What a receiver answered.
#[derive(Debug)]
enum Answer {
    /// A status.
    Status(StatusCode),
    /// Nothing, for this reason.
    Failure(String),
}

/// A message on its way.
#[derive(Debug)]
struct Message<'a> {
    /// What it is, for the log.
    what: &'static str,
    id: &'a str,
    body: String,
    /// How often it was sent, this time included.
    attempts: u32,
    /// Since when it is to be sent, in milliseconds since 1970.
    due_since_ms: i64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(6 * 3_600),
            attempts: 12,
            give_up_after: Duration::from_secs(24 * 3_600),
            at_least: 4,
        }
    }
}

impl Answer {
    /// The status, or why there was none.
    fn in_full(self) -> String {
        match self {
            Answer::Status(status) => status.as_u16().to_string(),
            Answer::Failure(failure) => failure,
        }
    }

    /// The status, or that there was none: it stands in a row that with Supabase the user reads whom the alert is about, and why there was none may
    /// name the operator's server. The log says it.
    fn in_brief(self) -> String {
        match self {
            Answer::Status(status) => status.as_u16().to_string(),
            Answer::Failure(_) => "no answer".to_owned(),
        }
    }
}

impl Pace {
    /// How long to wait after so many tries: any time up to a limit that grows (full jitter), so that many who failed together do not
    /// come back together. `random` picks it. `None` gives up.
    #[must_use]
    pub fn wait(&self, attempts: u32, age: Duration, random: u64) -> Option<Duration> {
        if attempts >= self.attempts || age >= self.give_up_after && attempts >= self.at_least {
            return None;
        }
        let longest = 3_u32
            .checked_pow(attempts.saturating_sub(1))
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |wait| wait.min(self.longest));
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis(random % millis.saturating_add(1).max(1)))
    }
}

impl Webhook {
    /// A webhook as it is configured.
    ///
    /// # Errors
    /// When the system has no TLS to offer.
    pub fn new(config: &config::Webhook, pace: Pace) -> Result<Webhook, reqwest::Error> {
        let client = outbound::http_client().timeout(TIMEOUT).redirect(Policy::none()).build()?;
        Ok(Webhook { url: config.url.clone(), secrets: config.secrets.clone(), client, pace })
    }

    /// Sends what is due. Says how many alerts were tried: as long as there are any, there may be more.
    ///
    /// # Errors
    /// When the database does not answer. What was sent and could not be noted is sent again when the claim is over.
    pub async fn deliver_due(&self, store: &dyn Store) -> Result<usize, StoreError> {
        let claimed = store.claim_alerts(CLAIM, BATCH).await?;
        // Of one budget one after another, the lowest threshold first: a receiver does not hear that it is used up before it hears
        // that it is half used.
        let mut budgets: Vec<Vec<&Notice>> = Vec::new();
        for alert in &claimed {
            match budgets.iter_mut().find(|alerts| same_budget(alerts[0], alert)) {
                Some(alerts) => alerts.push(alert),
                None => budgets.push(vec![alert]),
            }
        }
        let noted = join_all(budgets.into_iter().map(|alerts| self.deliver_in_order(store, alerts)));
        noted.await.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(claimed.len())
    }

    async fn deliver_in_order(&self, store: &dyn Store, alerts: Vec<&Notice>) -> Result<(), StoreError> {
        for alert in alerts {
            // One that fails holds up none of the others: it may be refused for good.
            let Claimed { id, attempts, due_since_ms } = alert.claimed();
            let message = Message { what: "an alert", id, body: body(alert), attempts, due_since_ms };
            let (attempted, answer) = self.deliver(message).await;
            store.finish_alert(alert.claimed(), attempted, &answer.in_brief()).await?;
        }
        Ok(())
    }

    /// Sends a message, and says what became of it and what was answered.
    async fn deliver(&self, message: Message<'_>) -> (Attempted, Answer) {
        let (attempted, answer) = match self.send(&message).await {
            Ok(status) => (self.judge(&message, status), Answer::Status(status)),
            Err(error) => {
                let failure = why(error);
                (self.again(&message, &failure), Answer::Failure(failure))
            }
        };
        count(attempted);
        (attempted, answer)
    }

    /// Says what becomes of a message that cannot be written, for this reason: the same as of one that nobody takes.
    fn cannot_write(&self, message: &Message<'_>, failure: &str) -> Attempted {
        let attempted = self.again(message, failure);
        count(attempted);
        attempted
    }

    fn judge(&self, message: &Message<'_>, status: StatusCode) -> Attempted {
        match status {
            status if status.is_success() => Attempted::Delivered,
            StatusCode::GONE => {
                let Message { what, id, .. } = message;
                tracing::error!(%id, "the webhook says that it is gone: {what} is given up");
                Attempted::GivenUp
            }
            status => self.again(message, &format!("status {}", status.as_u16())),
        }
    }

    /// When a message that failed is sent again, if it is.
    fn again(&self, message: &Message<'_>, failure: &str) -> Attempted {
        let Message { what, id, attempts, due_since_ms, .. } = message;
        let due = u64::try_from(unix_ms().saturating_sub(*due_since_ms)).unwrap_or_default();
        match self.pace.wait(*attempts, Duration::from_millis(due), random()) {
            Some(wait) => {
                tracing::warn!(%id, attempts, %failure, again_in_s = wait.as_secs(), "{what} was not delivered");
                Attempted::Again(wait)
            }
            None => {
                tracing::error!(%id, attempts, %failure, "{what} was not delivered and is given up");
                Attempted::GivenUp
            }
        }
    }

    async fn send(&self, message: &Message<'_>) -> Result<StatusCode, reqwest::Error> {
        let timestamp = unix_ms() / 1_000;
        let response = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", sign(&self.secrets, message.id, timestamp, &message.body))
            .body(message.body.clone())
            .send()
            .await?;
        Ok(response.status())
    }
}

fn count(attempted: Attempted) {
    telemetry::webhook(match attempted {
        Attempted::Delivered => "delivered",
        Attempted::Again(_) => "failed",
        Attempted::GivenUp => "given_up",
    });
}

/// Sends all alerts and incidents that are due. A relay without an address leaves them to others that may have one, and drops what none of them has
/// taken for [`WAIT_FOR_ADDRESS`].
///
/// # Errors
/// When the database does not answer.
pub async fn deliver_or_let_go(webhook: Option<&Webhook>, store: &dyn Store) -> Result<(), StoreError> {
    let Some(webhook) = webhook else {
        store.dismiss_alerts(WAIT_FOR_ADDRESS).await?;
        return store.dismiss_incidents(WAIT_FOR_ADDRESS).await;
    };
    while webhook.deliver_due(store).await? + webhook.deliver_incidents(store).await? > 0 {}
    Ok(())
}

/// The signatures of the Standard Webhooks specification, one of each secret with a space between them, so that a receiver who knows one of
/// the secrets finds its own: `v1,` and the HMAC-SHA256 of id, time (seconds since 1970) and body in base64. Of a secret that begins with
/// `whsec_` the rest is the key in base64, as the specification wants it; any other is the key itself.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &str) -> String {
    let signatures = secrets.iter().map(|secret| signature(secret, id, timestamp, body));
    signatures.collect::<Vec<_>>().join(" ")
}

fn signature(secret: &Secret, id: &str, timestamp: i64, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key(secret).unwrap_or_default()).expect("a key may have any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Whether there is a key in the secret.
pub(crate) fn is_key(secret: &Secret) -> bool {
    key(secret).is_some_and(|key| !key.is_empty())
}

fn key(secret: &Secret) -> Option<Vec<u8>> {
    let secret = secret.expose();
    match secret.strip_prefix(KEY_PREFIX) {
        Some(key) => STANDARD.decode(key).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}

fn body(alert: &Notice) -> String {
    let (kind, data) = match alert {
        Notice::Budget(alert) => (
            MessageKind::BudgetThreshold,
            json!({
                "alert_id": alert.id,
                "scope": alert.scope.name(),
                "period": alert.period,
                "percent": alert.percent,
                "limit_nano_usd": alert.limit.get(),
                "spent_nano_usd": alert.spent.get(),
                "account": alert.account,
                "user": alert.user_sub,
                "session_id": alert.session_id,
            }),
        ),
        Notice::Excess(alert) => (
            MessageKind::ProviderExcess,
            json!({
                "alert_id": alert.id,
                "item": alert.item,
                "hour": alert.hour,
                "excess_nano_usd": alert.excess.get(),
                "account": alert.account,
                "session_id": alert.session_id,
            }),
        ),
    };
    json!({ "type": kind.name(), "timestamp": time(alert.created_at_ms()), "data": data }).to_string()
}

/// A time (RFC 3339, UTC).
fn time(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string()
}

/// With its causes and without the address, which may hold a secret.
pub(crate) fn why(error: reqwest::Error) -> String {
    log::with_causes(&error.without_url())
}

fn same_budget(a: &Notice, b: &Notice) -> bool {
    let (Some(a), Some(b)) = (a.budget(), b.budget()) else { return false };
    let owner = |alert: &Alert| match alert.scope {
        Scope::Session => alert.session_id.clone(),
        Scope::User => alert.user_sub.clone(),
        Scope::Account => alert.account.clone(),
    };
    (a.scope, &a.period) == (b.scope, &b.period) && owner(a) == owner(b)
}

fn random() -> u64 {
    getrandom::u64().expect("the operating system gives random numbers once it has given one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_has_the_signature_that_it_says() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let signed = |secrets: &[Secret]| {
            sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#)
        };
        assert_eq!(signed(&[secret]), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_receiver_finds_the_signature_of_the_secret_that_it_knows_while_there_are_two() {
        let [new, old] = ["new", "old"].map(|secret| Secret::new(secret.repeat(12)));
        let signed = |secrets: &[Secret]| sign(secrets, "msg_1", 1_614_265_330, "{}");
        let both = signed(&[new.clone(), old.clone()]);
        let signatures: Vec<&str> = both.split(' ').collect();
        assert_eq!(signatures, [signed(&[new]), signed(&[old])]);
        assert_ne!(signatures[0], signatures[1]);
    }

    #[tokio::test]
    async fn a_request_that_fails_says_why_and_not_where() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let client = outbound::http_client().build().expect("there is TLS");
        let ask = |url: String| client.get(url).timeout(Duration::from_millis(300)).send();
        let silent = ask(format!("http://{address}/secret")).await.expect_err("nobody answers");
        assert!(why(silent).contains("timed out"));
        drop(listener);
        let refused = why(ask(format!("http://{address}/secret")).await.expect_err("nobody is there"));
        assert!(refused.contains("refused") && !refused.contains("/secret"), "{refused}");
        let unknown =
            why(ask("http://nobody.invalid/secret".into()).await.expect_err("there is no such host"));
        assert!(unknown.contains("dns") && !unknown.contains("/secret"), "{unknown}");
    }

    #[test]
    fn waits_grow_from_seconds_to_hours_and_end_within_a_day() {
        let pace = Pace::default();
        for (attempts, limit_s) in [(1, 5), (2, 15), (4, 135), (8, 10_935), (9, 21_600), (11, 21_600)] {
            let wait = |random| pace.wait(attempts, Duration::ZERO, random);
            assert_eq!(wait(limit_s * 1_000), Some(Duration::from_secs(limit_s)), "after {attempts}");
            assert_eq!(wait(limit_s * 1_000 + 1), Some(Duration::ZERO), "after {attempts}");
        }
        for attempts in [12, 13, u32::MAX] {
            assert_eq!(pace.wait(attempts, Duration::ZERO, 1), None);
        }
        let day = Duration::from_secs(24 * 3_600);
        assert_eq!((pace.wait(3, day, 1), pace.wait(4, day, 1)), (Some(Duration::from_millis(1)), None));
    }
}
