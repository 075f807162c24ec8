//! What an address may do, and whose word counts for it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;

use super::ConfigError;
use super::values::{Values, quote};
use crate::operations::outbound::is_safe_url;

/// What this relay and an address may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// WebSocket connections this relay serves at a time.
    pub max_connections: usize,
    /// Connections of one address that have not shown a token yet.
    pub pre_login_connections_per_address: u32,
    /// Sessions that may begin from one address in a minute.
    pub sessions_per_minute_per_address: u32,
    /// Connections for calls from one address in a minute, greeted or not.
    pub connections_per_minute_per_address: u32,
    /// Connections without a call at a time.
    pub http_connections: usize,
    /// Those of one address.
    pub http_connections_per_address: usize,
    /// How long such a connection may stay idle between two requests.
    pub keep_alive: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What the relay speaks TLS with; without it, it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether plain HTTP is also spoken at an address that others reach.
    pub plain_http: bool,
    /// Where other relays reach this one: `https://host` with a port, if that is not the usual one, and nothing behind it.
    pub advertise: Option<String>,
}

/// The files, in PEM, that the relay speaks TLS with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The relay's certificate, and then those that it was signed with.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Network {
    pub(super) fn check(values: &Values) -> Result<Network, ConfigError> {
        const PROXIES: &str = "network.trusted_proxies";
        let network = |given: String| {
            let one = || given.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
            given.parse().or_else(|_| one()).map_err(|_| {
                let accepted = "give addresses or networks, such as 192.0.2.7 or 10.0.0.0/8";
                values.wrong(PROXIES, quote(&given), accepted)
            })
        };
        Ok(Network {
            max_connections: values.whole("network.max_connections")? as usize,
            pre_login_connections_per_address: values.whole("network.pre_login_connections_per_address")?,
            sessions_per_minute_per_address: values.whole("network.sessions_per_minute_per_address")?,
            connections_per_minute_per_address: values.whole("network.connections_per_minute_per_address")?,
            http_connections: values.whole("network.http_connections")? as usize,
            http_connections_per_address: values.whole("network.http_connections_per_address")? as usize,
            keep_alive: Duration::from_secs(values.whole("network.keep_alive_seconds")?.into()),
            trusted_proxies: values.list(PROXIES)?.into_iter().map(network).collect::<Result<_, _>>()?,
            tls: TlsFiles::check(values)?,
            plain_http: values.flag("network.plain_http")?,
            advertise: advertise(values)?,
        })
    }

    /// Whether nothing that is said at this address can be read on its way by somebody who is not to: it stays on the machine, or TLS is spoken
    /// here or in front.
    #[must_use]
    pub fn may_listen(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.tls.is_some() || self.plain_http
    }

    /// Whether this address is a proxy whose word about its clients counts. An IPv4 address counts in its IPv6 form, too.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Where another relay is reached that says so itself, if this one may send a token there. What is in the database, whoever wrote it, is good for
    /// no more than this relay's own configuration would be.
    #[must_use]
    pub fn other_relay(&self, address: &str) -> Option<String> {
        origin(address, self.plain_http)
    }
}

/// The address for other relays. What they send there are the tokens of administrators.
fn advertise(values: &Values) -> Result<Option<String>, ConfigError> {
    const KEY: &str = "network.advertise";
    let Some(given) = values.text(KEY)? else { return Ok(None) };
    let origin = origin(&given, values.flag("network.plain_http")?);
    let origin = origin.ok_or_else(|| {
        let accepted = "give an address such as https://relay-1.internal:8443, without a path \
                        (http:// only for localhost, and with network.plain_http)";
        values.wrong(KEY, quote(&given), accepted)
    })?;
    Ok(Some(origin))
}

/// The address of a relay without anything behind it, if nobody reads on the way what is sent there, or `plain_http` says that nobody does.
fn origin(given: &str, plain_http: bool) -> Option<String> {
    let url = Url::parse(given).ok()?;
    let has_login = !url.username().is_empty() || url.password().is_some();
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !has_login;
    let is_safe = is_safe_url(&url) || (url.scheme() == "http" && plain_http);
    (is_bare && is_safe).then(|| url.origin().ascii_serialization())
}

impl TlsFiles {
    fn check(values: &Values) -> Result<Option<TlsFiles>, ConfigError> {
        const CERTIFICATE: &str = "network.tls_certificate";
        const KEY: &str = "network.tls_key";
        match (values.text(CERTIFICATE)?, values.text(KEY)?) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into() }))
            }
            (Some(certificate), None) => {
                Err(values.wrong(CERTIFICATE, quote(certificate), "give network.tls_key as well"))
            }
            (None, Some(key)) => Err(values.wrong(KEY, quote(key), "give network.tls_certificate as well")),
        }
    }
}
