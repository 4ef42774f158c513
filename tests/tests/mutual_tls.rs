//! TLS between gateways and the admin service, with certificates that the script in `deploy/` makes: who has none, or one that is revoked, is not
//! let in, whatever token it sends.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    process::{PATIENCE, Process},
    signed::Tenant,
    world::{Operator, admin_environment, backend_environment, gateway_environment, lasting_address},
};
use reqwest::{Client, Method};
use serde_json::json;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/development-ca.sh");

/// An admin service that asks for certificates, and the files of its authority.
struct Scene {
    data: tempfile::TempDir,
    admin: Process,
    backend: Process,
    grpc: SocketAddr,
}

impl Scene {
    fn set_up() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        make(data.path(), &["one", "other"]);
        let crl = data.path().join("ca.crl");
        revoke(data.path(), &[]);
        let database = format!("sqlite://{}?mode=rwc", data.path().join("admin.db").display());
        let mut variables = admin_environment(&database);
        let file = |name: &str| text(&data.path().join(name));
        for (name, value) in [
            ("ADMIN_GRPC_LISTEN", lasting_address()),
            ("ADMIN_GRPC_TLS_CERT_FILE", file("admin.crt")),
            ("ADMIN_GRPC_TLS_KEY_FILE", file("admin.key")),
            ("ADMIN_GRPC_CLIENT_CA_FILE", file("ca.crt")),
            ("ADMIN_GRPC_CLIENT_CRL_FILE", text(&crl)),
        ] {
            variables.insert(name.to_owned(), value);
        }
        let admin = Process::start("admin-service", &[], &variables);
        let grpc = admin.address("admin-grpc");
        let backend = Process::start("chat-relay", &["backend"], &backend_environment(data.path()));
        Self { data, admin, backend, grpc }
    }

    fn operator(&self) -> Operator {
        Operator::at(self.admin.address("admin-rest"))
    }

    fn file(&self, name: &str) -> String {
        text(&self.data.path().join(name))
    }

    /// A gateway with further variables: where it listens.
    fn gateway(&self, further: &[(&str, String)]) -> (Process, SocketAddr) {
        let mut variables: HashMap<_, _> = gateway_environment(self.grpc, self.backend.address("chat-backend"));
        let port = self.grpc.port();
        variables.insert("GATEWAY_ADMIN_GRPC".to_owned(), format!("https://localhost:{port}"));
        variables.insert("GATEWAY_ADMIN_GRPC_CA_FILE".to_owned(), self.file("ca.crt"));
        variables.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let process = Process::start("relay-gateway", &[], &variables);
        let address = process.address("gateway");
        (process, address)
    }

    /// One that shows this certificate.
    fn gateway_of(&self, name: &str) -> (Process, SocketAddr) {
        self.gateway(&[
            ("GATEWAY_ADMIN_GRPC_CERT_FILE", self.file(&format!("{name}.crt"))),
            ("GATEWAY_ADMIN_GRPC_KEY_FILE", self.file(&format!("{name}.key"))),
        ])
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("utf-8").to_owned()
}

/// Lets the script make an authority and certificates of gateways.
fn make(directory: &Path, gateways: &[&str]) {
    let made = Command::new(SCRIPT).arg(directory).arg("localhost").args(gateways).output().expect("it runs");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success() && said.contains("ADMIN_GRPC_CLIENT_CA_FILE="), "{said}");
}

/// Writes the authority's list of revoked certificates.
fn revoke(directory: &Path, certificates: &[PathBuf]) {
    let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=2\ncrlnumber=crlnumber\ncertificate=ca.crt\nprivate_key=ca.key\n";
    std::fs::write(directory.join("ca.cnf"), config).expect("written");
    if !directory.join("index.txt").exists() {
        std::fs::write(directory.join("index.txt"), "").expect("written");
        std::fs::write(directory.join("crlnumber"), "01\n").expect("written");
    }
    let openssl = |arguments: &[&str]| {
        let made =
            Command::new("openssl").args(["ca", "-config", "ca.cnf"]).args(arguments).current_dir(directory).output();
        let made = made.expect("it runs");
        assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
    };
    for certificate in certificates {
        openssl(&["-revoke", &text(certificate)]);
    }
    openssl(&["-gencrl", "-out", "ca.crl.new"]);
    std::fs::rename(directory.join("ca.crl.new"), directory.join("ca.crl")).expect("renamed");
}

