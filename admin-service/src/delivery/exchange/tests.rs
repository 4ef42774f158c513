use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::delivery::{
    outcome::Outcome,
    test_certificates::{GOOD, Holder},
    test_receiver::{Names, ample, connector, listen, read_request, target},
};

fn request() -> AttemptRequest {
    let mut headers = HeaderMap::new();
    headers.insert("x-test", HeaderValue::from_static("yes"));
    AttemptRequest { headers, body: Bytes::from_static(b"{}") }
}

/// Makes an attempt at a receiver that does `serve` with its connection.
async fn attempt<F: Future<Output = ()>>(deadline: Deadline, serve: impl FnOnce(TcpStream) -> F) -> Outcome {
    let (listener, port) = listen().await;
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("http://receiver.example:{port}/hooks/ticket-created"));
    let exchange =
        async { prepare(&connector, &target, deadline).await?.send(request(), u64::MAX).await.expect("in time") };
    let serve = async { serve(listener.accept().await.expect("accepted").0).await };
    // A receiver may hang for as long as it likes.
    tokio::select! {
        biased;
        outcome = exchange => outcome,
        () = async { serve.await; std::future::pending().await } => unreachable!("it waits"),
    }
}

/// An attempt at a receiver that reads the request, answers with these bytes, and closes.
async fn answered(answer: &str) -> Outcome {
    attempt(ample(), |mut tcp| async move {
        read_request(&mut tcp).await;
        // The attempt may hang up before it has read all.
        let _ = tcp.write_all(answer.as_bytes()).await;
    })
    .await
}

async fn serve_once(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), expected_host: &str) {
    let request = read_request(stream).await;
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {expected_host}");
    let expected =
        ["POST /hooks/ticket-created HTTP/1.1", "connection: close", "content-length: 2", &host, "x-test: yes"];
    assert_eq!((lines, body), (expected.into(), "{}"));
    let answer = b"HTTP/1.1 202 Accepted\r\nRetry-After: 7\r\nContent-Length: 6\r\n\r\nthanks";
    stream.write_all(answer).await.expect("written");
    stream.flush().await.expect("written");
}

#[tokio::test]
async fn a_request_is_sent_and_its_answer_read() {
    let (listener, port) = listen().await;
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("http://receiver.example:{port}/hooks/ticket-created"));
    let exchange =
        async { prepare(&connector, &target, ample()).await?.send(request(), u64::MAX).await.expect("in time") };
    let serve = async {
        let mut tcp = listener.accept().await.expect("accepted").0;
        serve_once(&mut tcp, &format!("receiver.example:{port}")).await;
    };
    let (answer, ()) = tokio::join!(exchange, serve);
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (202, "thanks"));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_request_is_sent_over_tls() {
    let (listener, port) = listen().await;
    let (authority, receiver) = (Holder::new(1), Holder::new(2));
    let acceptor = receiver.serve(authority.issue(&receiver, GOOD));
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("https://receiver.example:{port}/hooks/ticket-created"));
    let exchange =
        async { prepare(&connector, &target, ample()).await?.send(request(), u64::MAX).await.expect("in time") };
    let serve = async {
        let tcp = listener.accept().await.expect("accepted").0;
        let mut tls = acceptor.accept(tcp).await.expect("a handshake");
        serve_once(&mut tls, &format!("receiver.example:{port}")).await;
        tls
    };
    let (answer, _tls) = tokio::join!(exchange, serve);
    assert_eq!(answer.expect("an answer").status, 202);
}

#[tokio::test]
async fn nothing_is_written_before_it_is_sent() {
    let (listener, port) = listen().await;
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("http://receiver.example:{port}/"));
    let (prepared, accepted) = tokio::join!(prepare(&connector, &target, ample()), listener.accept());
    drop(prepared.expect("connected"));
    let mut received = Vec::new();
    tokio::io::copy(&mut accepted.expect("accepted").0, &mut received).await.expect("an end");
    assert_eq!(received, b"");
}

#[tokio::test]
async fn nothing_is_written_once_its_time_is_over() {
    let (listener, port) = listen().await;
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("http://receiver.example:{port}/"));
    let (prepared, accepted) = tokio::join!(prepare(&connector, &target, ample()), listener.accept());
    let outcome = prepared.expect("connected").send(request(), wire::time::since_boot_ms()).await;
    assert_eq!(outcome, None);
    let mut received = Vec::new();
    tokio::io::copy(&mut accepted.expect("accepted").0, &mut received).await.expect("an end");
    assert_eq!(received, b"");
}

#[tokio::test]
async fn redirects_are_answers() {
    for status in [301, 302, 303, 307, 308] {
        let (listener, port) = listen().await;
        let redirect =
            format!("HTTP/1.1 {status} Elsewhere\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(answered(&redirect).await.expect("an answer").status, status);
        let followed = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(followed.is_err(), "{status} was followed");
    }
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_its_bound() {
    let answer = attempt(ample(), |mut tcp| async move {
        read_request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 500 Oops\r\n\r\n").await.expect("written");
        while tcp.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let answer = answer.await.expect("an answer");
    assert_eq!((answer.status, answer.body), (500, "x".repeat(1024)));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_status() {
    for rest in ["Content-Length: 50\r\n\r\nshort", "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz"] {
        let answer = answered(&format!("HTTP/1.1 200 OK\r\n{rest}")).await.expect("an answer");
        assert_eq!((answer.status, answer.body.as_str()), (200, "short"));
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(4 * LONGEST_HEAD)),
    ] {
        let failed = answered(garbage).await.expect_err("no answer");
        assert_eq!(failed.to_string(), "the answer is not HTTP", "{:?}", &garbage[..15]);
    }
    // A server that speaks first.
    let (listener, port) = listen().await;
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("http://receiver.example:{port}/"));
    let greet = async {
        let mut tcp = listener.accept().await.expect("accepted").0;
        tcp.write_all(b"220 mail.example ESMTP\r\n").await.expect("written");
        tcp
    };
    let (prepared, _tcp) = tokio::join!(prepare(&connector, &target, ample()), greet);
    let prepared = prepared.expect("connected");
    // The connection's own task meets the greeting first.
    while !prepared.driver.is_finished() {
        tokio::task::yield_now().await;
    }
    let failed = prepared.send(request(), u64::MAX).await.expect("in time").expect_err("no answer");
    assert_eq!(failed.to_string(), "the answer is not HTTP");
}

#[tokio::test]
async fn a_receiver_that_hangs_up_is_told_so() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let failed = answered(answer).await.expect_err("no answer");
        assert_eq!(failed.to_string(), "the receiver closed the connection without an answer", "{answer:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up() {
    let soon = || Deadline::after(Duration::from_millis(200));
    for (sent, words) in [
        ("", "timed out after 200 ms waiting for an answer"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "timed out after 200 ms waiting for an answer"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "timed out after 200 ms reading the answer"),
    ] {
        let failed = attempt(soon(), |mut tcp| async move {
            read_request(&mut tcp).await;
            tcp.write_all(sent.as_bytes()).await.expect("written");
            std::future::pending::<()>().await;
        });
        assert_eq!(failed.await.expect_err("no answer").to_string(), words);
    }
    // One that sends a byte now and then gains no time.
    let dripping = attempt(soon(), |mut tcp| async move {
        read_request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        loop {
            beat.tick().await;
            tcp.write_all(b".").await.expect("written");
        }
    });
    assert_eq!(dripping.await.expect_err("given up").to_string(), "timed out after 200 ms reading the answer");
}
