//! Forwarding: unchanged where it must be, signed anew, streamed, and honest about what may have arrived.

use std::time::{Duration, Instant};

use axum::{
    body::{Body, Bytes},
    response::IntoResponse as _,
};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fakes::{Fixture, loopback, nobody, ok, refusal};

#[tokio::test]
async fn a_call_arrives_as_it_was_sent_and_signed_anew() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| {
        let headers = [
            ("content-type", "application/json"),
            ("x-custom", "kept"),
            ("keep-alive", "timeout=5"),
            ("x-relay-internal", "hidden"),
        ];
        (StatusCode::CREATED, headers, r#"{"status_code":201}"#).into_response()
    });
    let body = r#"{"content":"Où est ma commande ?"}"#;
    let answer = fixture
        .post("add/message?conversation_id=a%20b&x=%2F", body)
        .header("x-custom", "kept")
        .header("x-request-id", "call-7")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("x-relay-actor", "operator:forged")
        .header("x-relay-tenant-id", "forged")
        .header("x-admin-key", "not-the-backends-business")
        .header("cookie", "a=1")
        .send()
        .await
        .expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["x-custom"].to_str().expect("text")), (201, "kept"));
    assert_eq!(answer.headers()["x-request-id"], "call-7");
    for hidden in ["keep-alive", "x-relay-internal"] {
        assert!(!answer.headers().contains_key(hidden), "{hidden}");
    }
    assert_eq!(answer.text().await.expect("text"), r#"{"status_code":201}"#);

    let arrived = fixture.backend.last();
    assert_eq!(
        (arrived.method.as_str(), arrived.path_and_query.as_str()),
        ("POST", "/add/message?conversation_id=a%20b&x=%2F")
    );
    assert_eq!(arrived.body, body.as_bytes());
    let header = |name: &str| arrived.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!((header("x-custom").as_deref(), header("cookie").as_deref()), (Some("kept"), Some("a=1")));
    assert_eq!(header("x-request-id").as_deref(), Some("call-7"));
    assert_eq!(header("x-relay-actor").as_deref(), Some("tenant"));
    assert_eq!(header("x-relay-tenant-id").as_deref(), Some(fixture.tenant.id.as_str()));
    for hidden in ["x-bloonio-tenant-id", "x-bloonio-timestamp", "x-bloonio-signature", "x-admin-key"] {
        assert_eq!(header(hidden), None, "{hidden}");
    }
}

#[tokio::test]
async fn every_method_and_a_base_with_a_path_are_forwarded() {
    let elsewhere = Fixture::start().await;
    elsewhere.backend.answers(|_| ok("{}"));
    let base = format!("{}/chat/v1/", elsewhere.backend_url());
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &base)]).await;
    for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        // A body each: calls signed in one millisecond over one body are one signed call, wherever they go.
        let answer = fixture.signed(method.clone(), "things/1?q=1", method.as_str()).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{method}");
        let arrived = elsewhere.backend.last();
        assert_eq!(
            (arrived.method.as_str(), arrived.path_and_query.as_str()),
            (method.as_str(), "/chat/v1/things/1?q=1")
        );
    }
}

