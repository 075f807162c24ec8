//! `X-Forwarded-For`, one header a line, behind a peer that is a trusted proxy and one that is not: nobody is taken for a trusted proxy because they
//! say so, nor for somebody whom no trusted proxy has named.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue};
use relay::server::client_address;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

/// Does with the input what is done with bytes of strangers. It panics if a promise is broken.
pub(crate) fn run(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append("x-forwarded-for", value);
    }
    assert_eq!(client_address(STRANGER, &headers, is_trusted), STRANGER);
    let client = client_address(PROXY, &headers, is_trusted);
    assert_eq!(client, client.to_canonical(), "IPv4 inside IPv6 counts as IPv4");
    // Whatever the client says of itself before what the proxies say changes nothing.
    let mut longer = HeaderMap::new();
    longer.append("x-forwarded-for", HeaderValue::from_static("203.0.113.66"));
    for value in headers.get_all("x-forwarded-for") {
        longer.append("x-forwarded-for", value.clone());
    }
    if !is_trusted(client) {
        assert_eq!(client_address(PROXY, &longer, is_trusted), client);
    }
}
