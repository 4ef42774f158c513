//! Tickets for operators' sockets: what an operator's token says, signed by the relay for 30 seconds, so that no token stands in a URL.
//! PROTOCOL.md, section 8.5.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::token::OperatorToken;

/// How long a ticket opens a socket, in milliseconds.
pub(crate) const LIFETIME_MS: i64 = 30_000;

/// What the relay secret is used for here, so that no signature of one kind passes for another.
const PURPOSE: &[u8] = b"chat-relay operator socket ticket";

/// Longer than any ticket of ours.
const LONGEST: usize = 2048;

/// What tickets are signed and verified with.
pub(crate) struct TicketKeys(Vec<Hmac<Sha256>>);

/// A ticket whose signature is right and whose time is not over. It opens one socket.
pub(crate) struct Ticket {
    /// The ticket's id, by which its use is remembered.
    pub(crate) id: Uuid,
    pub(crate) token: OperatorToken,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    id: Uuid,
    /// Unix milliseconds.
    ends_at_ms: i64,
    token: OperatorToken,
}

impl TicketKeys {
    /// The first of the relay's secrets signs, and all verify: gateways of one deployment take each other's tickets.
    pub(crate) fn new<'s>(relay_secrets: impl IntoIterator<Item = &'s [u8]>) -> Self {
        let key = |secret: &[u8]| {
            let mut derived = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
            derived.update(PURPOSE);
            let derived = derived.finalize().into_bytes();
            Hmac::new_from_slice(&derived).expect("HMAC takes a key of any length")
        };
        Self(relay_secrets.into_iter().map(key).collect())
    }

    /// Makes a ticket, and says when it ends, in Unix milliseconds. It ends with its token at the latest.
    pub(crate) fn issue(&self, token: &OperatorToken, now_unix_ms: i64) -> (String, i64) {
        let ends_at_ms = (now_unix_ms + LIFETIME_MS).min(token.ends_at_ms());
        let payload = Payload { id: Uuid::new_v4(), ends_at_ms, token: token.clone() };
        let payload = serde_json::to_vec(&payload).expect("texts and numbers are JSON");
        let mut signature = self.0.first().expect("a relay has a secret").clone();
        signature.update(&payload);
        let signature = signature.finalize().into_bytes();
        (format!("{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(signature)), ends_at_ms)
    }

    /// Reads a ticket; `None` where it is not one of this relay's, or its time is over. The caller must check whether it was used.
    pub(crate) fn verify(&self, text: &str, now_unix_ms: i64) -> Option<Ticket> {
        if text.len() > LONGEST {
            return None;
        }
        let (payload, signature) = text.split_once('.')?;
        let (payload, signature) = (URL_SAFE_NO_PAD.decode(payload).ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?);
        let is_ours = self.0.iter().any(|key| {
            let mut key = key.clone();
            key.update(&payload);
            key.verify_slice(&signature).is_ok()
        });
        let Payload { id, ends_at_ms, token } = is_ours.then(|| serde_json::from_slice(&payload).ok())??;
        (now_unix_ms < ends_at_ms).then_some(Ticket { id, token })
    }
}

#[cfg(test)]
mod tests {
    use wire::TenantId;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn token() -> OperatorToken {
        OperatorToken {
            key_id: "k1".to_owned(),
            tenant_id: TenantId::generate(),
            operator_id: Uuid::new_v4(),
            membership_version: 3,
            tenant_generation: 1,
            first_issued_at: NOW / 1000 - 60,
            expires_at: NOW / 1000 + 3600,
        }
    }

    #[test]
    fn a_ticket_says_what_its_token_said_for_thirty_seconds() {
        let keys = TicketKeys::new([b"a relay secret".as_slice()]);
        let token = token();
        let (ticket, ends_at_ms) = keys.issue(&token, NOW);
        assert_eq!(ends_at_ms, NOW + LIFETIME_MS);
        let read = keys.verify(&ticket, ends_at_ms - 1).expect("it is good");
        assert_eq!(read.token, token);
        assert!(keys.verify(&ticket, ends_at_ms).is_none(), "its time is over");
        let (other, _) = keys.issue(&token, NOW);
        assert_ne!(keys.verify(&other, NOW).expect("it is good").id, read.id);
        let short = OperatorToken { expires_at: NOW / 1000 + 5, ..token };
        assert_eq!(keys.issue(&short, NOW).1, NOW + 5000, "no longer than its token");
    }

    #[test]
    fn any_of_the_relays_secrets_verifies_and_no_other() {
        let (old, new) = (b"the old secret".as_slice(), b"the new secret".as_slice());
        let (ticket, _) = TicketKeys::new([old]).issue(&token(), NOW);
        assert!(TicketKeys::new([new, old]).verify(&ticket, NOW).is_some());
        assert!(TicketKeys::new([new]).verify(&ticket, NOW).is_none());
        let (payload, signature) = ticket.split_once('.').expect("two parts");
        let mut forged = URL_SAFE_NO_PAD.decode(payload).expect("base64");
        let at = forged.iter().position(|byte| *byte == b'3').expect("the version");
        forged[at] = b'4';
        for wrong in [
            format!("{}.{signature}", URL_SAFE_NO_PAD.encode(forged)),
            payload.to_owned(),
            format!("{payload}."),
            String::new(),
            "x".repeat(LONGEST + 1),
        ] {
            assert!(TicketKeys::new([old]).verify(&wrong, NOW).is_none(), "{wrong}");
        }
    }
}
