//! The address that a request comes from, when it may come through proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

/// The header in which each proxy adds the address that it was called from, at the end of the list.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client. If the peer is not a trusted proxy, it is the peer. Otherwise it is the last address in the list that is not a
/// trusted proxy, since the client may have made up those before it. If all addresses in the list are trusted proxies, it is the first one.
///
/// A list with anything else than addresses says nothing, and the client is taken to be the peer. IPv4 inside IPv6 counts as IPv4.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusts(peer) {
        return peer;
    }
    let mut client = peer;
    for list in headers.get_all(FORWARDED_FOR).iter().rev() {
        let Ok(list) = list.to_str() else { return peer };
        for hop in list.rsplit(',') {
            let Some(address) = parse(hop.trim()) else { return peer };
            client = address;
            if !trusts(client) {
                return client;
            }
        }
    }
    client
}

/// Reads an address with or without a port, as proxies write it.
fn parse(hop: &str) -> Option<IpAddr> {
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    hop.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    /// Everything in 10/8 and fd00::/8 is a trusted proxy.
    fn seen(peer: &str, lists: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(FORWARDED_FOR, list.parse().expect("a header"));
        }
        let trusts = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.octets()[0] == 0xFD,
        };
        client_address(peer.parse().expect("an address"), &headers, trusts).to_string()
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_believed_nothing() {
        assert_eq!(seen("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(seen("192.0.2.9", &["10.0.0.1"]), "192.0.2.9");
        assert_eq!(seen("2001:db8::1", &["198.51.100.1"]), "2001:db8::1");
        assert_eq!(seen("192.0.2.9", &[]), "192.0.2.9");
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        for (lists, client) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["203.0.113.66, 198.51.100.1"], "198.51.100.1"),
            (&["203.0.113.66,198.51.100.1 , 10.0.0.7"], "198.51.100.1"),
            (&["203.0.113.66", "198.51.100.1", "10.0.0.7, fd00::2"], "198.51.100.1"),
            (&["nonsense, 198.51.100.1, 10.0.0.7"], "198.51.100.1"),
            (&["2001:db8::7"], "2001:db8::7"),
        ] {
            assert_eq!(seen(PROXY, lists), client, "{lists:?}");
            assert_eq!(seen("fd00::1", lists), client, "{lists:?}");
        }
    }

    #[test]
    fn without_a_client_in_the_list_it_is_the_first_proxy_or_the_peer() {
        assert_eq!(seen(PROXY, &[]), PROXY);
        assert_eq!(seen(PROXY, &["10.0.0.9, 10.0.0.8"]), "10.0.0.9");
    }

    #[test]
    fn a_list_without_sense_says_nothing() {
        for list in
            ["", ",", "unknown", "198.51.100.1,", "198.51.100.256", "_hidden", "198.51.100.1 10.0.0.2"]
        {
            assert_eq!(seen(PROXY, &[list]), PROXY, "{list:?}");
        }
        assert_eq!(seen(PROXY, &["198.51.100.1, unknown, 10.0.0.2"]), PROXY);
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, axum::http::HeaderValue::from_bytes(&[0xFF]).expect("opaque"));
        let peer = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(client_address(peer, &headers, |_| true), peer);
    }

    #[test]
    fn ports_are_left_out_and_ipv4_inside_ipv6_is_ipv4() {
        assert_eq!(seen(PROXY, &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(seen(PROXY, &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(seen(PROXY, &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(seen(PROXY, &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.1, ::ffff:10.0.0.2"]), "198.51.100.1");
        assert_eq!(seen("::ffff:192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
    }
}
