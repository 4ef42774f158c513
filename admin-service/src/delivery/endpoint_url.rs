//! Where an event goes: the URL of one attempt.

use url::Url;

/// What ends a base, and begins a prefix, and must not stand in the path twice.
const VERSION: &str = "/api/v1";

/// How events are written and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallbackFormat {
    /// A path for each type of event, signed with HMAC#1.
    Bloonio {
        /// What stands between the base and the event's own part, such as `/api/v1/chat-callbacks`.
        path_prefix: String,
    },
    /// Standard Webhooks 1.0: one URL for all.
    Standard,
}

/// The URL for events of a type: `<base><prefix>/<event-type>` (PROTOCOL.md, section 7), or the base itself. It never ends in a
/// slash, for receivers redirect such paths, and redirects are not followed.
#[must_use]
pub(crate) fn endpoint_url(base: &Url, format: &CallbackFormat, event_type: &str) -> Url {
    let base_path = base.path().trim_end_matches('/');
    let path = match format {
        CallbackFormat::Standard => base_path.to_owned(),
        CallbackFormat::Bloonio { path_prefix } => {
            let prefix = path_prefix.trim_matches('/');
            let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
            let rest = prefix.strip_prefix(VERSION).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            let prefix = rest.filter(|_| base_path.ends_with(VERSION)).unwrap_or(&prefix);
            format!("{base_path}{prefix}/{}", event_type.replace('_', "-"))
        }
    };
    let mut url = base.clone();
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_base_prefix_and_event() {
        for (base, prefix, url) in [
            ("https://a.example", "/api/v1/chat-callbacks", "https://a.example/api/v1/chat-callbacks/ticket-created"),
            ("https://a.example/", "api/v1/chat-callbacks/", "https://a.example/api/v1/chat-callbacks/ticket-created"),
            (
                "https://a.example/api/v1",
                "/api/v1/chat-callbacks",
                "https://a.example/api/v1/chat-callbacks/ticket-created",
            ),
            ("https://a.example/x/api/v1//", "/api/v1/c", "https://a.example/x/api/v1/c/ticket-created"),
            ("https://a.example/api/v1", "/api/v1", "https://a.example/api/v1/ticket-created"),
            ("https://a.example/api/v1", "/api/v10/c", "https://a.example/api/v1/api/v10/c/ticket-created"),
            ("https://a.example/my-api/v1", "/api/v1/c", "https://a.example/my-api/v1/api/v1/c/ticket-created"),
            ("https://a.example:8443/hooks", "", "https://a.example:8443/hooks/ticket-created"),
            ("https://a.example/hooks", "/", "https://a.example/hooks/ticket-created"),
        ] {
            let format = CallbackFormat::Bloonio { path_prefix: prefix.to_owned() };
            let found = endpoint_url(&Url::parse(base).expect("a URL"), &format, "ticket_created");
            assert_eq!(found.as_str(), url, "{base} and {prefix}");
        }
    }

    #[test]
    fn standard_webhooks_have_one_url() {
        for (base, url) in [
            ("https://a.example/hooks/chat", "https://a.example/hooks/chat"),
            ("https://a.example/hooks/", "https://a.example/hooks"),
            ("https://a.example", "https://a.example/"),
        ] {
            let found = endpoint_url(&Url::parse(base).expect("a URL"), &CallbackFormat::Standard, "ticket_created");
            assert_eq!(found.as_str(), url);
        }
    }
}
