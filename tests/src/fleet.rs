//! A fleet: one or several replicas of the admin service, several gateways, a link between each pair, and a chat backend
//! that says yes to everything, and notes what operators say on their sockets.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use service::websocket;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::{
    link::Link,
    process::Process,
    world::{Operator, admin_environment, environment, gateway_environment, lasting_address, until_ready},
};

/// A replica of the admin service, which comes back at the same addresses.
#[derive(Debug)]
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Where the REST facade listens.
    pub rest: SocketAddr,
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    variables: HashMap<String, String>,
}

impl Replica {
    fn start(database_url: &str, extra: &[(&str, &str)]) -> Self {
        let mut variables = admin_environment(database_url);
        variables.extend(environment(extra));
        for name in ["ADMIN_REST_LISTEN", "ADMIN_GRPC_LISTEN", "ADMIN_OPS_LISTEN"] {
            variables.insert(name.to_owned(), lasting_address());
        }
        let process = Process::start("admin-service", &[], &variables);
        let (rest, grpc) = (process.address("admin-rest"), process.address("admin-grpc"));
        Self { process, rest, grpc, variables }
    }

    /// Starts it again, once it was killed.
    ///
    /// # Panics
    /// Where the process that was killed had panicked.
    pub fn restart(&mut self) {
        let log = self.process.log();
        assert!(!log.contains("panicked"), "{log}");
        self.process = Process::start("admin-service", &[], &self.variables);
        let _ = self.process.address("admin-grpc");
    }

    /// An operator who calls this replica.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::at(self.rest)
    }

    /// Where `/metrics` is.
    #[must_use]
    pub fn ops(&self) -> SocketAddr {
        self.process.address("admin-ops")
    }
}

/// A gateway and its links, one to each replica.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where the relay listens.
    pub relay: SocketAddr,
    /// To the replicas, in their order.
    pub links: Vec<Link>,
}

/// Everything.
#[derive(Debug)]
pub struct Fleet {
    /// The admin service.
    pub replicas: Vec<Replica>,
    /// The gateways.
    pub gateways: Vec<Gateway>,
    heard: Heard,
    data: TempDir,
}

/// The `conversation_id` of each frame that the chat backend got from an operator.
type Heard = Arc<Mutex<HashSet<String>>>;

impl Fleet {
    /// Starts a fleet on SQLite, with one replica, or on the PostgreSQL database given, with two.
    ///
    /// # Panics
    /// Where a process does not start.
    pub async fn start(postgres: Option<&str>, gateways: usize, extra: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let replicas = match postgres {
            Some(url) => vec![Replica::start(url, extra), Replica::start(url, extra)],
            None => {
                let file: PathBuf = Path::join(data.path(), "admin.db");
                vec![Replica::start(&format!("sqlite://{}?mode=rwc", file.display()), extra)]
            }
        };
        let heard = Heard::default();
        let backend = yes_to_everything(Arc::clone(&heard)).await;
        let mut started = Vec::new();
        for _ in 0..gateways {
            let mut links = Vec::new();
            for replica in &replicas {
                links.push(Link::to(replica.grpc).await);
            }
            let urls: Vec<String> = links.iter().map(|link| format!("http://{}", link.address)).collect();
            let mut variables = gateway_environment(replicas[0].grpc, backend);
            variables.insert("GATEWAY_ADMIN_GRPC".to_owned(), urls.join(","));
            variables.extend(environment(&[
                ("GATEWAY_ACCESS_LOG", "false"),
                ("GATEWAY_OPS_LISTEN", "127.0.0.1:0"),
                // Wrong signatures are what tests of this kind are made of.
                ("GATEWAY_UNVERIFIED_PER_MIN", "100000000"),
            ]));
            variables.extend(environment(extra));
            let process = Process::start("relay-gateway", &[], &variables);
            let relay = process.address("gateway");
            until_ready(relay).await;
            started.push(Gateway { process, relay, links });
        }
        Self { replicas, gateways: started, heard, data }
    }

    /// The `conversation_id` of each frame that reached the chat backend from an operator.
    ///
    /// # Panics
    /// Where the chat backend has panicked.
    #[must_use]
    pub fn heard(&self) -> HashSet<String> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// Where the processes keep their files.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }
}

async fn yes_to_everything(heard: Heard) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router =
        Router::new().route("/ws/operator", get(operator_socket)).fallback(any(|| async { "{}" })).with_state(heard);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Welcomes an operator, and notes what it says.
async fn operator_socket(State(heard): State<Heard>, mut request: Request) -> Response {
    let (upgrading, response) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return (*refused).into_response(),
    };
    tokio::spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let mut socket = websocket::socket(upgraded, Role::Server, 64 * 1024, None).await;
        let _ = socket.send(Message::text(r#"{"type":"welcome"}"#)).await;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
            if let Some(id) = frame["conversation_id"].as_str() {
                heard.lock().expect("not poisoned").insert(id.to_owned());
            }
        }
    });
    response
}
