//! A visitor whose network lets no WebSocket through: frames go by one call each, and come by calls that wait. PROTOCOL.md, section 5.11.

use std::time::{Duration, Instant};

use e2e::visitor::{PAGE, Visitor, from_page};
use http::{Method, StatusCode};
use proto::directory::v1::TenantStatus;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use uuid::Uuid;
use wire::SessionId;

use crate::fakes::{BackendSocket, Fixture, another, refusal, visitor_token};

fn poll(fixture: &Fixture, token: &str, query: &str) -> RequestBuilder {
    let url = format!("http://{}/api/v1/poll/visitor-frames?{query}", fixture.relay);
    fixture.client.get(url).bearer_auth(token)
}

fn send(fixture: &Fixture, token: &str, frame: &Value) -> RequestBuilder {
    let url = format!("http://{}/api/v1/send/visitor-frame", fixture.relay);
    fixture.client.post(url).bearer_auth(token).json(frame)
}

/// Sends a call, while the test speaks for the chat backend.
fn begun(call: RequestBuilder) -> JoinHandle<(StatusCode, Value)> {
    tokio::spawn(async move {
        let answer = call.send().await.expect("an answer");
        (answer.status(), answer.json().await.expect("an envelope"))
    })
}

async fn data(call: JoinHandle<(StatusCode, Value)>) -> Value {
    let (status, body) = call.await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

fn message(id: &str) -> Value {
    json!({"id": id, "role": "bot", "content": format!("the text of {id}")})
}

fn welcome(history: &[&str]) -> Value {
    let history: Vec<_> = history.iter().map(|id| message(id)).collect();
    json!({"type": "welcome", "conversation_id": "c1", "status": "bot", "operator": null, "history": history})
}

/// The backend's end of the call that was begun, past its greetings.
async fn backend(fixture: &mut Fixture, history: &[&str]) -> BackendSocket {
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    assert_eq!(backend.hear().await.expect("hello")["type"], "hello");
    backend.say(&welcome(history)).await;
    backend
}

fn status() -> Value {
    json!({"type": "status", "status": "bot", "operator": null})
}

fn brought(id: &str) -> Value {
    json!({"type": "message", "message": message(id)})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_poll_brings_the_welcome_at_once_and_each_says_where_the_next_begins() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    for (history, after) in [(&[][..], ""), (&["m1", "m2"], "m2")] {
        let first = begun(poll(&fixture, &token, "wait_s=25"));
        backend(&mut fixture, history).await;
        assert_eq!(data(first).await, json!({"frames": [welcome(history)], "after": after}));
    }
    // The caller has a welcome without messages. What was said since may be more than this one holds: the caller begins with it.
    let next = begun(poll(&fixture, &token, "after=&wait_s=25"));
    backend(&mut fixture, &["m1"]).await;
    assert_eq!(data(next).await, json!({"frames": [welcome(&["m1"])], "after": "m1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_at_once_and_what_is_said_comes_when_it_is_said() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let missed = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    backend(&mut fixture, &["m1", "m2", "m3"]).await;
    assert_eq!(data(missed).await, json!({"frames": [status(), brought("m2"), brought("m3")], "after": "m3"}));

    let waiting = begun(poll(&fixture, &token, "after=m3&wait_s=25"));
    let mut its_backend = backend(&mut fixture, &["m2", "m3"]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "nothing was said");
    // What the gateway does not know is passed on as it was written.
    let strange = r#"{ "type":"typing", "role":"bot", "unknown":[1.50, {"a":null}] }"#;
    its_backend.send(Message::text(strange)).await;
    its_backend.say(&brought("m4")).await;
    let (_, body) = waiting.await.expect("an answer");
    let typing: Value = serde_json::from_str(strange).expect("JSON");
    assert_eq!(body["data"], json!({"frames": [status(), typing, brought("m4")], "after": "m4"}));
    assert_eq!(its_backend.hear().await, None, "the backend learns that the call is over");

    let begun_at = Instant::now();
    let nothing = begun(poll(&fixture, &token, "after=m4&wait_s=1"));
    let _open = backend(&mut fixture, &["m4"]).await;
    assert_eq!(data(nothing).await, json!({"frames": [status()], "after": "m4"}));
    assert!(begun_at.elapsed() >= Duration::from_secs(1), "{:?}", begun_at.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_begins_before_the_welcome_is_resumed() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    // Without a wait: what was missed is not waited for, but fetched.
    let resumed = begun(poll(&fixture, &token, "after=m1"));
    let mut its_backend = backend(&mut fixture, &["m3", "m4"]).await;
    assert_eq!(its_backend.hear().await.expect("a frame"), json!({"type": "resume", "after": "m1"}));
    tokio::time::sleep(Duration::from_millis(200)).await;
    for id in ["m2", "m3", "m4"] {
        its_backend.say(&brought(id)).await;
    }
    let expected = json!({"frames": [status(), brought("m2"), brought("m3"), brought("m4")], "after": "m4"});
    assert_eq!(data(resumed).await, expected);

    // What is said meanwhile comes after what was missed, whichever the backend sends first.
    let overtaken = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    let mut its_backend = backend(&mut fixture, &["m3", "m4"]).await;
    its_backend.hear().await.expect("the resume");
    its_backend.say(&brought("m5")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for id in ["m2", "m3", "m4"] {
        its_backend.say(&brought(id)).await;
    }
    let ids = |polled: &Value| -> Vec<Value> {
        polled["frames"]
            .as_array()
            .expect("frames")
            .iter()
            .skip(1)
            .map(|frame| frame["message"]["id"].clone())
            .collect()
    };
    let polled = data(overtaken).await;
    assert_eq!(
        (ids(&polled), &polled["after"]),
        (vec!["m2".into(), "m3".into(), "m4".into(), "m5".into()], &json!("m5"))
    );

    // Where what was missed does not all come, nothing later is taken for it: the next poll goes on from there.
    let broken = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    let mut its_backend = backend(&mut fixture, &["m3", "m4"]).await;
    its_backend.hear().await.expect("the resume");
    its_backend.say(&brought("m5")).await;
    its_backend.say(&brought("m2")).await;
    its_backend.send(Message::Close(None)).await;
    let polled = data(broken).await;
    assert_eq!((ids(&polled), &polled["after"]), (vec!["m2".into()], &json!("m2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_conversation_leads_to_the_one_that_the_visitor_is_in() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let lost = begun(poll(&fixture, &token, "after=a9&wait_s=25"));
    let mut its_backend = backend(&mut fixture, &["m1"]).await;
    its_backend.hear().await.expect("the resume");
    its_backend.say(&json!({"type": "error", "error_code": "message_not_found", "message": "No such message."})).await;
    assert_eq!(data(lost).await, json!({"frames": [welcome(&["m1"])], "after": "m1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_turns_to_another_conversation_is_answered_with_its_welcome_alone() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    // During the wait.
    let waiting = begun(poll(&fixture, &token, "after=m1&conversation_id=c1&wait_s=25"));
    let mut its_backend = backend(&mut fixture, &["m1"]).await;
    let mut elsewhere = welcome(&["n1", "n2"]);
    elsewhere["conversation_id"] = json!("c2");
    its_backend.say(&elsewhere).await;
    assert_eq!(data(waiting).await, json!({"frames": [elsewhere], "after": "n2"}));
    // Between two polls: the ids of messages do not tell one empty conversation from another.
    for (shown, after, history) in [("c0", "", &[][..]), ("c0", "m1", &["m1"])] {
        let next = begun(poll(&fixture, &token, &format!("after={after}&conversation_id={shown}&wait_s=25")));
        backend(&mut fixture, history).await;
        assert_eq!(data(next).await, json!({"frames": [welcome(history)], "after": after}), "{after:?}");
    }
    let (status, refused) =
        begun(poll(&fixture, &token, &format!("after=&conversation_id={}", "c".repeat(65)))).await.expect("answered");
    assert_eq!((status.as_u16(), &refused["errors"][0]["field"]), (422, &json!("conversation_id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_changed_between_two_polls_is_an_answer() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let waiting = begun(poll(&fixture, &token, "after=m1&status=bot&wait_s=25"));
    let mut its_backend = fixture.sockets.recv().await.expect("the backend is connected");
    its_backend.hear().await.expect("hello");
    let operator = json!({"display_name": "Ada", "avatar_url": null});
    let welcome = json!({
        "type": "welcome", "status": "assigned", "operator": operator, "history": [message("m1")], "expected_wait_s": 90
    });
    its_backend.say(&welcome).await;
    let told = json!({"type": "status", "status": "assigned", "operator": operator, "expected_wait_s": 90});
    assert_eq!(data(waiting).await, json!({"frames": [told], "after": "m1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_frame_gets_the_answer_that_is_its_own() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let id = Uuid::new_v4().to_string();
    let other = json!({"type": "ack", "client_id": "of another", "message_id": "m8"});
    for (frame, answer) in [
        (
            json!({"type": "message", "client_id": id, "content": "hello ☕"}),
            json!({"type": "ack", "client_id": id, "message_id": "m9"}),
        ),
        (
            json!({"type": "message", "client_id": id, "content": "no"}),
            json!({"type": "error", "error_code": "conversation_resolved", "message": "Not now.", "client_id": id}),
        ),
        (json!({"type": "history", "before": "m1"}), json!({"type": "history", "messages": [], "complete": true})),
        (json!({"type": "rate", "client_id": id, "score": 5}), json!({"type": "rating", "rating": {"score": 5}})),
        (
            json!({"type": "leave_email", "client_id": id, "email": "ada@example.com"}),
            json!({"type": "email", "email": "ada@example.com"}),
        ),
        (
            json!({"type": "feedback", "client_id": id, "message_id": "m1", "feedback": "helpful"}),
            json!({"type": "feedback", "message_id": "m1", "feedback": "helpful"}),
        ),
        (json!({"type": "conversations"}), json!({"type": "conversations", "conversations": []})),
        (
            json!({"type": "open_conversation", "client_id": id, "conversation_id": "c2"}),
            json!({"type": "welcome", "client_id": id, "conversation_id": "c2", "history": []}),
        ),
    ] {
        let sent = begun(send(&fixture, &token, &frame));
        let mut its_backend = backend(&mut fixture, &[]).await;
        assert_eq!(its_backend.hear().await.expect("a frame")["type"], frame["type"]);
        its_backend.say(&other).await;
        its_backend.say(&json!({"type": "typing", "role": "bot"})).await;
        its_backend.say(&answer).await;
        assert_eq!(data(sent).await, json!({"frame": answer}), "{frame}");
    }
    for frame in [json!({"type": "typing"}), json!({"type": "read", "message_id": "m1"})] {
        let sent = begun(send(&fixture, &token, &frame));
        let mut its_backend = backend(&mut fixture, &[]).await;
        assert_eq!(its_backend.hear().await.expect("a frame"), frame);
        assert_eq!(its_backend.hear().await, None, "it has read all, and the gateway leaves");
        assert_eq!(data(sent).await, json!({"frame": null}), "{frame}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_wrong_is_answered_with_an_error_and_reaches_nobody() {
    let mut fixture = Fixture::leased_with(crate::fakes::LEASE_MS, &[("GATEWAY_SOCKET_FRAME_BYTES", "30000")]).await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let id = Uuid::new_v4().to_string();
    for (frame, code) in [
        (json!([1]), "malformed_json"),
        (json!({"type": "hello", "session_id": "vs_other"}), "validation_failed"),
        (json!({"type": "resume", "after": "m1"}), "validation_failed"),
        (json!({"type": "message", "client_id": id, "content": "x".repeat(4001)}), "validation_failed"),
    ] {
        let sent = begun(send(&fixture, &token, &frame));
        let mut its_backend = backend(&mut fixture, &[]).await;
        assert_eq!(data(sent).await["frame"]["error_code"], code, "{frame}");
        assert_eq!(its_backend.hear().await, None, "{frame}");
    }
    let call = |body: Vec<u8>| {
        let url = format!("http://{}/api/v1/send/visitor-frame", fixture.relay);
        fixture.client.post(url).bearer_auth(&token).body(body)
    };
    assert_eq!(refusal(call(vec![b'"', 0xFF, b'"'])).await, (400, "malformed_json".to_owned()));
    assert_eq!(refusal(call(vec![b'x'; 30_001])).await, (413, "body_too_large".to_owned()));
    let long = "m".repeat(65);
    for query in ["wait_s=26", "wait_s=x", &format!("after={long}"), &format!("status={long}"), "after=a&after=b"] {
        assert_eq!(refusal(poll(&fixture, &token, query)).await, (422, "validation_failed".to_owned()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_it_opens_for_a_socket() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let suspended = another(&fixture);
    fixture.admin.set(&suspended, |state| state.status = TenantStatus::Suspended.into());
    let good = visitor_token(&tenant, &json!({}));
    for (what, token, origin, refused) in [
        ("noise", "abc".to_owned(), PAGE, (401, "invalid_visitor_token")),
        ("ended", visitor_token(&tenant, &json!({"exp": 1_000_000_000})), PAGE, (401, "invalid_visitor_token")),
        ("another page", good.clone(), "https://evil.example", (403, "origin_not_allowed")),
        ("a sandboxed frame", good.clone(), "null", (403, "origin_not_allowed")),
        (
            "a key that was rotated",
            visitor_token(&tenant, &json!({"widget_key": "pk_old"})),
            PAGE,
            (401, "invalid_widget_key"),
        ),
        ("a suspended tenant", visitor_token(&suspended, &json!({})), PAGE, (403, "tenant_suspended")),
    ] {
        let (status, code) = refused;
        for call in [poll(&fixture, &token, ""), send(&fixture, &token, &json!({"type": "typing"}))] {
            assert_eq!(refusal(from_page(call, origin)).await, (status, code.to_owned()), "{what}");
        }
    }
    let url = format!("http://{}/api/v1/poll/visitor-frames", fixture.relay);
    assert_eq!(refusal(fixture.client.get(url)).await, (401, "invalid_visitor_token".to_owned()));
    let open = "visitor_sockets_open 0";
    assert!(fixture.shown_metrics().contains(open), "no place is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_once_each() {
    let fixture = Fixture::leased_with(crate::fakes::LEASE_MS, &[("GATEWAY_UNVERIFIED_PER_MIN", "4")]).await;
    let suspended = another(&fixture);
    fixture.admin.set(&suspended, |state| state.status = TenantStatus::Suspended.into());
    let token = visitor_token(&suspended, &json!({}));
    let mut statuses = Vec::new();
    for token in ["abc", &token, "abc", &token, "abc"] {
        statuses.push(refusal(poll(&fixture, token, "")).await.0);
    }
    assert_eq!(statuses, [401, 403, 401, 403, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_has_ended_what_it_forbids_when_it_is_acknowledged() {
    let mut fixture = Fixture::leased().await;
    for (what, refused) in [
        ("suspended", (403, "tenant_suspended")),
        ("rotated", (401, "invalid_widget_key")),
        ("origin removed", (403, "origin_not_allowed")),
        ("session ended", (401, "invalid_visitor_token")),
    ] {
        let tenant = another(&fixture);
        let session = SessionId::generate().to_string();
        let token = visitor_token(&tenant, &json!({"sub": session}));
        let waiting = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
        let mut its_backend = backend(&mut fixture, &["m1"]).await;
        let frame = json!({"type": "message", "client_id": Uuid::new_v4(), "content": "unanswered"});
        let sent = begun(send(&fixture, &token, &frame));
        let mut of_sent = backend(&mut fixture, &[]).await;
        of_sent.hear().await.expect("the message");
        match what {
            "suspended" => fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into()),
            "rotated" => fixture.admin.widget_access(&tenant, |access| access.widgets.clear()),
            "origin removed" => fixture
                .admin
                .widget_access(&tenant, |access| access.allowed_origins = vec!["https://new.example".to_owned()]),
            _ => {
                fixture.admin.ended.lock().expect("not poisoned").push(session);
                fixture.admin.set(&tenant, |state| state.sessions_ended = 7);
            }
        }
        fixture.admin.push_change(Some(&tenant)).await;
        // The gateway has acknowledged the change, so this must not reach the browser.
        let _ = its_backend.takes(Message::text(brought("late").to_string()), Duration::from_secs(1)).await;
        for call in [waiting, sent] {
            let (status, body) = call.await.expect("an answer");
            assert_eq!((status.as_u16(), body["error_code"].as_str()), (refused.0, Some(refused.1)), "{what}");
        }
    }
    assert!(fixture.shown_metrics().contains("visitor_sockets_open 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_look_and_other_tabs_reach_a_waiting_poll() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let token = visitor_token(&tenant, &json!({}));
    let waiting = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    let _open = backend(&mut fixture, &["m1"]).await;
    fixture.admin.push_change(Some(&tenant)).await;
    fixture.admin.widget_access(&tenant, |access| {
        let look = json!({"bot_id": "b1", "customization": {"theme_color": "#FF0000"}});
        access.widgets.values_mut().for_each(|widget| widget.config_json = look.to_string());
    });
    fixture.admin.push_change(Some(&tenant)).await;
    let frames = data(waiting).await["frames"].clone();
    assert_eq!(frames[0], status());
    assert_eq!(frames[1]["widget_config"]["customization"]["theme_color"], "#FF0000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_counts_as_a_socket_and_as_a_frame() {
    let extra = [("GATEWAY_MAX_SOCKETS_PER_SESSION", "2"), ("GATEWAY_SOCKET_FRAMES_PER_MIN", "6")];
    let mut fixture = Fixture::leased_with(crate::fakes::LEASE_MS, &extra).await;
    let tenant = fixture.tenant.clone();
    let session = SessionId::generate().to_string();
    let token = visitor_token(&tenant, &json!({"sub": session}));
    let socket = Visitor::connect(fixture.relay, &token).await;
    let of_socket = backend(&mut fixture, &[]).await;
    let waiting = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    let of_poll = backend(&mut fixture, &["m1"]).await;
    assert_eq!(refusal(poll(&fixture, &token, "")).await, (429, "rate_limited".to_owned()), "two are open");
    let metrics = fixture.shown_metrics();
    assert!(metrics.contains("visitor_sockets_open 2"), "{metrics}");
    // A caller that is gone holds nothing.
    waiting.abort();
    let _ = waiting.await;
    while !fixture.shown_metrics().contains("visitor_sockets_open 1") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((of_poll, of_socket, socket));
    // Four of six frames are left: a sent frame is one, and to connect is another.
    for _ in 0..2 {
        let sent = begun(send(&fixture, &token, &json!({"type": "typing"})));
        let mut its_backend = backend(&mut fixture, &[]).await;
        while its_backend.hear().await.is_some() {}
        data(sent).await;
    }
    let refused = poll(&fixture, &token, "").send().await.expect("an answer");
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (429, true));
    let another_session = visitor_token(&tenant, &json!({"sub": SessionId::generate().to_string()}));
    let its_own = begun(poll(&fixture, &another_session, ""));
    backend(&mut fixture, &[]).await;
    data(its_own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_leaves_or_says_nonsense_is_told_apart_from_one_that_forbids() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let forbidden = CloseFrame { code: CloseCode::from(4100), reason: "closed for good".into() };
    for (what, last, refused) in [
        ("leaves", Message::Close(None), (503, "backend_unreachable")),
        ("forbids", Message::Close(Some(forbidden)), (502, "backend_bad_response")),
        ("binary", Message::binary(vec![1]), (503, "backend_unreachable")),
        ("no JSON", Message::text("{"), (503, "backend_unreachable")),
    ] {
        let waiting = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
        let mut its_backend = backend(&mut fixture, &["m1"]).await;
        its_backend.send(last).await;
        let (status, body) = waiting.await.expect("an answer");
        assert_eq!((status.as_u16(), body["error_code"].as_str()), (refused.0, Some(refused.1)), "{what}");
    }
    let waiting = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    backend(&mut fixture, &["m1"]).await.drop_connection();
    assert_eq!(waiting.await.expect("an answer").0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_ends_the_polls() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let waiting = begun(poll(&fixture, &token, "after=m1&wait_s=25"));
    let _open = backend(&mut fixture, &["m1"]).await;
    let begun_at = Instant::now();
    fixture.stopping.cancel();
    let (status, body) = waiting.await.expect("an answer");
    assert_eq!((status.as_u16(), body["error_code"].as_str()), (503, Some("overloaded")));
    assert!(begun_at.elapsed() < Duration::from_secs(20), "it did not wait to the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tokens_own_page_may_read_the_answer() {
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let waiting = tokio::spawn(from_page(poll(&fixture, &token, ""), PAGE).send());
    backend(&mut fixture, &[]).await;
    let answer = waiting.await.expect("a task").expect("an answer");
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let refused = from_page(poll(&fixture, &token, ""), "https://evil.example").send().await.expect("an answer");
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    for (path, method) in [("send/visitor-frame", "POST"), ("poll/visitor-frames", "GET")] {
        let url = format!("http://{}/api/v1/{path}", fixture.relay);
        let answer = from_page(fixture.client.request(Method::OPTIONS, url), PAGE).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-methods"], method);
    }
}
