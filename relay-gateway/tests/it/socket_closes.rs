//! What closes a socket that nothing forbids: a side that is wrong, silent or slow, a bound, a restart.

use std::time::{Duration, Instant};

use e2e::{signed::Tenant, visitor::PAGE};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::fakes::{Fixture, another, connect, talk, visitor_token};

const SESSION: &str = "vs_0192f3a4b5c67d8e8f90a1b2c3d4e5f6";

/// A WebSocket spoken by hand, for what no library would send. Answers the stream after the handshake.
async fn by_hand(fixture: &Fixture, tenant: &Tenant) -> TcpStream {
    let mut stream = TcpStream::connect(fixture.relay).await.expect("a connection");
    let head = format!(
        "GET /api/v1/ws/widget?token={} HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {PAGE}\r\n\r\n",
        visitor_token(tenant, &json!({}))
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// The code of the close frame that comes, whatever comes before it.
async fn close_code(stream: &mut TcpStream) -> u16 {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await.expect("a frame");
        let length = match head[1] {
            126 => stream.read_u16().await.expect("a length").into(),
            127 => usize::try_from(stream.read_u64().await.expect("a length")).expect("a length"),
            short => short.into(),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.expect("a payload");
        if head[0] == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_the_websocket_protocol_is_told_and_closed() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_FRAME_BYTES", "1000")]).await;
    let tenant = fixture.tenant.clone();
    let mask = [0_u8; 4];
    let huge = [b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff".as_slice(), &mask].concat();
    let endless: Vec<u8> = {
        // A message of parts that never ends, each of them within the limit.
        let part = |first: u8| [&[first, 0xfe, 3, 0x84], mask.as_slice(), &[b'x'; 900]].concat();
        [part(0x01), part(0x00), part(0x00)].concat()
    };
    for (what, bytes, code) in [
        ("a frame beyond the limit", huge, 4413),
        ("parts beyond the limit", endless, 4413),
        ("bytes", [b"\x82\x81".as_slice(), &mask, b"x"].concat(), 1003),
        ("text that is not UTF-8", [b"\x81\x81".as_slice(), &mask, b"\xff"].concat(), 1007),
        ("a frame without a mask", b"\x81\x02{}".to_vec(), 1002),
        ("an opcode there is not", [b"\x83\x80".as_slice(), &mask].concat(), 1002),
        ("a reserved bit", [b"\xc1\x80".as_slice(), &mask].concat(), 1002),
    ] {
        let mut stream = by_hand(&fixture, &tenant).await;
        let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
        backend.hear().await.expect("hello");
        stream.write_all(&bytes).await.expect("sent");
        assert_eq!(close_code(&mut stream).await, code, "{what}");
        assert_eq!(backend.hear().await, None, "{what}: nothing reached the backend");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_says_too_much_is_closed() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_FRAMES_PER_MIN", "5")]).await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    for _ in 0..6 {
        visitor.say(&json!({"type": "typing"})).await;
    }
    assert_eq!(visitor.closed().await, 4429);
    let mut heard = 0;
    while backend.hear().await.is_some() {
        heard += 1;
    }
    assert_eq!(heard, 4, "to have connected was one");
    let (mut visitor, _backend) = talk(&mut fixture, &tenant, &json!({})).await;
    for _ in 0..6 {
        visitor.send(Message::Ping(Vec::new().into())).await;
    }
    assert_eq!(visitor.closed().await, 4429, "pings cost as much");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_silent_for_long_or_gone_is_closed() {
    let timeouts = [("GATEWAY_SOCKET_PING_MS", "400"), ("GATEWAY_SOCKET_IDLE_TIMEOUT_MS", "1500")];
    let mut fixture = Fixture::leased_with(600_000, &timeouts).await;
    let tenant = fixture.tenant.clone();
    // A test's client answers pings only while it waits for something.
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    let begun = Instant::now();
    let (code, _) = tokio::join!(visitor.closed(), backend.hear());
    assert_eq!(code, 4408);
    assert!(begun.elapsed() >= Duration::from_millis(1500), "answers to pings kept it open");

    // One that answers no ping: nobody is there to be told.
    let mut silent = by_hand(&fixture, &tenant).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    assert_eq!(backend.hear().await, None);
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.expect("it is closed");
    assert!(!rest.is_empty() && rest.iter().all(|byte| [0x89, 0].contains(byte)), "pings alone: {rest:?}");

    // A backend that answers none: the browser may come back.
    let mut visitor = connect(&fixture, &tenant, &json!({})).await;
    let backend = fixture.sockets.recv().await.expect("the backend is connected");
    assert_eq!(visitor.closed().await, 1013);
    drop(backend);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_left_and_nothing_is_piled_up_for_it() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_SEND_TIMEOUT_MS", "300")]).await;
    let tenant = fixture.tenant.clone();
    let stream = by_hand(&fixture, &tenant).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    let frame = json!({"type": "message", "message": {"content": "x".repeat(500_000)}}).to_string();
    let mut taken = 0;
    while backend.takes(Message::text(frame.clone()), Duration::from_secs(5)).await {
        taken += frame.len();
        assert!(taken < 100_000_000, "the gateway takes what it cannot pass on");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while !fixture.shown_metrics().contains("visitor_sockets_closed_total{code=\"4408\"} 1") {
        assert!(Instant::now() < deadline, "{}", fixture.shown_metrics());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_not_more_sockets_than_there_may_be() {
    let caps = [
        ("GATEWAY_MAX_SOCKETS", "4"),
        ("GATEWAY_MAX_SOCKETS_PER_TENANT", "3"),
        ("GATEWAY_MAX_SOCKETS_PER_SESSION", "2"),
    ];
    let mut fixture = Fixture::leased_with(600_000, &caps).await;
    let (one, other) = (fixture.tenant.clone(), another(&fixture));
    let session = json!({"sub": SESSION});
    let first = talk(&mut fixture, &one, &session).await;
    let _second = talk(&mut fixture, &one, &session).await;
    assert_eq!(connect(&fixture, &one, &session).await.closed().await, 4429, "a third of one session");
    let _third = talk(&mut fixture, &one, &json!({})).await;
    assert_eq!(connect(&fixture, &one, &json!({})).await.closed().await, 1013, "a fourth of one tenant");
    let _fourth = talk(&mut fixture, &other, &json!({})).await;
    assert_eq!(connect(&fixture, &other, &json!({})).await.closed().await, 1013, "a fifth of all");
    let (mut visitor, mut backend) = first;
    visitor.send(Message::Close(None)).await;
    assert_eq!(backend.hear().await, None);
    // The backend learns of it a moment before the place is free.
    let mut in_its_place = loop {
        let mut visitor = connect(&fixture, &one, &session).await;
        tokio::select! {
            code = visitor.closed() => {
                assert_eq!(code, 1013, "its place is not free yet, and the cap of all is asked first");
            }
            backend = fixture.sockets.recv() => break backend.expect("the backend is connected"),
        }
    };
    assert_eq!(in_its_place.hear().await.expect("hello")["session_id"], SESSION);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_backend_is_away_the_browser_may_come_back() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, backend) = talk(&mut fixture, &tenant, &json!({})).await;
    backend.drop_connection();
    assert_eq!(visitor.closed().await, 1013);
    for (code, told) in [(1001, 1013), (1011, 1013), (4000, 4000), (4999, 4999)] {
        let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
        let frame = CloseFrame { code: code.into(), reason: "because".into() };
        backend.send(Message::Close(Some(frame))).await;
        assert_eq!(visitor.closed().await, told, "{code}");
    }
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    backend.send(Message::binary(b"x".to_vec())).await;
    assert_eq!(visitor.closed().await, 1013);

    let (_kept, nobody) = crate::fakes::nobody();
    let away = Fixture::leased_with(600_000, &[("GATEWAY_CHAT_BACKEND_URL", &format!("http://{nobody}"))]).await;
    assert_eq!(connect(&away, &away.tenant, &json!({})).await.closed().await, 1013);
    let config = away.client.get(format!(
        "http://{}/api/v1/fetch/widget-config?tenant_id={}&widget_public_key={}",
        away.relay, away.tenant.id, away.tenant.widget_public_key
    ));
    let answer: Value = config.send().await.expect("an answer").json().await.expect("an envelope");
    assert_eq!(answer["data"]["is_online"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_gateway_stops_browsers_are_told_one_after_the_other() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_DRAIN_MS", "400")]).await;
    let tenant = fixture.tenant.clone();
    let mut talks = Vec::new();
    for _ in 0..40 {
        talks.push(talk(&mut fixture, &tenant, &json!({})).await);
    }
    let begun = Instant::now();
    fixture.stopping.cancel();
    let told = talks.into_iter().map(|(mut visitor, backend)| async move {
        let code = visitor.closed().await;
        drop(backend);
        (code, begun.elapsed())
    });
    let told = futures_util::future::join_all(told).await;
    assert!(told.iter().all(|(code, _)| *code == 1012), "{told:?}");
    let (first, last) = (told.iter().map(|(_, at)| *at).min(), told.iter().map(|(_, at)| *at).max());
    let spread = last.expect("some") - first.expect("some");
    assert!(spread >= Duration::from_millis(250), "spread over {spread:?}");
    assert!(last.expect("some") < Duration::from_secs(2), "and not much longer than it may take");
    tokio::time::timeout(Duration::from_secs(5), fixture.running.drained()).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_again_refills_nothing() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_FRAMES_PER_MIN", "6")]).await;
    let tenant = fixture.tenant.clone();
    for _ in 0..2 {
        let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({"sub": SESSION})).await;
        for _ in 0..2 {
            visitor.say(&json!({"type": "typing"})).await;
            backend.hear().await.expect("a frame");
        }
    }
    let again = connect(&fixture, &tenant, &json!({"sub": SESSION})).await.closed().await;
    assert_eq!(again, 4429, "two openings and four frames were six");
    talk(&mut fixture, &tenant, &json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_with_its_session() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_PING_MS", "200")]).await;
    let tenant = fixture.tenant.clone();
    // Whole seconds, so that it is two to three until then: the socket opens well before.
    let seconds = wire::time::now_unix_ms() / 1000 + 3;
    *fixture.admin.session_ends.lock().expect("not poisoned") = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    let (code, _) = tokio::join!(visitor.closed(), backend.hear());
    assert_eq!(code, 4401);
}
