//! Where a request comes from, for limits.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;

use crate::network::Network;

/// The address of the client; of an IPv6 one its /64, since one household has all of that.
///
/// Proxies that the configuration trusts are believed about whom they speak for: the last address in
/// `X-Forwarded-For`, which is the one that the proxy added itself; where that is a trusted proxy too, the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress(pub String);

/// The proxies that are believed; [`crate::routes`] lays it under every request.
#[derive(Debug, Clone)]
pub struct TrustedProxies(pub Arc<[Network]>);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl ClientAddress {
    /// Without a peer (a call within this process) it is "local".
    pub fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let trusted = parts.extensions.get::<TrustedProxies>().map_or(&[][..], |proxies| &*proxies.0);
        match peer {
            Some(peer) => Self(household(client(peer, &parts.headers, trusted))),
            None => Self("local".into()),
        }
    }
}

/// Who sends a request that came from `peer`.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let mut told = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    let mut address = peer;
    while trusted.iter().any(|network| network.contains(address)) {
        match told.next().map(|text| text.trim().parse()) {
            Some(Ok(next)) => address = next,
            Some(Err(_)) | None => break,
        }
    }
    address
}

fn household(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        if !forwarded.is_empty() {
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        let trusted = ["127.0.0.0/8", "10.0.0.0/8"].map(|text| text.parse().unwrap());
        household(client(peer.parse().unwrap(), &headers, &trusted))
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(of("127.0.0.1", "203.0.113.9, 198.51.100.7"), "198.51.100.7");
        assert_eq!(of("::ffff:127.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(of("127.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.3"), "198.51.100.7");
        assert_eq!(of("127.0.0.1", "10.0.0.3"), "10.0.0.3");
        assert_eq!(of("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(of("127.0.0.1", "nonsense"), "127.0.0.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", ""), "2001:db8:1:2::/64");
        assert_eq!(of("::ffff:192.0.2.1", ""), "192.0.2.1");
    }
}