#[tokio::test]
async fn the_backends_own_errors_pass_as_they_are() {
    let fixture = Fixture::start().await;
    for status in
        [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND]
    {
        fixture.backend.answers(move |_| (status, [("location", "http://elsewhere")], "theirs").into_response());
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let answer = fixture
            .tenant
            .request(&client, Method::POST, &fixture.url("a"), status.as_str())
            .send()
            .await
            .expect("an answer");
        assert_eq!((answer.status(), answer.text().await.expect("text").as_str()), (status, "theirs"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_the_relay_is_never_told_to_a_tenant_as_its_own_401() {
    let fixture = Fixture::leased().await;
    for (status, refused) in [(401, None), (401, Some("signature")), (403, Some("signature"))] {
        fixture.backend.answers(move |_| {
            let status = StatusCode::from_u16(status).expect("a status");
            match refused {
                None => (status, "theirs").into_response(),
                Some(what) => (status, [("x-relay-refused", what)], "theirs").into_response(),
            }
        });
        for method in [Method::GET, Method::POST] {
            let body = format!("{status}{refused:?}{method}");
            let is_post = method == Method::POST;
            let call = fixture.signed(method, "a", &body);
            let answer = call.try_clone().expect("bytes").send().await.expect("an answer");
            assert!(!answer.headers().contains_key("x-relay-refused"));
            let answer: Value = answer.json().await.expect("an envelope");
            assert_eq!(
                (&answer["status_code"], &answer["error_code"]),
                (&502.into(), &"backend_refused_relay".into()),
                "{body}"
            );
            assert!(!answer.to_string().contains("theirs"), "{answer}");
            if is_post {
                assert_eq!(refusal(call).await, (409, "replayed_request".to_owned()), "a 502 leaves it spent");
            }
        }
    }
    let config = fixture
        .client
        .get(format!("http://{}/api/v1/fetch/widget-config", fixture.relay))
        .query(&[("tenant_id", &fixture.tenant.id), ("widget_public_key", &fixture.tenant.widget_public_key)]);
    let is_online = async || {
        let config = config.try_clone().expect("no body").send().await.expect("an answer");
        config.json::<Value>().await.expect("an envelope")["data"]["is_online"].clone()
    };
    assert_eq!(is_online().await, Value::Bool(false));
    let metrics = fixture.shown_metrics();
    assert!(metrics.contains("upstream=\"chat-backend\",outcome=\"refused_relay\"} 6"), "{metrics}");
    assert!(!metrics.contains("outcome=\"4xx\""), "{metrics}");

    // What a backend says to the caller itself.
    fixture.backend.answers(|_| (StatusCode::UNAUTHORIZED, [("x-relay-refused", "caller")], "theirs").into_response());
    let answer = fixture.post("a", "1").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("text").as_str()), (401, "theirs"));
    assert_eq!(is_online().await, Value::Bool(true));
}

#[tokio::test]
async fn an_answer_streams_as_it_is_made() {
    let fixture = Fixture::start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let receiver = std::sync::Mutex::new(Some(receiver));
    fixture.backend.answers(move |_| {
        let receiver = receiver.lock().expect("not poisoned").take().expect("one call");
        let pieces =
            futures_util::stream::unfold(
                receiver,
                |mut receiver| async move { Some((receiver.recv().await?, receiver)) },
            );
        ok(Body::from_stream(pieces))
    });
    let mut answer =
        fixture.signed(Method::GET, "stream", "").send().await.expect("the head comes before the body is made");
    for piece in ["one", "two", "three"] {
        sender.send(Ok(Bytes::from(piece))).await.expect("sent");
        assert_eq!(answer.chunk().await.expect("a piece").expect("one"), piece);
    }
    drop(sender);
    assert_eq!(answer.chunk().await.expect("the end"), None);
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_broken_off_not_passed_as_whole() {
    let fixture = Fixture::with(&[("GATEWAY_BACKEND_IDLE_TIMEOUT_MS", "50")]).await;
    fixture.backend.answers(|_| {
        let first = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("half")) });
        ok(Body::from_stream(futures_util::StreamExt::chain(first, futures_util::stream::pending())))
    });
    let answer = fixture.signed(Method::GET, "stream", "").send().await.expect("a head");
    assert_eq!(answer.status(), 200);
    let started = Instant::now();
    answer.bytes().await.expect_err("a body that is not whole is an error");
    assert!(started.elapsed() < Duration::from_secs(5), "the setting was not heeded");
    assert!(fixture.shown_metrics().contains("outcome=\"broken_body\"} 1"));
}

#[tokio::test]
async fn a_backend_that_is_not_there_was_sent_nothing() {
    let (_kept, absent) = nobody();
    let absent = format!("http://{absent}");
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &absent)]).await;
    let answer = fixture.post("a", "1").send().await.expect("an answer");
    assert!(answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!((&body["status_code"], &body["error_code"]), (&503.into(), &"backend_unreachable".into()));
    assert!(body["message"].as_str().is_some_and(|message| message.contains("Nothing was sent")));
}

