//! Every error code on one page, for people: `deploy/docs/errors.md` is made of the table.

use crate::error_code::ErrorCode;

impl ErrorCode {
    /// What a caller who gets this code should do. A new code does not compile without it.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the test that writes the catalogue reads it"))]
    const fn what_to_do(self) -> &'static str {
        use ErrorCode as E;
        match self {
            E::InvalidAdminKey => {
                "Send the admin service's `ADMIN_API_KEY`, or a key of `POST /create/admin-key`: in the header `X-Admin-Key`, over gRPC as the metadata `x-admin-key`."
            }
            E::InvalidAccountKey => {
                "Send `Authorization: Bearer <account key>`, once, with a key that is neither expired nor revoked."
            }
            E::MissingAbility => "Ask for an account key with the ability that the message names.",
            E::MissingScope => "Send an admin key with the scope that the message names, or a root key.",
            E::InvalidServiceToken => {
                "Send the metadata `authorization: Bearer <token>` with the admin service's `ADMIN_GRPC_TOKEN`."
            }
            E::MissingSignatureHeaders => "Send all three `X-Bloonio-*` headers.",
            E::MalformedSignatureHeaders => {
                "Send each `X-Bloonio-*` header once and in the form that the message names."
            }
            E::TimestampOutOfWindow => {
                "Set the clock, and sign each call when it is sent. The message gives the difference."
            }
            E::InvalidSignature => {
                "Compare `received` with what your code signed, then check the tenant's id and secret."
            }
            E::InvalidRelaySignature => {
                "Give the gateway and the chat backend the same relay secret, and set both clocks."
            }
            E::InvalidWidgetKey => "Paste the current embed code.",
            E::InvalidOperatorToken => {
                "Send `Authorization: Bearer <operator_token>`, once, with a token that has not ended. `POST /relay/fetch/operator-token` gives one."
            }
            E::OperatorTokenSuperseded => {
                "Ask the tenant's backend for a new token. It gets none for an operator who is revoked."
            }
            E::InvalidIdentityToken => {
                "Ask the tenant's backend for another: it mints one with `POST /relay/mint/visitor-token`."
            }
            E::InvalidVisitorToken => "Refresh the token, or begin another session.",
            E::OriginNotAllowed => {
                "Add the page's origin to the tenant's `allowed_origins` or the key's `allowed_domains`."
            }
            E::FeatureDisabled => "Ask the platform's operator to switch the feature on for the tenant.",
            E::StorageQuotaExceeded => "Delete files, or ask the platform's operator for more room.",
            E::TenantSuspended => "Ask the platform's operator to reactivate the tenant.",
            E::TenantNotFound => "List the tenants and take an id from there.",
            E::OperatorNotFound => "Provision the operator first.",
            E::ConversationNotFound => "List the tenant's conversations and take an id from there.",
            E::MessageNotFound => "Fetch the conversation's messages and take an id from there.",
            E::TicketNotFound => "List the tenant's tickets and take an id from there.",
            E::AdminKeyNotFound => "List the admin keys and take an id from there.",
            E::AccountKeyNotFound => "List the tenant's account keys and take an id from there.",
            E::BotNotFound => "List the tenant's bots and take an id from there.",
            E::WidgetKeyNotFound => "List the bot's widget keys and take an id from there.",
            E::EventNotFound => "`GET /relay/fetch/events` lists them.",
            E::NoEndpoint => "Set `callback_url_base`.",
            E::EventIdReused => "Give each event an `event_id` of its own.",
            E::CursorExpired => "Begin at the oldest event that is kept: the message names its number.",
            E::SigningKeyNotFound => "List the signing keys and take an id from there.",
            E::SigningKeyInUse => "Rotate first, and retire the key once another signs.",
            E::LimitReached => "Remove one that is not needed.",
            E::SeatLimitReached => {
                "Revoke an operator who needs no seat, or ask the platform's operator to raise `agent_seats`."
            }
            E::AlreadyClaimed => "The message names who has the conversation: ask them to release it, or assign it.",
            E::NotAssigned => "Claim the conversation first.",
            E::ConversationResolved => "Reopen the conversation first.",
            E::ConversationNotResolved => {
                "Operators: claim the conversation, since it is open. Visitors: rate it once it is resolved."
            }
            E::CannedReplyNotFound => "List the tenant's canned replies and take an id from there.",
            E::NotFound => "Check the path: all of them begin with `/api/v1`.",
            E::MethodNotAllowed => "Use a method that the header `Allow` lists.",
            E::MalformedJson => "Send a JSON object in UTF-8.",
            E::MalformedRequest => "Send the request whole and well formed; the message says what is wrong.",
            E::UnsupportedMediaType => "Send the body without an encoding, in a type that the message names.",
            E::UriTooLong => "Send a shorter URL: long values belong in the body.",
            E::HeadersTooLarge => "Send fewer or shorter header fields.",
            E::UpgradeRequired => "Connect with a WebSocket client.",
            E::ValidationFailed => "Mend each field that `errors` names. Nothing was written.",
            E::ReplayedRequest => "Sign each call anew. If this call is a retry, the first one arrived.",
            E::Conflict => "Fetch what you meant to change, and try again.",
            E::RequestTimeout => "Send the body without pauses.",
            E::BodyTooLarge => "Send a smaller body; the message gives the limit.",
            E::RateLimited => "Wait for the seconds in `Retry-After`, then go on more slowly.",
            E::BackendUnreachable => "Send the call again, signed anew: nothing of it was sent on.",
            E::BackendTimeout => "Look whether the call was carried out before you repeat it.",
            E::BackendBadResponse => {
                "Look whether the call was carried out before you repeat it, and report it with the `request_id`."
            }
            E::BackendRefusedRelay => {
                "Nothing is wrong with the call, and it was not carried out. Operators: give gateway and chat backend one relay secret, \
                 and set both clocks."
            }
            E::DirectoryUnavailable => "Send the call again after `Retry-After`.",
            E::Overloaded => "Send the call again after `Retry-After`.",
            E::ChangePropagating => {
                "Send the same call again, signed anew: the change is made, and the call waits for the rest."
            }
            E::StoreUnavailable => "Send the call again after `Retry-After`. After a change, look first.",
            E::OutcomeUnknown => "Look whether the change was made before you repeat it.",
            E::Internal => "Report it with the `request_id`.",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::error_code::GrpcStatus;

    /// The page: every code with its statuses, its meaning and what to do.
    fn catalogue() -> String {
        let mut page = "# Error codes\n\n\
            Every failure has a stable `error_code`: branch on it, not on the message. Over HTTP it is in the body, over gRPC in the \
            metadata `error-code`.\n\n\
            This page is generated from the table in `shared/wire/src/error_code.rs`; `UPDATE_OPENAPI=1 cargo test -p wire catalogue` writes it.\n\n\
            | `error_code` | HTTP | gRPC | Meaning | What to do |\n|---|---|---|---|---|\n"
            .to_owned();
        for code in ErrorCode::ALL {
            let (http, grpc) = code.statuses();
            let (text, meaning, advice) = (code.as_str(), code.meaning(), code.what_to_do());
            let _ = writeln!(page, "| `{text}` | {} | {} | {meaning} | {advice} |", http.as_u16(), name(grpc));
        }
        page
    }

    /// A gRPC status as its specification writes it: `NotFound` is `NOT_FOUND`.
    fn name(code: GrpcStatus) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn the_catalogue_is_complete_and_current() {
        let page = catalogue();
        for code in ErrorCode::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", code.as_str()))).expect("a row");
            assert!(row.split(" | ").all(|cell| !cell.trim().is_empty()), "{row}");
            assert_eq!(row.matches('|').count(), 6, "{row}");
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docs/errors.md");
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&path, &page).expect("written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "deploy/docs/errors.md has drifted: run `UPDATE_OPENAPI=1 cargo test -p wire catalogue` and commit the difference"
        );
    }
}
