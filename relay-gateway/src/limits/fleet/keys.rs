//! The keys in Redis. Each tenant's keys carry its id as their hash tag, so a cluster keeps them on one server and one script can use them
//! together.

use std::{io::Write as _, net::IpAddr, num::NonZeroU32};

use uuid::Uuid;
use wire::{TenantId, signature::Signature};

use crate::limits::local::TenantRate;

/// Bytes of a signature that name it: so many that two signatures do not share them.
const SIGNATURE_BYTES: usize = 16;

/// A tenant's rate. Its limit is part of the name: a changed limit begins anew, so that it counts at once.
pub(super) fn rate(TenantRate { id, per_min }: TenantRate) -> Vec<u8> {
    let mut key = of(id, b":rate:");
    key.extend_from_slice(itoa::Buffer::new().format(per_min.get()).as_bytes());
    key
}

/// What a signature was used for.
pub(super) fn signature(tenant: TenantId, signature: &Signature) -> Vec<u8> {
    let mut key = of(tenant, b":used:");
    let named = hex::const_encode::<SIGNATURE_BYTES, false>(&first(signature));
    key.extend_from_slice(named.as_bytes());
    key
}

fn first(signature: &Signature) -> [u8; SIGNATURE_BYTES] {
    *signature.as_bytes().first_chunk().expect("a signature has 32 bytes")
}

/// Two keys: one counts all sessions of a widget key, the other counts those that one address began.
pub(super) fn sessions(tenant: TenantId, key: Uuid, per_hour: NonZeroU32, network: IpAddr) -> [Vec<u8>; 2] {
    let mut whole = of(tenant, b":sessions:");
    let _ = write!(whole, "{key}:{per_hour}");
    let mut share = whole.clone();
    let _ = write!(share, ":{network}");
    [whole, share]
}

/// A key that begins with the tenant's hash tag, its id in braces, followed by `what`.
fn of(tenant: TenantId, what: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(96);
    key.push(b'{');
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    key.extend_from_slice(tenant.as_uuid().as_hyphenated().encode_lower(&mut text).as_bytes());
    key.push(b'}');
    key.extend_from_slice(what);
    key
}
