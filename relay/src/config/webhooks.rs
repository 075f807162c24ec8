//! `[webhooks.NAME]`: who is told what happens.

use std::collections::BTreeMap;

use reqwest::Url;

use super::tools::good_name;
use super::values::{Values, quote};
use super::{ConfigError, Webhook};
use crate::operations::outbound::is_safe_url;
use crate::operations::webhook::is_key;
use crate::records::store::HookEvent;

/// An address that is told what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHook {
    /// Where it is, and what is signed with.
    pub webhook: Webhook,
    /// What it is told: something at least.
    pub events: Vec<HookEvent>,
}

pub(super) fn webhooks(values: &Values) -> Result<BTreeMap<String, EventHook>, ConfigError> {
    const SECTION: &str = "webhooks";
    let names: Vec<&str> = values.names(SECTION).collect();
    names.into_iter().map(|name| Ok((good_name(SECTION, name)?, hook(&values.of(SECTION, name))?))).collect()
}

fn hook(values: &Values) -> Result<EventHook, ConfigError> {
    const URL: &str = "webhooks.*.url";
    const EVENTS: &str = "webhooks.*.events";
    let given = values.list(EVENTS)?.into_iter().map(|name| {
        HookEvent::named(&name).ok_or_else(|| {
            let known = HookEvent::ALL.map(HookEvent::name).join(", ");
            values.wrong(EVENTS, quote(&name), format!("give some of {known}"))
        })
    });
    let mut events: Vec<HookEvent> = given.collect::<Result<_, _>>()?;
    if events.is_empty() {
        events.extend(HookEvent::ALL);
    }
    let webhook = signed(values, URL, "webhooks.*.secret")?;
    let webhook = webhook.ok_or_else(|| values.wrong(URL, "nothing", "give the address"))?;
    Ok(EventHook { webhook, events })
}

/// The address and the secrets under these keys, if there are any.
pub(super) fn signed(
    values: &Values,
    url_key: &'static str,
    secret_key: &'static str,
) -> Result<Option<Webhook>, ConfigError> {
    let secrets = values.secrets(secret_key)?;
    let Some(given) = values.text(url_key)? else {
        let accepted = "give `url` as well: there is nothing to sign where nothing is sent";
        return match secrets.is_empty() {
            true => Ok(None),
            false => Err(values.wrong(secret_key, "a secret", accepted)),
        };
    };
    let url = Url::parse(&given).ok().filter(is_safe_url);
    let url = url.ok_or_else(|| {
        values.wrong(url_key, quote(&given), "give an https:// URL (http:// only for localhost)")
    })?;
    if secrets.is_empty() {
        let accepted = "give what is signed with, at least 32 bytes";
        return Err(values.wrong(secret_key, "nothing", accepted));
    }
    if let Some(secret) = secrets.iter().find(|secret| !is_key(secret)) {
        let given = format!("[{} bytes]", secret.expose().len());
        let accepted = "after whsec_ give a key in base64, as `openssl rand -base64 32` makes it";
        return Err(values.wrong(secret_key, given, accepted));
    }
    Ok(Some(Webhook { url, secrets }))
}
