//! The client of an operator's call that a gateway passes on. The admin service sees only the gateway's address. So the gateway names
//! its client's address, and proves by the gRPC token that it is a gateway: otherwise a caller could be counted under any address.

use std::{net::IpAddr, sync::Arc};

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::config::SecretList;
use wire::signature::WINDOW_MS;

/// `<address> <unix ms> <hex of the MAC>`. Callers' headers under `x-relay-` are dropped by gateways.
pub const CLIENT: HeaderName = HeaderName::from_static("x-relay-client");

const INFO: &[u8] = b"chat-relay: client of a call that is passed on, 1\n";

/// Proves that a gateway names a client. Its `Debug` shows no key. The first key proves, every key is believed.
#[derive(Clone, Debug)]
pub struct ClientProof(Arc<[Hmac<Sha256>]>);

impl ClientProof {
    /// By what gateways and the admin service share.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    #[must_use]
    pub fn new(grpc_tokens: &SecretList) -> Self {
        let key = |token: &str| Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("a key of any length");
        Self(grpc_tokens.accepted().map(|token| key(token.expose_secret()).chain_update(INFO)).collect())
    }

    /// The header's value for this client.
    ///
    /// # Panics
    /// Never: digits and points are visible ASCII.
    #[must_use]
    pub fn name(&self, client: IpAddr, now_unix_ms: i64) -> HeaderValue {
        let named = format!("{client} {now_unix_ms}");
        let mac = self.0[0].clone().chain_update(&named).finalize().into_bytes();
        HeaderValue::try_from(format!("{named} {}", hex::encode(mac))).expect("visible ASCII")
    }

    /// The client that a gateway named within the last 30 s; `None` where none did.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap, now_unix_ms: i64) -> Option<IpAddr> {
        let (named, mac) = headers.get(CLIENT)?.to_str().ok()?.rsplit_once(' ')?;
        let mac = hex::decode(mac).ok()?;
        self.0.iter().find(|key| (*key).clone().chain_update(named).verify_slice(&mac).is_ok())?;
        let (client, at) = named.split_once(' ')?;
        let is_fresh = at.parse::<i64>().is_ok_and(|at| now_unix_ms.abs_diff(at) <= WINDOW_MS.unsigned_abs());
        client.parse().ok().filter(|_| is_fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn the_named_client_is_believed_with_the_token_and_for_30_s() {
        let proof = |tokens: &str| ClientProof::new(&tokens.parse().expect("a list of tokens"));
        let (ours, other) = (proof("rain-on-tin-roofs-7"), proof("geese-over-fields-9"));
        let rotated = proof("snow-in-the-harbour-3,rain-on-tin-roofs-7");
        let read = |proof: &ClientProof, value: &str, now| {
            let mut headers = HeaderMap::new();
            headers.insert(CLIENT, value.parse().expect("a value"));
            proof.client(&headers, now)
        };
        for client in ["192.0.2.7", "2001:db8::7"].map(|text| text.parse::<IpAddr>().expect("an address")) {
            let value = ours.name(client, NOW).to_str().expect("ASCII").to_owned();
            assert_eq!(read(&ours, &value, NOW + WINDOW_MS), Some(client));
            assert_eq!(read(&ours, &value, NOW + WINDOW_MS + 1), None);
            assert_eq!(read(&other, &value, NOW), None);
            assert_eq!(read(&rotated, &value, NOW), Some(client), "a gateway that has the older token still");
            let newer = rotated.name(client, NOW).to_str().expect("ASCII").to_owned();
            assert_eq!(read(&ours, &newer, NOW), None);
            assert_eq!(read(&ours, &value.replace('7', "8"), NOW), None, "another address, time or MAC");
        }
        for long_ago in [i64::MIN, -1, 0, i64::MAX] {
            let client = "192.0.2.7".parse().expect("an address");
            let value = ours.name(client, long_ago).to_str().expect("ASCII").to_owned();
            assert_eq!(read(&ours, &value, NOW), None, "{long_ago}");
        }
        for nonsense in ["", "192.0.2.7", "192.0.2.7 1 zz", "192.0.2.7 1700000000000 00"] {
            assert_eq!(read(&ours, nonsense, NOW), None, "{nonsense:?}");
        }
        assert_eq!(ours.client(&HeaderMap::new(), NOW), None);
    }
}
