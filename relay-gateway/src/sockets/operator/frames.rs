//! Which frames of an operator pass.

use serde_json::{Map, Value};
use wire::frames::{self, operator::OperatorFrame};

use crate::{
    domain::frame::Malformed,
    errors::files_disabled,
    sockets::{closing::Closing, participant::Checked},
};

/// Decides what becomes of a text frame. Asks whether the tenant takes files only where a frame has some.
///
/// # Errors
/// What the socket is closed with, where the tenant is gone.
pub(super) async fn check(
    text: &str,
    takes_files: impl AsyncFnOnce() -> Result<bool, Closing>,
) -> Result<Checked, Closing> {
    let Ok(object) = serde_json::from_str::<Map<String, Value>>(text) else {
        return Ok(Checked::Refuse { error: Malformed::NoObject.into(), client_id: None });
    };
    let client_id = frames::client_id(&object).map(str::to_owned);
    let frame = match OperatorFrame::read(object) {
        Ok(frame) => frame,
        Err(refused) => return Ok(Checked::Refuse { error: Malformed::Fields(refused.0).into(), client_id }),
    };
    let has_files = matches!(&frame, OperatorFrame::Message { attachments, .. } if !attachments.is_empty());
    if has_files && !takes_files().await? {
        return Ok(Checked::Refuse { error: files_disabled(), client_id });
    }
    Ok(Checked::Forward(frame.to_json()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wire::ErrorCode;

    use super::*;

    #[tokio::test]
    async fn files_are_for_tenants_who_take_them() {
        let id = "6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b11";
        let file = json!({"type": "image", "mime": "image/png", "size": 1, "url": "https://cdn.example.com/a.png"});
        let sent = json!({"type": "message", "client_id": id, "conversation_id": "c", "content": "see", "attachments": [file]});
        for takes in [true, false] {
            let checked = check(&sent.to_string(), async || Ok(takes)).await.expect("judged");
            match checked {
                Checked::Forward(_) => assert!(takes),
                Checked::Refuse { error, client_id } => {
                    assert!(!takes && error.code() == ErrorCode::FeatureDisabled);
                    assert_eq!(client_id.as_deref(), Some(id));
                }
            }
        }
        let nobody_asks = async || unreachable!("no file, no question");
        let plain = json!({"type": "typing", "conversation_id": "c"}).to_string();
        assert!(matches!(check(&plain, nobody_asks).await, Ok(Checked::Forward(_))));
        for wrong in ["[]", "no JSON", r#"{"type":"shout"}"#] {
            assert!(matches!(check(wrong, nobody_asks).await, Ok(Checked::Refuse { .. })), "{wrong}");
        }
    }
}
