//! How long a caller waits for the relay, what reaches it of a backend that is early, and what may be sent again: PROTOCOL.md,
//! section 4, *Patience* and *Sent again*.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::fakes::{Fixture, loopback, refusal};

/// A backend that a test writes by hand: it is told which connection it is, counted from 0.
async fn by_hand<F>(serve: impl Fn(usize, TcpStream) -> F + Send + Sync + 'static) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address): (TcpListener, _) = loopback().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), stream));
        }
    });
    (format!("http://{address}"), connections)
}

/// Reads one request's head.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_deadline_bounds_the_wait_and_the_answer_names_it() {
    let (url, _) = by_hand(|_, mut stream| async move { while head(&mut stream).await.is_some() {} }).await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url), ("GATEWAY_CALL_DEADLINE_MS", "400")]).await;
    let begun = Instant::now();
    let answer = fixture.post("a", "{}").send().await.expect("an answer");
    assert_eq!(answer.status(), 504);
    let body: Value = answer.json().await.expect("an envelope");
    assert!(body["message"].as_str().is_some_and(|message| message.contains("call_deadline_ms")), "{body}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    // The directory's share counts too.
    let fixture =
        Fixture::with(&[("GATEWAY_CALL_DEADLINE_MS", "400"), ("GATEWAY_DIRECTORY_TIMEOUT_MS", "60000")]).await;
    let held = fixture.admin.hold_lookups().await;
    let begun = Instant::now();
    assert_eq!(refusal(fixture.post("a", "{}")).await, (503, "directory_unavailable".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_that_stalls_is_a_503_of_which_nothing_was_sent() {
    // It takes the connection, and never says a word of TLS.
    let (url, _) =
        by_hand(|_, mut stream| async move { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} })
            .await;
    let url = url.replace("http://", "https://");
    let settings = [("GATEWAY_CHAT_BACKEND_URL", url.as_str()), ("GATEWAY_BACKEND_CONNECT_TIMEOUT_MS", "300")];
    let fixture = Fixture::leased_with(600_000, &settings).await;
    let begun = Instant::now();
    assert_eq!(refusal(fixture.post("a", "{}")).await, (503, "backend_unreachable".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let config = fixture
        .client
        .get(format!("http://{}/api/v1/fetch/widget-config", fixture.relay))
        .query(&[("tenant_id", &fixture.tenant.id), ("widget_public_key", &fixture.tenant.widget_public_key)]);
    let config: Value = config.send().await.expect("an answer").json().await.expect("an envelope");
    assert_eq!(config["data"]["is_online"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_body_was_read_reaches_the_caller() {
    let (url, _) = by_hand(|_, mut stream| async move {
        head(&mut stream).await;
        let early = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoo much";
        stream.write_all(early).await.expect("sent");
        // Closed over what was not read: the connection is reset.
        let _ = stream.set_zero_linger();
        tokio::time::sleep(Duration::from_millis(20)).await;
    })
    .await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url)]).await;
    let body = "x".repeat(1_000_000);
    for _ in 0..5 {
        let answer = fixture.post("a", &body).send().await.expect("an answer");
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.text().await.expect("a body"), "too much");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_left_before_its_backend_closes_it() {
    let answer: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nKeep-Alive: timeout=1, max=100\r\n\r\n{}";
    let (url, connections) = by_hand(move |_, mut stream| async move {
        while head(&mut stream).await.is_some() {
            stream.write_all(answer).await.expect("sent");
        }
    })
    .await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url)]).await;
    for n in 0..3 {
        assert_eq!(status(fixture.post("a", &n.to_string())).await, 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3, "a second less than a second is none");

    let (url, connections) = by_hand(|_, mut stream| async move {
        while head(&mut stream).await.is_some() {
            stream.write_all(ANSWER).await.expect("sent");
        }
    })
    .await;
    let settings = [("GATEWAY_CHAT_BACKEND_URL", url.as_str()), ("GATEWAY_BACKEND_CONNECTION_AGE_MS", "1")];
    let fixture = Fixture::with(&settings).await;
    for n in 0..3 {
        assert_eq!(status(fixture.post("a", &n.to_string())).await, 200);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3, "a backend that has moved is found");
}

/// As servers do that close what is idle: the next call finds the connection closed, and nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_closes_idle_connections_costs_no_call() {
    let (url, _) = by_hand(|_, mut stream| async move {
        if head(&mut stream).await.is_some() {
            stream.write_all(ANSWER).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url)]).await;
    for n in 0..20 {
        assert_eq!(status(fixture.post("a", &n.to_string())).await, 200, "call {n}");
        // Past the close by now, wherever that was seen.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// How many requests a backend has heard, by connection.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<usize>>>);

impl Heard {
    /// Reads one request's head and counts it; `false` where none came.
    async fn one(&self, connection: usize, stream: &mut TcpStream) -> bool {
        if head(stream).await.is_none() {
            return false;
        }
        let mut counts = self.0.lock().expect("not poisoned");
        let connections = counts.len().max(connection + 1);
        counts.resize(connections, 0);
        counts[connection] += 1;
        true
    }

    fn counts(&self) -> Vec<usize> {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// One thread: the gateway keeps idle connections by worker, and the client's second connection could land on another one.
#[tokio::test]
async fn what_only_reads_is_sent_again_once_and_what_may_have_arrived_is_not() {
    // Each connection answers one call, and hangs up over the second once it has read it.
    let heard = Heard::default();
    let counting = heard.clone();
    let (url, _) = by_hand(move |index, mut stream| {
        let heard = counting.clone();
        async move {
            if heard.one(index, &mut stream).await {
                stream.write_all(ANSWER).await.expect("sent");
                heard.one(index, &mut stream).await;
            }
        }
    })
    .await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url), ("GATEWAY_THREADS", "1")]).await;
    assert_eq!(status(fixture.post("a", "1")).await, 200);
    assert_eq!(status(fixture.signed(Method::GET, "a", "")).await, 200, "sent again, on a new connection");
    assert_eq!(heard.counts(), [2, 1]);
    assert_eq!(refusal(fixture.post("a", "2")).await, (502, "backend_bad_response".to_owned()));
    assert_eq!(heard.counts(), [2, 2], "it may have arrived");

    // One that never answers: the second time is the last.
    let heard = Heard::default();
    let counting = heard.clone();
    let (url, _) = by_hand(move |index, mut stream| {
        let heard = counting.clone();
        async move {
            if heard.one(index, &mut stream).await && index == 0 {
                stream.write_all(ANSWER).await.expect("sent");
                heard.one(index, &mut stream).await;
            }
        }
    })
    .await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url), ("GATEWAY_THREADS", "1")]).await;
    assert_eq!(status(fixture.post("a", "1")).await, 200);
    assert_eq!(refusal(fixture.signed(Method::GET, "a", "")).await, (502, "backend_bad_response".to_owned()));
    assert_eq!(heard.counts(), [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_cuts_nothing() {
    let (url, _) = by_hand(|_, mut stream| async move {
        while head(&mut stream).await.is_some() {
            let both = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
                         9\r\nall of it\r\n0\r\n\r\n";
            stream.write_all(both).await.expect("sent");
        }
    })
    .await;
    let fixture = Fixture::with(&[("GATEWAY_CHAT_BACKEND_URL", &url)]).await;
    for n in 0..3 {
        let answer = fixture.post("a", &n.to_string()).send().await.expect("an answer");
        assert_eq!(answer.text().await.expect("all of it"), "all of it");
    }
}
