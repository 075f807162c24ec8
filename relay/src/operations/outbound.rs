//! What the relay asks of others: the one place that makes clients, each of which has a provider of cryptography to find.

use std::net::IpAddr;

use reqwest::{ClientBuilder, Url};

/// Lets every connection with TLS find a provider of cryptography; the libraries panic without one.
pub(crate) fn provide_cryptography() {
    // Fails only if one is installed already, which is as good.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for HTTP that says who asks.
pub(crate) fn http_client() -> ClientBuilder {
    provide_cryptography();
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let client = ClientBuilder::new();
    client.user_agent(concat!("voxrelay/", env!("CARGO_PKG_VERSION")))
}

/// Whether what is asked and answered there is safe on its way: over TLS, or without ever leaving the machine.
pub(crate) fn is_safe_url(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    !host.is_empty() && (url.scheme() == "https" || (url.scheme() == "http" && is_local))
}