async fn status(client: &Client, gateway: SocketAddr, tenant: &Tenant) -> u16 {
    let url = format!("http://{gateway}/api/v1/relay/create/conversation");
    let body = format!(r#"{{"visitor_user_id":"{:x}"}}"#, fastrand::u64(..));
    tenant.request(client, Method::POST, &url, body).send().await.expect("an answer").status().as_u16()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_proves_itself_by_its_certificate_and_a_revoked_one_opens_nothing() {
    let scene = Scene::set_up();
    let operator = scene.operator();
    let tenant = operator.provision(json!({"tenant_name": "Shop", "rate_limit_per_min": 6_000_000})).await;
    let client = Client::new();
    let ((_one, one), (_other, other)) = (scene.gateway_of("one"), scene.gateway_of("other"));
    for gateway in [one, other] {
        until("it is let in", async || status(&client, gateway, &tenant).await == 201).await;
    }
    // Both hold leases over TLS: a change is heard by both, at once.
    until("both are heard", async || {
        let path = format!("/update/tenant?tenant_id={}", tenant.id);
        let (_, answer) = operator.call("POST", &path, Some(json!({"plan_tier": "pro"}))).await;
        answer["data"]["propagation"]["acknowledged"] == 2
    })
    .await;

    // The right token alone opens nothing: not without a certificate, not with another authority's, not without TLS.
    let stranger = tempfile::tempdir().expect("a directory");
    make(stranger.path(), &["one"]);
    let foreign = |name: &str| text(&stranger.path().join(name));
    for further in [
        vec![],
        vec![("GATEWAY_ADMIN_GRPC_CERT_FILE", foreign("one.crt")), ("GATEWAY_ADMIN_GRPC_KEY_FILE", foreign("one.key"))],
        vec![("GATEWAY_ADMIN_GRPC_CA_FILE", foreign("ca.crt"))],
        vec![("GATEWAY_ADMIN_GRPC", format!("http://{}", scene.grpc))],
    ] {
        let (_gateway, address) = scene.gateway(&further);
        assert_eq!(status(&client, address, &tenant).await, 503, "{further:?}");
    }

    // Revoked, a gateway loses the connections that it has. The other one's break too, and come back.
    revoke(scene.data.path(), &[scene.data.path().join("other.crt")]);
    until("the revoked one is shut out", async || {
        // Once its lease is over it asks for each call, and is answered nothing.
        status(&client, other, &tenant).await == 503
    })
    .await;
    until("the other goes on", async || status(&client, one, &tenant).await == 201).await;
    until("one is heard", async || {
        let (_, answer) = operator.call("POST", &format!("/reactivate/tenant?tenant_id={}", tenant.id), None).await;
        (&answer["data"]["propagation"]["gateways"], &answer["data"]["propagation"]["acknowledged"])
            == (&json!(1), &json!(1))
    })
    .await;
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start_and_are_named() {
    let scene = Scene::set_up();
    let absent = scene.file("absent.crt");
    let of_gateway = |further: &[(&str, String)]| {
        let mut variables = gateway_environment(scene.grpc, scene.grpc);
        variables.insert("GATEWAY_ADMIN_GRPC".to_owned(), "https://localhost:7813".to_owned());
        variables.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        ("relay-gateway", variables)
    };
    let of_admin = |further: &[(&str, String)]| {
        let mut variables = admin_environment("sqlite::memory:");
        variables.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        ("admin-service", variables)
    };
    let (cert, key) = (scene.file("one.crt"), scene.file("one.key"));
    let server = [("ADMIN_GRPC_TLS_CERT_FILE", cert.clone()), ("ADMIN_GRPC_TLS_KEY_FILE", key.clone())];
    for ((program, variables), why) in [
        (of_gateway(&[("GATEWAY_ADMIN_GRPC_CA_FILE", absent.clone())]), "admin_grpc_ca_file = "),
        (of_gateway(&[("GATEWAY_ADMIN_GRPC_CERT_FILE", cert.clone())]), "admin_grpc_key_file: is missing"),
        (
            of_gateway(&[
                ("GATEWAY_ADMIN_GRPC_CERT_FILE", cert.clone()),
                ("GATEWAY_ADMIN_GRPC_KEY_FILE", scene.file("other.key")),
            ]),
            "admin_grpc_key_file = ",
        ),
        (of_admin(&server), "grpc_client_ca_file: is missing"),
        (of_admin(&[("ADMIN_GRPC_CLIENT_CA_FILE", cert.clone())]), "grpc_tls_cert_file: is missing"),
        (
            of_admin(&[server.as_slice(), &[("ADMIN_GRPC_CLIENT_CA_FILE", key.clone())]].concat()),
            "grpc_client_ca_file = ",
        ),
    ] {
        let mut process = Process::start(program, &[], &variables);
        let status = process.wait();
        assert!(!status.success() && process.log().contains(why), "{why}: {}", process.log());
    }
}

#[test]
fn the_script_makes_what_is_missing_and_refuses_what_would_mix_up_files() {
    let directory = tempfile::tempdir().expect("a directory");
    make(directory.path(), &["one"]);
    let read = |name: &str| std::fs::read(directory.path().join(name)).expect("a file");
    let (ca, one) = (read("ca.crt"), read("one.crt"));
    make(directory.path(), &["one", "other"]);
    assert!((read("ca.crt"), read("one.crt")) == (ca, one) && !read("other.crt").is_empty());
    for (host, gateway) in [
        ("localhost", "admin"),
        ("localhost", "ca"),
        ("localhost", "../one"),
        ("localhost", "-one"),
        ("localhost", ""),
        ("local host", "one"),
        ("elsewhere", "one"),
    ] {
        let run = Command::new(SCRIPT).arg(directory.path()).args([host, gateway]).output().expect("it runs");
        assert!(run.status.code() == Some(64) && !run.stderr.is_empty(), "{host} {gateway}");
    }
}
