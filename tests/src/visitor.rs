//! A visitor's browser: begins a session from a page, and speaks over a WebSocket.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

use crate::{process::PATIENCE, signed::Tenant, times::check_times};

/// A page that tests allow.
pub const PAGE: &str = "https://shop.demo.com";

/// How many sockets [`open_many`] opens at once.
const OPENED_AT_ONCE: usize = 16;

/// A call of a page's script: what a browser adds is added.
pub fn from_page(request: reqwest::RequestBuilder, origin: &str) -> reqwest::RequestBuilder {
    request.header("origin", origin)
}

/// Begins a session from [`PAGE`] and answers its `data`.
///
/// # Panics
/// Where it is refused.
pub async fn begin_session(relay: SocketAddr, tenant: &Tenant) -> Value {
    begin_session_from(relay, tenant, PAGE).await
}

/// Begins a session from a page of this origin and answers its `data`.
///
/// # Panics
/// Where it is refused.
pub async fn begin_session_from(relay: SocketAddr, tenant: &Tenant, origin: &str) -> Value {
    let body = json!({
        "tenant_id": tenant.id, "widget_public_key": tenant.widget_public_key, "origin": origin, "locale": "en"
    });
    let request = reqwest::Client::new().post(format!("http://{relay}/api/v1/create/visitor-session")).json(&body);
    let answer = from_page(request, origin).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let answer: Value = answer.json().await.expect("an envelope");
    assert_eq!(status, 201, "{answer}");
    check_times(&answer);
    answer["data"].clone()
}

/// Begins so many sessions and opens a socket for each, a few at a time. Answers the sockets with their welcomes.
///
/// # Panics
/// Where the relay refuses one.
pub async fn open_many(relay: SocketAddr, tenant: &Tenant, count: usize) -> Vec<(Visitor, Value)> {
    let opening = stream::iter(0..count).map(|_| async {
        let session = begin_session(relay, tenant).await;
        let mut visitor = Visitor::connect(relay, session["visitor_token"].as_str().expect("a token")).await;
        let welcome = visitor.hear("welcome").await;
        (visitor, welcome)
    });
    opening.buffer_unordered(OPENED_AT_ONCE).collect().await
}

/// What a socket said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A frame.
    Frame(Value),
    /// It was closed, with this code and reason; 1006 where the connection broke.
    Closed(u16, String),
}

/// A visitor's open socket, or an operator's.
#[derive(Debug)]
pub struct Visitor(WebSocketStream<TcpStream>);

impl Visitor {
    /// Connects with a token from [`PAGE`].
    ///
    /// # Panics
    /// Where the handshake fails.
    pub async fn connect(relay: SocketAddr, token: &str) -> Self {
        Self::connect_from(relay, token, Some(PAGE)).await
    }

    /// Connects with a token from a page, or from something that is no browser.
    ///
    /// # Panics
    /// Where the handshake fails.
    pub async fn connect_from(relay: SocketAddr, token: &str, origin: Option<&str>) -> Self {
        let url = format!("ws://{relay}/api/v1/ws/widget?token={token}");
        let mut request = url.into_client_request().expect("a URL");
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", HeaderValue::from_str(origin).expect("a header"));
        }
        let stream = TcpStream::connect(relay).await.expect("a connection");
        let (socket, _) = client_async(request, stream).await.expect("a handshake");
        Self(socket)
    }

    /// Connects an operator's page: with what follows `/ws/operator`, such as `?ticket=…`, or with a token among the subprotocols.
    ///
    /// # Panics
    /// Where the handshake fails.
    pub async fn connect_operator(relay: SocketAddr, query: &str, token: Option<&str>) -> Self {
        let url = format!("ws://{relay}/api/v1/ws/operator{query}");
        let mut request = url.into_client_request().expect("a URL");
        if let Some(token) = token {
            let offered = HeaderValue::from_str(&format!("chat-relay.v1, bearer.{token}")).expect("a header");
            request.headers_mut().insert("sec-websocket-protocol", offered);
        }
        let stream = TcpStream::connect(relay).await.expect("a connection");
        let (socket, _) = client_async(request, stream).await.expect("a handshake");
        Self(socket)
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// Where the connection is closed.
    pub async fn say(&mut self, frame: &Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    /// Sends a frame where that can be done; `false` where the connection is closed.
    pub async fn try_send(&mut self, frame: &Value) -> bool {
        self.0.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// Sends a message under an id of its own, and answers that id.
    ///
    /// # Panics
    /// Where the connection is closed.
    pub async fn ask(&mut self, content: &str) -> String {
        let client_id = uuid::Uuid::new_v4().to_string();
        self.say(&json!({"type": "message", "client_id": client_id, "content": content})).await;
        client_id
    }

    /// Sends whatever it is.
    ///
    /// # Panics
    /// Where the connection is closed.
    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("it is sent");
    }

    /// What is said next.
    ///
    /// # Panics
    /// Where nothing is said.
    pub async fn next(&mut self) -> Said {
        timeout(PATIENCE, self.next_ever()).await.expect("something is said")
    }

    /// What is said next, however long that takes.
    pub async fn next_ever(&mut self) -> Said {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("frames are JSON");
                    check_times(&frame);
                    return Said::Frame(frame);
                }
                Some(Ok(Message::Close(frame))) => {
                    return frame.map_or(Said::Closed(1005, String::new()), |frame| {
                        Said::Closed(frame.code.into(), frame.reason.to_string())
                    });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Said::Closed(1006, String::new()),
            }
        }
    }

    /// The next frame, which is of this type.
    ///
    /// # Panics
    /// Where it is another.
    pub async fn hear(&mut self, kind: &str) -> Value {
        match self.next().await {
            Said::Frame(frame) if frame["type"] == kind => frame,
            other => panic!("{other:?} instead of {kind}"),
        }
    }

    /// The next frame, whatever it is.
    ///
    /// # Panics
    /// Where it is closed instead.
    pub async fn hear_any(&mut self) -> Value {
        match self.next().await {
            Said::Frame(frame) => frame,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// The code it is closed with; frames that come before are skipped.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Said::Closed(code, _) = self.next().await {
                return code;
            }
        }
    }
}