#[tokio::test]
async fn a_backend_that_is_slow_may_have_taken_the_call() {
    let (_listener, address) = loopback().await;
    let silent = Fixture::with(&[
        ("GATEWAY_BACKEND_HEADER_TIMEOUT_MS", "100"),
        ("GATEWAY_CHAT_BACKEND_URL", &format!("http://{address}")),
    ])
    .await;
    let started = Instant::now();
    assert_eq!(refusal(silent.post("a", "1")).await, (504, "backend_timeout".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// A backend of bare sockets: answers each connection with `bytes` once a request's head has come, and counts requests.
async fn raw_backend(bytes: &'static [u8]) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let (listener, address) = loopback().await;
    let requests = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = std::sync::Arc::clone(&counted);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if matches!(stream.read(&mut buffer).await, Ok(1..)) {
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let _ = stream.write_all(bytes).await;
                }
            });
        }
    });
    (format!("http://{address}"), requests)
}

#[tokio::test]
async fn a_backend_that_breaks_off_is_asked_once() {
    for bytes in [
        b"".as_slice(),
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let (url, requests) = raw_backend(bytes).await;
        let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url)]).await;
        assert_eq!(refusal(fixture.post("a", "1")).await, (502, "backend_bad_response".to_owned()), "{bytes:?}");
        assert_eq!(
            requests.load(std::sync::atomic::Ordering::SeqCst),
            1,
            "a call that may have arrived is not sent again"
        );
    }
}

#[tokio::test]
async fn a_call_on_a_connection_that_breaks_while_reused_is_not_sent_again() {
    let (listener, address) = loopback().await;
    let posts = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&posts);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = std::sync::Arc::clone(&counted);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                // Answers the first request on a connection, and breaks off once the second has arrived.
                if matches!(stream.read(&mut buffer).await, Ok(1..)) {
                    counted.fetch_add(usize::from(buffer.starts_with(b"POST")), std::sync::atomic::Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                    if matches!(stream.read(&mut buffer).await, Ok(1..)) {
                        counted
                            .fetch_add(usize::from(buffer.starts_with(b"POST")), std::sync::atomic::Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &format!("http://{address}"))]).await;
    let answer = fixture.signed(Method::GET, "warm-up", "").send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("text"), "{}");
    assert_eq!(refusal(fixture.post("a", "1")).await, (502, "backend_bad_response".to_owned()));
    assert_eq!(posts.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn connections_to_the_backend_are_reused() {
    let (listener, address) = loopback().await;
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                }
            });
        }
    });
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &format!("http://{address}"))]).await;
    for index in 0..10 {
        let answer = fixture.signed(Method::GET, &format!("a?{index}"), "").send().await.expect("an answer");
        assert_eq!(answer.text().await.expect("text"), "{}");
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_calls_in_flight_finish_and_takes_no_more() {
    let fixture = Fixture::start().await;
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let finished = std::sync::Mutex::new(finished);
    let (arrived, mut at_the_backend) = tokio::sync::mpsc::unbounded_channel();
    fixture.backend.answers(move |_| {
        arrived.send(()).expect("the test waits");
        tokio::task::block_in_place(|| finished.lock().expect("not poisoned").recv().expect("told to finish"));
        ok("done")
    });
    let call = tokio::spawn(fixture.post("a", "1").send());
    at_the_backend.recv().await.expect("it arrived");
    fixture.stopping.cancel();
    let relay = fixture.relay;
    let drained = tokio::spawn(fixture.running.drained());
    while tokio::net::TcpStream::connect(relay).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!drained.is_finished(), "it waits for the call");
    finish.send(()).expect("the backend waits");
    let answer = call.await.expect("no panic").expect("an answer");
    assert_eq!(answer.text().await.expect("text"), "done");
    drained.await.expect("no panic");
}
