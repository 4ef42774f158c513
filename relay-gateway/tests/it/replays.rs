//! What one signature is good for, and when it comes back: PROTOCOL.md, section 4, *Replays* and *Order and spending*.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::{Router, response::IntoResponse as _};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::time::now_unix_ms;

use crate::fakes::{Fixture, loopback, nobody, ok, refusal};

type Signed = [(&'static str, String); 3];

/// One signature, sent wherever a test says.
fn send(fixture: &Fixture, signed: &Signed, method: Method, path: &str, body: &'static str) -> reqwest::RequestBuilder {
    let request = fixture.client.request(method, fixture.url(path)).body(body);
    signed.iter().fold(request, |request, (name, value)| request.header(*name, value))
}

fn signed(fixture: &Fixture, body: &str) -> Signed {
    fixture.tenant.headers(now_unix_ms(), body.as_bytes())
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_goes_to_many_conversations_at_once_and_to_each_once() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let headers = signed(&fixture, "{}");
    let path = |conversation: usize| format!("add/message?conversation_id=c{conversation}");
    let all = (0..60).map(|conversation| status(send(&fixture, &headers, Method::POST, &path(conversation), "{}")));
    assert_eq!(join_all(all).await, [200; 60]);
    assert_eq!(fixture.backend.count(), 60);
    for again in ["conversation_id=c7", "conversation_id=c7&x=1", "x=1&conversation%5Fid=%637", "Conversation_Id=c7"] {
        let request = send(&fixture, &headers, Method::POST, &format!("add/message?{again}"), "{}");
        assert_eq!(refusal(request).await, (409, "replayed_request".to_owned()), "{again}");
    }
    for spelt in ["add//message", "add%2Fmessage", "add/message/", "add/message;a=b", "add/messag%65"] {
        let request = send(&fixture, &headers, Method::POST, &format!("{spelt}?conversation_id=c7"), "{}");
        assert_eq!(refusal(request).await.0, 409, "{spelt}");
    }
    let twice = send(&fixture, &headers, Method::POST, "add/message?conversation_id=x&conversation_id=y", "{}");
    assert_eq!(refusal(twice).await, (422, "validation_failed".to_owned()));
    let more = (60..200).map(|conversation| status(send(&fixture, &headers, Method::POST, &path(conversation), "{}")));
    let taken = join_all(more).await.into_iter().filter(|status| *status == 200).count();
    assert_eq!(taken, 128 - 60, "a signature has 128 targets");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_body_a_signature_is_good_once_wherever_it_is_sent() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let headers = signed(&fixture, "");
    assert_eq!(status(send(&fixture, &headers, Method::POST, "close/conversation?conversation_id=1", "")).await, 200);
    for (method, path) in [
        (Method::POST, "close/conversation?conversation_id=2"),
        (Method::DELETE, "elsewhere"),
        (Method::POST, "close/conversation?conversation_id=1"),
    ] {
        assert_eq!(refusal(send(&fixture, &headers, method, path, "")).await.0, 409, "{path}");
    }
    assert_eq!(status(send(&fixture, &headers, Method::GET, "elsewhere", "")).await, 200, "reading is no replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_relay_refuses_may_come_again_and_is_admitted_once() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    // The tenant's rate.
    fixture.admin.set(&fixture.tenant, |state| state.rate_limit_per_min = 1);
    assert_eq!(status(fixture.post("a", "{}")).await, 200);
    let headers = signed(&fixture, "[1]");
    let again = || send(&fixture, &headers, Method::POST, "a", "[1]");
    assert_eq!(refusal(again()).await.0, 429);
    assert_eq!(refusal(again()).await.0, 429);
    fixture.admin.set(&fixture.tenant, |state| state.rate_limit_per_min = 100);
    let all = join_all((0..10).map(|_| status(again()))).await;
    assert_eq!(all.iter().filter(|status| **status == 200).count(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|status| **status == 409).count(), 9, "{all:?}");
    // What a call holds.
    let headers = signed(&fixture, "{\"customer_email\":7}");
    for _ in 0..2 {
        let request = send(&fixture, &headers, Method::POST, "create/contact-ticket", "{\"customer_email\":7}");
        assert_eq!(refusal(request).await.0, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_charges_the_tenant_nothing() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    fixture.admin.set(&fixture.tenant, |state| state.rate_limit_per_min = 2);
    let headers = signed(&fixture, "{}");
    assert_eq!(status(send(&fixture, &headers, Method::POST, "a", "{}")).await, 200);
    for _ in 0..5 {
        assert_eq!(refusal(send(&fixture, &headers, Method::POST, "a", "{}")).await.0, 409);
    }
    assert_eq!(status(fixture.post("a", "[2]")).await, 200, "one was left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_which_nothing_was_sent_may_come_again_and_one_that_may_have_arrived_may_not() {
    let (socket, absent) = nobody();
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &format!("http://{absent}"))]).await;
    let headers = signed(&fixture, "{}");
    let again = || send(&fixture, &headers, Method::POST, "a", "{}");
    assert_eq!(refusal(again()).await, (503, "backend_unreachable".to_owned()));
    let listener = socket.listen(16).expect("it listens now");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(|| async { StatusCode::OK })).await });
    assert_eq!(status(again()).await, 200);
    assert_eq!(refusal(again()).await.0, 409);

    // A backend that reads the call and hangs up.
    let (listener, address) = loopback().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &format!("http://{address}"))]).await;
    let headers = signed(&fixture, "{}");
    let again = || send(&fixture, &headers, Method::POST, "a", "{}");
    assert_eq!(refusal(again()).await, (502, "backend_bad_response".to_owned()));
    assert_eq!(refusal(again()).await, (409, "replayed_request".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backends_own_refusal_leaves_the_signature_spent() {
    let fixture = Fixture::leased().await;
    let is_busy = AtomicBool::new(true);
    fixture.backend.answers(move |_| {
        if is_busy.load(Ordering::Relaxed) { StatusCode::SERVICE_UNAVAILABLE.into_response() } else { ok("{}") }
    });
    let headers = signed(&fixture, "{}");
    assert_eq!(status(send(&fixture, &headers, Method::POST, "a", "{}")).await, 503);
    assert_eq!(refusal(send(&fixture, &headers, Method::POST, "a", "{}")).await.0, 409);
}

/// A caller who leaves while its call is under way has spent its signature.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_half_way_does_not_get_the_signature_back() {
    let (listener, address) = loopback().await;
    let (told, mut arrived) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = told.send(()).await;
                // It never answers.
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &format!("http://{address}"))]).await;
    let headers = signed(&fixture, "{}");
    let left = tokio::spawn(send(&fixture, &headers, Method::POST, "a", "{}").send());
    arrived.recv().await.expect("it has arrived");
    left.abort();
    // More than once: the gateway may see only after the first that its caller has left.
    for _ in 0..20 {
        assert_eq!(refusal(send(&fixture, &headers, Method::POST, "a", "{}")).await.0, 409);
    }
}

/// The same where the admin service answers: it may have done what it was asked to.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_the_admin_service_works_does_not_get_the_signature_back() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!(status(fixture.post("a", "{}")).await, 200, "the tenant is known");
    let body = r#"{"visitor_user_id":"u"}"#;
    let headers = signed(&fixture, body);
    let held = fixture.admin.hold_lookups().await;
    let left = tokio::spawn(send(&fixture, &headers, Method::POST, "mint/visitor-token", body).send());
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    while !fixture.admin.calls().iter().any(|call| call == "MintVisitorToken") {
        assert!(std::time::Instant::now() < deadline, "the admin service is not asked");
        tokio::task::yield_now().await;
    }
    left.abort();
    for _ in 0..20 {
        assert_eq!(refusal(send(&fixture, &headers, Method::POST, "mint/visitor-token", body)).await.0, 409);
    }
    drop(held);
    assert_eq!(fixture.admin.calls().iter().filter(|call| *call == "MintVisitorToken").count(), 1);
}
