use std::sync::Mutex;

use http::Method;
use http_body_util::BodyExt as _;
use service::telemetry::metrics::Metrics;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const TIMEOUTS: UpstreamTimeouts = UpstreamTimeouts {
    connect: Duration::from_secs(20),
    header: Duration::from_secs(20),
    idle: Duration::from_secs(20),
    idle_connection: Duration::from_secs(20),
    connection_age: Duration::from_secs(60),
};

/// An upstream that answers the requests of each connection from a list of its own, and closes it after the last.
struct Scripted {
    upstream: Upstream,
    /// Requests, by connection.
    arrived: Arc<Mutex<Vec<usize>>>,
}

impl Scripted {
    async fn start(timeouts: UpstreamTimeouts, connections: &'static [&'static [&'static str]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let counts = Arc::clone(&arrived);
        tokio::spawn(async move {
            for (index, answers) in connections.iter().enumerate() {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                counts.lock().expect("not poisoned").push(0);
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    for answer in *answers {
                        let mut request = Vec::new();
                        while !request.ends_with(b"\r\n\r\n") {
                            if stream.read_buf(&mut request).await.expect("read") == 0 {
                                return;
                            }
                        }
                        counts.lock().expect("not poisoned")[index] += 1;
                        stream.write_all(answer.as_bytes()).await.expect("sent");
                        if answer.is_empty() || answer.ends_with("...") {
                            // No more comes, and the connection stays.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { upstream: Upstream::new("test", &url, timeouts, GatewayMetrics::new(&Metrics::default())), arrived }
    }

    async fn send(&self, method: Method) -> Result<Response<Streamed>, UpstreamError> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = self.upstream.path("p", None)?.into();
        self.upstream.send(request, None).await
    }

    async fn body(&self, method: Method) -> String {
        let body = self.send(method).await.expect("an answer").into_body().collect().await.expect("a body");
        String::from_utf8(body.to_bytes().into()).expect("text")
    }

    fn arrived(&self) -> Vec<usize> {
        self.arrived.lock().expect("not poisoned").clone()
    }
}

impl From<ApiError> for UpstreamError {
    fn from(error: ApiError) -> Self {
        Self::Broken(error.to_string())
    }
}

#[tokio::test]
async fn a_connection_is_used_again_whatever_ended_the_answer_before() {
    let scripted = Scripted::start(
        TIMEOUTS,
        &[&[
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nx-a: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthree",
        ]],
    )
    .await;
    assert_eq!(scripted.body(Method::GET).await, "one");
    assert_eq!(scripted.body(Method::HEAD).await, "");
    assert_eq!(scripted.body(Method::GET).await, "");
    assert_eq!(scripted.body(Method::GET).await, "");
    assert_eq!(scripted.body(Method::GET).await, "two");
    assert_eq!(scripted.body(Method::GET).await, "three");
    assert_eq!(scripted.arrived(), [6]);
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_is_not_used_and_nothing_is_sent_twice() {
    const ONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none";
    let scripted = Scripted::start(TIMEOUTS, &[&[ONE], &[ONE], &[ONE]]).await;
    for _ in 0..3 {
        // Whether or not the close has been seen by now: the next call finds a connection.
        let answered = scripted.send(Method::POST).await;
        let Ok(answer) = answered else {
            // Written just as the other end closed: that may have arrived, and is never sent again.
            continue;
        };
        answer.into_body().collect().await.expect("a body");
    }
    assert!(scripted.arrived().iter().all(|requests| *requests == 1), "{:?}", scripted.arrived());
}

#[tokio::test]
async fn a_connection_with_something_left_in_it_is_never_used_again() {
    let timeouts = UpstreamTimeouts { header: Duration::from_millis(50), idle: Duration::from_millis(50), ..TIMEOUTS };
    let scripted = Scripted::start(
        timeouts,
        &[
            &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf..."],
            &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf..."],
            &[""],
            &["HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\none"],
            &["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo"],
        ],
    )
    .await;
    // The caller leaves without reading the body.
    drop(scripted.send(Method::GET).await.expect("a head"));
    // The rest does not come.
    let half = scripted.send(Method::GET).await.expect("a head").into_body().collect().await;
    assert!(half.expect_err("broken off").to_string().contains("nothing came"));
    // No answer comes.
    assert!(matches!(scripted.send(Method::GET).await, Err(UpstreamError::Timeout(_))));
    assert_eq!(scripted.body(Method::GET).await, "one");
    assert_eq!(scripted.body(Method::GET).await, "two");
    assert_eq!(scripted.arrived(), [1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn what_follows_relay_is_appended_to_the_base_untouched() {
    for (url, rest, query, host, path) in [
        ("http://h:1", "add/message", Some("conversation_id=a%20b"), "h:1", "/add/message?conversation_id=a%20b"),
        ("http://h:80/", "a", None, "h", "/a"),
        ("https://[::1]/v1/", "a%2Fb", Some(""), "[::1]", "/v1/a%2Fb?"),
    ] {
        let url = url.parse().expect("a URL");
        let upstream = Upstream::new("test", &url, TIMEOUTS, GatewayMetrics::new(&Metrics::default()));
        assert_eq!(upstream.0.host, host);
        assert_eq!(upstream.path(rest, query).expect("a path"), path);
    }
}
