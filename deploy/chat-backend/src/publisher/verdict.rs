//! What an answer of the admin service means for the rows that were sent.

use http::StatusCode;
use serde::Deserialize;
use wire::ErrorCode;

/// Characters of a refusal that are kept.
const REASON_CHARS: usize = 500;

/// Why rows were not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing can be sent for any tenant now.
    OfEveryone(String),
    /// This tenant's rows cannot be sent now.
    OfTenant(String),
    /// The admin service will never take what was sent.
    Refused(String),
}

#[derive(Default, Deserialize)]
struct Answer {
    error_code: Option<String>,
    message: Option<String>,
    #[serde(default)]
    errors: Vec<RefusedField>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct RefusedField {
    field: String,
    message: String,
}

#[derive(Deserialize)]
struct Data {
    items: Vec<serde::de::IgnoredAny>,
}

/// What the answer means, where so many events were sent.
///
/// Rows are given up only where the admin service itself refuses them by name. Another server at a wrong URL, a proxy, or an admin
/// service of an older build must not make the backend drop or delete a row.
pub(super) fn verdict(status: StatusCode, body: &[u8], events: usize) -> Result<(), Failure> {
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    if status == StatusCode::OK {
        return match answer.data {
            Some(data) if data.items.len() == events => Ok(()),
            _ => Err(Failure::OfEveryone("its 200 is not the admin service's: check events_url".to_owned())),
        };
    }
    let said = say(status, &answer);
    match (status, answer.error_code.as_deref()) {
        (StatusCode::UNAUTHORIZED, _) => Err(Failure::OfEveryone(format!(
            "{said} (the admin service must have this backend's relay_secret, and both clocks may differ by 30 s)"
        ))),
        (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS, _) => Err(Failure::OfTenant(said)),
        (status, Some(code)) if status.is_client_error() && !is_of_a_route(code) => Err(Failure::Refused(said)),
        (status, _) if status.is_server_error() => Err(Failure::OfTenant(said)),
        // A proxy in between found this tenant's call too long.
        (StatusCode::PAYLOAD_TOO_LARGE, None) => Err(Failure::OfTenant(said)),
        _ => Err(Failure::OfEveryone(format!("{said} (check events_url)"))),
    }
}

/// Whether the code says that there is no such route, which is no word about the rows.
fn is_of_a_route(code: &str) -> bool {
    [ErrorCode::NotFound, ErrorCode::MethodNotAllowed].iter().any(|known| known.as_str() == code)
}

fn say(status: StatusCode, answer: &Answer) -> String {
    let mut said = format!("it answered {}", status.as_u16());
    for text in [&answer.error_code, &answer.message].into_iter().flatten() {
        said.push_str(&format!(" {text}"));
    }
    for refused in &answer.errors {
        said.push_str(&format!(" [{}: {}]", refused.field, refused.message));
    }
    said.chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rows_are_given_up_only_where_the_admin_service_itself_refuses_them() {
        #[derive(Debug, PartialEq)]
        enum Means {
            Taken,
            Everyone,
            Tenant,
            Refused,
        }
        let code = |code: &str| json!({"error_code": code});
        for (status, body, expected) in [
            (200, json!({"data": {"items": [{}, {}]}}), Means::Taken),
            (200, json!({"data": {"items": [{}]}}), Means::Everyone),
            (200, Value::Null, Means::Everyone),
            (204, Value::Null, Means::Everyone),
            (301, Value::Null, Means::Everyone),
            (401, code("invalid_relay_signature"), Means::Everyone),
            (404, code("not_found"), Means::Everyone),
            (405, code("method_not_allowed"), Means::Everyone),
            (404, Value::Null, Means::Everyone),
            (403, Value::Null, Means::Everyone),
            (408, code("x"), Means::Tenant),
            (429, code("rate_limited"), Means::Tenant),
            (500, code("internal_error"), Means::Tenant),
            (503, Value::Null, Means::Tenant),
            (404, code("tenant_not_found"), Means::Refused),
            (409, code("event_id_reused"), Means::Refused),
            (413, code("body_too_large"), Means::Refused),
            (413, Value::Null, Means::Tenant),
            (422, code("validation_failed"), Means::Refused),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let means = match verdict(status, body.to_string().as_bytes(), 2) {
                Ok(()) => Means::Taken,
                Err(Failure::OfEveryone(_)) => Means::Everyone,
                Err(Failure::OfTenant(_)) => Means::Tenant,
                Err(Failure::Refused(_)) => Means::Refused,
            };
            assert_eq!(means, expected, "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_says_which_field_is_wrong() {
        let body = json!({"error_code": "validation_failed", "message": "Some fields are wrong.",
                          "errors": [{"field": "events[0].event_type", "message": "is not known"}]});
        let refused = verdict(StatusCode::UNPROCESSABLE_ENTITY, body.to_string().as_bytes(), 1);
        let said = "it answered 422 validation_failed Some fields are wrong. [events[0].event_type: is not known]";
        assert_eq!(refused, Err(Failure::Refused(said.to_owned())));
    }
}
