//! The frames that the gateway itself writes for a visitor: `hello` to the chat backend, and `config` to the widget.

use wire::{
    frames::{Hello, Mode, ServerFrame},
    origin::Origin,
};

use crate::{
    admin::{Identity, Session},
    domain::widget_access::Widget,
};

/// The chat backend's first frame: whose conversation the socket is for.
///
/// A newer admin service may name a mode that this gateway does not know. The conversation then waits for a person: the gateway must
/// not let a bot answer where nobody asked for one.
pub(super) fn hello(session: Session, origin: Option<Origin>) -> Hello {
    let Session { session_id, bot_id, locale, metadata_json, routing_key, mode, identity, .. } = session;
    let mode = Mode::from_wire(&mode).unwrap_or_else(|| {
        tracing::warn!(mode, "the admin service names a mode that this gateway does not know: a person is to answer");
        Mode::Human
    });
    let metadata = serde_json::from_str(&metadata_json).unwrap_or_default();
    let mut hello = Hello {
        session_id,
        bot_id,
        locale,
        metadata,
        routing_key,
        mode,
        origin,
        visitor_user_id: None,
        visitor_display_name: None,
        visitor_email: None,
        continues: None,
    };
    if let Some(Identity { visitor_user_id, name, email, continues }) = identity {
        hello.visitor_user_id = Some(visitor_user_id);
        (hello.visitor_display_name, hello.visitor_email, hello.continues) = (name, email, continues);
    }
    hello
}

/// Tells a widget its new look.
pub(super) fn config(widget: &Widget) -> ServerFrame {
    ServerFrame::Config { widget_config: widget.config() }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn golden(kind: &str, name: &str) -> Value {
        let golden: Value = serde_json::from_str(include_str!("../../../../tests/vectors/frames.json")).expect("JSON");
        golden[kind][name].clone()
    }

    #[test]
    fn hello_is_the_golden_one() {
        let id: wire::SessionId = "vs_019e4ae71a2b7c3d8e4f5a6b7c8d9e0f".parse().expect("an id");
        let session = Session {
            bot_id: "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e10".to_owned(),
            locale: "fr".to_owned(),
            metadata_json: r#"{"plan":"pro"}"#.to_owned(),
            routing_key: Some("sales".to_owned()),
            mode: "human".to_owned(),
            session_id: id,
            ends_at_ms: 0,
            identity: None,
        };
        let origin = "https://shop.example.com".parse().expect("an origin");
        let sent = hello(session.clone(), Some(origin));
        assert_eq!(json!(sent), golden("hello", "session"));
        let minted = Session {
            locale: "en".to_owned(),
            metadata_json: String::new(),
            routing_key: None,
            mode: "bot".to_owned(),
            ..session.clone()
        };
        let known = |name: Option<&str>| Identity {
            visitor_user_id: "customer-42".to_owned(),
            name: name.map(str::to_owned),
            email: name.map(|_| "ada@example.com".to_owned()),
            continues: name.map(|_| "vs_019e4ae71a2b7c3d8e4f5a6b7c8d9e11".parse().expect("an id")),
        };
        let sent = hello(Session { identity: Some(known(None)), ..minted }, None);
        assert_eq!(json!(sent), golden("hello", "minted_token"));
        let origin = "https://shop.example.com".parse().expect("an origin");
        let sent = hello(Session { identity: Some(known(Some("Ada"))), ..session.clone() }, Some(origin));
        assert_eq!(json!(sent), golden("hello", "identified"));
        let sent = hello(Session { mode: "oracle".to_owned(), ..session }, None);
        assert_eq!(sent.mode, Mode::Human, "a mode that this gateway does not know waits for a person");
    }

    #[test]
    fn a_new_look_is_the_golden_config() {
        let config = r##"{"customization":{"theme_color":"#0055cc","position":"bottom-left"}}"##.into();
        let widget = Widget { key_id: Uuid::nil(), sessions_per_hour: NonZeroU32::MIN, config };
        assert_eq!(json!(super::config(&widget)), golden("server", "config"));
    }
}
