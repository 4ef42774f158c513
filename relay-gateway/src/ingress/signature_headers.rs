//! The three headers of a signed call, taken out of a request.

use http::{HeaderMap, HeaderName, header::Entry};
use wire::TenantId;

use crate::domain::admission::Given;

pub const TENANT_ID: HeaderName = HeaderName::from_static("x-bloonio-tenant-id");
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-bloonio-timestamp");
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-bloonio-signature");

/// The tenant that a call names, whether or not it proves to be that tenant's.
pub(super) fn named_tenant(headers: &HeaderMap) -> Option<TenantId> {
    headers.get(TENANT_ID)?.to_str().ok()?.parse().ok()
}

/// Takes the three out of a call's headers: they prove the caller to the relay, and are nothing to the chat backend.
pub fn take(headers: &mut HeaderMap) -> [Given; 3] {
    [TENANT_ID, TIMESTAMP, SIGNATURE].map(|name| take_single(headers, name))
}

fn take_single(headers: &mut HeaderMap, name: HeaderName) -> Given {
    let Entry::Occupied(given) = headers.entry(name) else { return Given::Absent };
    let (_, mut values) = given.remove_entry_mult();
    match (values.next(), values.next()) {
        (Some(value), None) if value.is_empty() => Given::Absent,
        (Some(value), None) if value.to_str().is_ok() => Given::Once(value),
        _ => Given::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_header_counts_once_and_is_gone_afterwards() {
        let mut headers = HeaderMap::new();
        for (name, value) in [(TENANT_ID, "a"), (TIMESTAMP, "1"), (TIMESTAMP, "2"), (SIGNATURE, "")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let given = take(&mut headers);
        assert!(matches!(&given, [Given::Once(id), Given::Unusable, Given::Absent] if id == "a"), "{given:?}");
        assert!(headers.is_empty());
        headers.append(TENANT_ID, HeaderValue::from_bytes(b"\xe9").expect("a header value"));
        assert!(matches!(take(&mut headers), [Given::Unusable, Given::Absent, Given::Absent]));
    }
}
