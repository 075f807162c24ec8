//! What the relay asks of others: the one place that makes clients, each of which has a provider of cryptography to find.

use reqwest::ClientBuilder;

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
