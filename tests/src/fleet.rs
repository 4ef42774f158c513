//! A fleet: one or several replicas of the admin service, several gateways, a link between each pair, and a chat backend
//! that says yes to everything.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use axum::{Router, routing::any};
use tempfile::TempDir;

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
    data: TempDir,
}

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
        let backend = yes_to_everything().await;
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
        Self { replicas, gateways: started, data }
    }

    /// Where the processes keep their files.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }
}

async fn yes_to_everything() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(any(|| async { "{}" }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
