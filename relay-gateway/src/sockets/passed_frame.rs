//! The few fields of a frame that a call without a WebSocket needs. The rest of a frame is passed unread, whatever it holds: a field of
//! another type than expected is as good as absent.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What is read of a frame.
#[derive(Default)]
pub(super) struct PassedFrame<'a> {
    pub(super) kind: Cow<'a, str>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) status: Option<Cow<'a, str>>,
    pub(super) conversation_id: Option<Cow<'a, str>>,
    pub(super) error_code: Option<Cow<'a, str>>,
    operator: Option<&'a RawValue>,
    expected_wait_s: Option<&'a RawValue>,
    history: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
}

/// A message, and its id.
pub(super) struct PassedMessage<'a> {
    pub(super) id: Cow<'a, str>,
    whole: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    conversation_id: Option<&'a RawValue>,
    #[serde(borrow)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow)]
    operator: Option<&'a RawValue>,
    #[serde(borrow)]
    expected_wait_s: Option<&'a RawValue>,
    #[serde(borrow)]
    history: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl<'a> PassedFrame<'a> {
    /// Reads what there is of these fields.
    pub(super) fn read(text: &'a str) -> Self {
        let Fields {
            kind,
            client_id,
            status,
            conversation_id,
            error_code,
            operator,
            expected_wait_s,
            history,
            message,
            ..
        } = serde_json::from_str(text).unwrap_or_default();
        let kind = text_of(kind).unwrap_or_default();
        let (client_id, status, error_code) = (text_of(client_id), text_of(status), text_of(error_code));
        let conversation_id = text_of(conversation_id);
        Self { kind, client_id, status, conversation_id, error_code, operator, expected_wait_s, history, message }
    }

    /// The type of the frame that answers this one; `None` where none does.
    pub(super) fn answered_by(&self) -> Option<&'static str> {
        match &*self.kind {
            "message" => Some("ack"),
            "history" => Some("history"),
            "rate" => Some("rating"),
            "leave_email" => Some("email"),
            "feedback" => Some("feedback"),
            "conversations" => Some("conversations"),
            "open_conversation" => Some("welcome"),
            _ => None,
        }
    }

    /// The message of a `message`.
    pub(super) fn message(&self) -> Option<PassedMessage<'a>> {
        if self.kind == "message" { PassedMessage::read(self.message?) } else { None }
    }

    /// The messages of a `welcome`, oldest first.
    pub(super) fn history(&self) -> Vec<PassedMessage<'a>> {
        let Some(history) = self.history else { return Vec::new() };
        let messages: Vec<&RawValue> = serde_json::from_str(history.get()).unwrap_or_default();
        messages.into_iter().filter_map(PassedMessage::read).collect()
    }

    /// What a `welcome` says of who answers, as the frame that says no more.
    pub(super) fn as_status(&self) -> Option<String> {
        let status = serde_json::Value::from(self.status.as_deref()?);
        let operator = self.operator.map_or("null", RawValue::get);
        let wait = self.expected_wait_s.map(|wait| format!(r#","expected_wait_s":{}"#, wait.get())).unwrap_or_default();
        Some(format!(r#"{{"type":"status","status":{status},"operator":{operator}{wait}}}"#))
    }
}

impl<'a> PassedMessage<'a> {
    fn read(whole: &'a RawValue) -> Option<Self> {
        let Fields { id, .. } = serde_json::from_str(whole.get()).ok()?;
        Some(Self { id: text_of(id)?, whole })
    }

    /// The frame that brings the message.
    pub(super) fn as_frame(&self) -> String {
        format!(r#"{{"type":"message","message":{}}}"#, self.whole.get())
    }
}

fn text_of(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value?.get()).ok().map(|text| text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_far_as_it_can_be() {
        let message = PassedFrame::read(r#"{"type":"message","message":{"id":"m\u00e9","content":[1]},"client_id":7}"#);
        assert_eq!((message.kind.as_ref(), message.client_id.as_deref()), ("message", None));
        assert_eq!(message.message().expect("a message").id, "m\u{e9}");
        for text in
            ["", "[]", "7", r#"{"type":7}"#, r#"{"type":"message"}"#, r#"{"type":"message","message":"no object"}"#]
        {
            assert!(PassedFrame::read(text).message().is_none(), "{text}");
        }
        let refused = PassedFrame::read(r#"{"type":"error","message":"What is wrong.","client_id":"c"}"#);
        assert_eq!((refused.kind.as_ref(), refused.client_id.as_deref()), ("error", Some("c")));
    }

    #[test]
    fn a_welcome_says_who_answers_and_what_was_said() {
        let text = r#"{"type":"welcome","status":"assigned","operator":{"display_name":"Ada"},"history":[{"id":"a"},7,{"id":"b"}]}"#;
        let welcome = PassedFrame::read(text);
        let ids: Vec<_> = welcome.history().iter().map(|message| message.id.clone().into_owned()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(welcome.history()[0].as_frame(), r#"{"type":"message","message":{"id":"a"}}"#);
        assert_eq!(
            welcome.as_status().expect("a status"),
            r#"{"type":"status","status":"assigned","operator":{"display_name":"Ada"}}"#
        );
        assert_eq!(PassedFrame::read(r#"{"type":"welcome"}"#).as_status(), None);
    }
}
