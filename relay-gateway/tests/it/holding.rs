//! Callers that hold on: they read nothing, never finish, send much and prove nothing, or take all there is.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use e2e::visitor::Visitor;
use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use wire::time::now_unix_ms;

use crate::fakes::{Fixture, ok, refusal, tenant, visitor_token};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection from another address of this machine.
async fn connect_from(address: &str, relay: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from: IpAddr = address.parse().expect("an address");
    socket.bind((from, 0).into()).expect("bound");
    socket.connect(relay).await.expect("connected")
}

/// Sends a request by hand and reads its answer to the end of the connection.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of a signed POST, by hand.
fn head(fixture: &Fixture, body: &[u8], length: usize) -> String {
    let headers = fixture.tenant.headers(now_unix_ms(), body);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("POST /api/v1/relay/a HTTP/1.1\r\nhost: relay\r\n{headers}content-length: {length}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_left_and_its_place_is_anothers() {
    let settings = [("GATEWAY_WRITE_TIMEOUT_MS", "500"), ("GATEWAY_MAX_CONNECTIONS", "4")];
    let fixture = Fixture::leased_with(600_000, &settings).await;
    fixture.backend.answers(|_| ok("{}"));
    let asking = "GET /widget.js HTTP/1.1\r\nhost: relay\r\n\r\n".repeat(2000);
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(fixture.relay).await.expect("connected");
        // As much as is taken before nothing is: the answers fill both ends' buffers.
        let _ = timeout(Duration::from_millis(300), stream.write_all(asking.as_bytes())).await;
        greedy.push(stream);
    }
    let begun = Instant::now();
    let answered = timeout(PATIENCE, fixture.post("a", "{}").send()).await.expect("there is room again");
    let answered = answered.expect("an answer");
    let status = answered.status();
    assert_eq!(status, 200, "{}", answered.text().await.expect("text"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_answer_does_not_hold_up_the_end() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("x".repeat(8 * 1024 * 1024)));
    let mut silent = TcpStream::connect(fixture.relay).await.expect("connected");
    silent.write_all(head(&fixture, b"{}", 2).as_bytes()).await.expect("sent");
    silent.write_all(b"{}").await.expect("sent");
    let mut first = [0; 64];
    silent.read_exact(&mut first).await.expect("the answer begins");
    let begun = Instant::now();
    fixture.stopping.cancel();
    timeout(Duration::from_secs(20), fixture.running.drained()).await.expect("sooner than the drain timeout");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_ends_is_counted_by_its_frames() {
    let mut fixture = Fixture::leased_with(600_000, &[("GATEWAY_SOCKET_FRAMES_PER_MIN", "20")]).await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let mut stream = TcpStream::connect(fixture.relay).await.expect("connected");
    let handshake = format!(
        "GET /api/v1/ws/widget?token={token} HTTP/1.1\r\nhost: relay\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await.expect("sent");
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    // The first frame of a text, and then continuations of nothing, for as long as they are taken.
    let (first, empty) = ([0x01, 0x80, 0, 0, 0, 0], [0x00, 0x80, 0, 0, 0, 0]);
    let _ = stream.write_all(&first).await;
    let _ = stream.write_all(&empty.repeat(100_000)).await;
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    let closed = rest.windows(2).any(|code| code == 4429_u16.to_be_bytes());
    assert!(closed, "{}", String::from_utf8_lossy(&rest));
    assert_eq!(backend.hear().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_count_like_frames() {
    let settings = [("GATEWAY_SOCKET_BYTES_PER_MIN", "30000"), ("GATEWAY_SOCKET_FRAMES_PER_MIN", "1000")];
    let mut fixture = Fixture::leased_with(600_000, &settings).await;
    let mut visitor = Visitor::connect(fixture.relay, &visitor_token(&fixture.tenant, &json!({}))).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    for _ in 0..5 {
        visitor.send(Message::text("x".repeat(10_000))).await;
    }
    assert_eq!(visitor.closed().await, 4429);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_waited_for_have_a_budget_and_small_calls_go_on() {
    let settings = [("GATEWAY_BODY_MEMORY_PER_ADDRESS_BYTES", "2500000"), ("GATEWAY_BODY_MEMORY_BYTES", "4500000")];
    let fixture = Fixture::leased_with(600_000, &settings).await;
    fixture.backend.answers(|_| ok("{}"));
    let mut held = Vec::new();
    let hold = async |from: &str| {
        let mut stream = connect_from(from, fixture.relay).await;
        stream.write_all(head(&fixture, b"", 1_000_000).as_bytes()).await.expect("sent");
        stream.write_all(&[b'x'; 1000]).await.expect("sent");
        let mut answer = vec![0; 4096];
        // Whether it is refused, or waited for.
        match timeout(Duration::from_millis(500), stream.read(&mut answer)).await {
            Ok(read) => (Some(String::from_utf8_lossy(&answer[..read.expect("read")]).into_owned()), stream),
            Err(_) => (None, stream),
        }
    };
    for from in ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"] {
        let (refused, stream) = hold(from).await;
        assert_eq!(refused, None, "{from}");
        held.push(stream);
    }
    let (refused, _stream) = hold("127.0.0.2").await;
    let refused = refused.expect("its address has its share");
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("body_memory_per_address_bytes"), "{refused}");
    let (refused, _stream) = hold("127.0.0.4").await;
    let refused = refused.expect("there is no room left");
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("overloaded"), "{refused}");
    assert_eq!(fixture.post("a", "{}").send().await.expect("an answer").status(), 200, "it was there at once");
    drop(held);
    // Given back: the next large one is taken.
    let deadline = Instant::now() + PATIENCE;
    while hold("127.0.0.2").await.0.is_some() {
        assert!(Instant::now() < deadline, "what was given up is still counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_have_small_limits() {
    let fixture = Fixture::leased().await;
    let body = format!("{{\"visitor_user_id\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(refusal(fixture.post("mint/visitor-token", &body)).await, (413, "body_too_large".to_owned()));
    let url = format!("http://{}/api/v1/create/visitor-session", fixture.relay);
    assert_eq!(refusal(fixture.client.post(url).body(body)).await, (413, "body_too_large".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_connections_and_is_told() {
    let settings = [("GATEWAY_MAX_CONNECTIONS", "100"), ("GATEWAY_OPS_LISTEN", "127.0.0.1:0")];
    let fixture = Fixture::leased_with(600_000, &settings).await;
    fixture.backend.answers(|_| ok("{}"));
    let mut open = Vec::new();
    for _ in 0..25 {
        let mut stream = connect_from("127.0.0.9", fixture.relay).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n").await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
        open.push(stream);
    }
    let mut one_more = connect_from("127.0.0.9", fixture.relay).await;
    let refused = exchange(&mut one_more, b"GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    for part in ["max_connections_per_address", "\"error_code\":\"rate_limited\"", "x-request-id", "retry-after: 1"] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
    assert_eq!(fixture.post("a", "{}").send().await.expect("an answer").status(), 200, "others have theirs");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_sockets() {
    let settings = [("GATEWAY_MAX_SOCKETS_PER_ADDRESS", "2"), ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")];
    let fixture = Fixture::leased_with(600_000, &settings).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(Visitor::connect(fixture.relay, &visitor_token(&fixture.tenant, &json!({}))).await);
    }
    let mut third = Visitor::connect(fixture.relay, &visitor_token(&fixture.tenant, &json!({}))).await;
    assert_eq!(third.closed().await, 4429);
}

/// A shared address: an attacker signs wrongly from where a tenant signs rightly.
#[tokio::test(flavor = "multi_thread")]
async fn bad_signatures_lock_out_nobody_who_signs_rightly_and_is_known() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "5")]).await;
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!(fixture.post("a", "first").send().await.expect("an answer").status(), 200);
    let mut wrong = fixture.tenant.clone();
    wrong.secret = "sk_wrong".into();
    let mut codes = Vec::new();
    for n in 0..20 {
        let bad = wrong.request(&fixture.client, Method::POST, &fixture.url("a"), format!("bad {n}"));
        codes.push(refusal(bad).await.0);
        assert_eq!(fixture.post("a", &n.to_string()).send().await.expect("an answer").status(), 200, "call {n}");
    }
    assert_eq!(codes[..5], [401; 5], "a limit of five is five");
    assert_eq!(codes[5..], [429; 15]);
    // Who would cost a look-up is not heard.
    let stranger = tenant();
    let asked = fixture.admin.lookups();
    let request = stranger.request(&fixture.client, Method::POST, &fixture.url("a"), "x");
    assert_eq!(refusal(request).await.0, 429);
    assert_eq!(fixture.admin.lookups(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_strangers_at_once_as_many_cost_a_lookup_as_may_fail() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "5")]).await;
    let held = fixture.admin.hold_lookups().await;
    let calls: Vec<_> = (0..30)
        .map(|_| tokio::spawn(refusal(tenant().request(&fixture.client, Method::POST, &fixture.url("a"), "x"))))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while calls.iter().filter(|call| call.is_finished()).count() < 25 {
        assert!(Instant::now() < deadline, "they are not refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(held);
    let mut codes = Vec::new();
    for call in calls {
        codes.push(call.await.expect("it ends").0);
    }
    assert_eq!(codes.iter().filter(|code| **code == 401).count(), 5, "{codes:?}");
    assert_eq!(fixture.admin.lookups(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_have_a_listener_that_no_caller_fills() {
    let (socket, ops) = crate::fakes::nobody();
    drop(socket);
    let ops_listen = ops.to_string();
    let settings = [("GATEWAY_MAX_CONNECTIONS", "1"), ("GATEWAY_OPS_LISTEN", ops_listen.as_str())];
    let fixture = Fixture::with(&settings).await;
    let _taken = TcpStream::connect(fixture.relay).await.expect("connected");
    for (path, status) in [("healthz", 200), ("readyz", 503), ("metrics", 200)] {
        let answer = reqwest::get(format!("http://{ops}/{path}")).await.expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
    }
}
