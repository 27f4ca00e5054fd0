//! Where a request comes from, for limits.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;

/// The address of the client; of an IPv6 one its /64, since one household has all of that.
///
/// A proxy on this very machine is believed about whom it speaks for: the last address in `X-Forwarded-For`, which is
/// the one that it added itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(
            parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
            &parts.headers,
        ))
    }
}

impl ClientAddress {
    /// Without a peer (a call within this process) it is "local".
    pub fn of(peer: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let Some(peer) = peer else { return Self("local".into()) };
        let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
        let forwarded = forwarded
            .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok())
            .filter(|_| peer.to_canonical().is_loopback());
        Self(network(forwarded.unwrap_or(peer)))
    }
}

fn network(address: IpAddr) -> String {
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
        ClientAddress::of(Some(peer.parse().unwrap()), &headers).0
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        assert_eq!(of("127.0.0.1", "203.0.113.9, 198.51.100.7"), "198.51.100.7");
        assert_eq!(of("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(of("127.0.0.1", "nonsense"), "127.0.0.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6", ""), "2001:db8:1:2::/64");
        assert_eq!(of("::ffff:192.0.2.1", ""), "192.0.2.1");
    }
}
