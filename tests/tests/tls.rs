//! TLS on the public listener, in real processes: calls and sockets, clients that speak what the port does not, and certificates that are replaced
//! beside open connections.

use std::{collections::HashMap, fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use e2e::{
    certificates::{Authority, Certificate},
    process::{PATIENCE, Process},
    signed::Tenant,
    visitor::{PAGE, begin_session},
    world::{ANY_PORT, World, environment, gateway_environment},
};
use futures_util::StreamExt as _;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{client::IntoClientRequest as _, http::HeaderValue},
};

/// A gateway with TLS beside the one of a world, and who may be trusted.
struct Scene {
    world: World,
    gateway: Process,
    address: SocketAddr,
    connector: TlsConnector,
}

impl Scene {
    async fn set_up(authority: &Authority, files: &Certificate, extra: &[(&str, &str)]) -> Self {
        let world = World::start(&[]).await;
        let mut variables = with_tls(&world, files);
        variables.extend(environment(extra));
        let gateway = Process::start("relay-gateway", &[], &variables);
        let address = gateway.address("gateway");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.ca()).expect("a certificate")).expect("it is one");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let scene = Self { world, gateway, address, connector: TlsConnector::from(Arc::new(config)) };
        let deadline = std::time::Instant::now() + PATIENCE;
        while !scene.get("/readyz").await.starts_with("HTTP/1.1 200") {
            assert!(std::time::Instant::now() < deadline, "it does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        scene
    }

    async fn try_connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        timeout(PATIENCE, self.connector.connect(name, tcp)).await.expect("in time")
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        self.try_connect().await.expect("it connects")
    }

    async fn get(&self, path: &str) -> String {
        ask(&mut self.connect().await, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Vec<u8> {
        let stream = self.connect().await;
        let (_, connection) = stream.get_ref();
        connection.peer_certificates().expect("certificates")[0].to_vec()
    }

    async fn until_shown(&self, certificate: &Path) {
        let (deadline, wanted) = (std::time::Instant::now() + PATIENCE, der(certificate));
        while self.shown().await != wanted {
            assert!(std::time::Instant::now() < deadline, "it is not shown; the log:\n{}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the log has a line with this.
    fn until_said(&self, text: &str) {
        let said = self.gateway.wait_for_line(|line| line.contains(text).then_some(()));
        assert!(said.is_some(), "{text}; the log:\n{}", self.gateway.log());
    }
}

/// TLS before a server that speaks without it.
async fn terminator(before: SocketAddr, made: &Certificate) -> SocketAddr {
    let chain =
        CertificateDer::pem_file_iter(&made.cert).expect("certificates").collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(&made.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(ANY_PORT).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A gateway that does not trust the certificate leaves.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut inner = TcpStream::connect(before).await.expect("it connects");
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
    address
}

fn with_tls(world: &World, files: &Certificate) -> HashMap<String, String> {
    let mut variables = gateway_environment(world.grpc, world.backend_address);
    let path = |path: &Path| path.to_str().expect("utf-8").to_owned();
    variables.insert("GATEWAY_LISTEN".to_owned(), ANY_PORT.to_owned());
    variables.insert("GATEWAY_TLS_CERT_FILE".to_owned(), path(&files.cert));
    variables.insert("GATEWAY_TLS_KEY_FILE".to_owned(), path(&files.key));
    variables
}

fn der(certificate: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(certificate).expect("a certificate").to_vec()
}

/// Sends a request, and reads an answer with a `content-length`.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = Vec::new();
    loop {
        let read = timeout(PATIENCE, stream.read_buf(&mut text)).await.expect("in time").expect("read");
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else {
            assert!(read > 0, "closed after {so_far}");
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if body.len() >= length.parse().expect("a number") {
            return so_far;
        }
        assert!(read > 0, "closed after {so_far}");
    }
}

fn signed_call(tenant: &Tenant, path: &str, body: &str) -> String {
    let headers = tenant.headers(wire::time::now_unix_ms(), body.as_bytes());
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!(
        "POST /api/v1/relay/{path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_sockets_go_over_tls() {
    let authority = Authority::new();
    let scene = Scene::set_up(&authority, &authority.issue("relay", 2), &[]).await;
    let operator = scene.world.operator();
    let tenant = operator.provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;

    // Two calls on one connection, the second with a body of several records.
    let mut stream = scene.connect().await;
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let begun = ask(&mut stream, &signed_call(&tenant, "create/conversation", r#"{"visitor_user_id":"ada"}"#)).await;
    assert!(begun.starts_with("HTTP/1.1 201"), "{begun}");
    let large = json!({"title": "Orders", "body": "x".repeat(100_000), "language": "en"}).to_string();
    let kept = ask(&mut stream, &signed_call(&tenant, "ingest/knowledge", &large)).await;
    assert!(kept.starts_with("HTTP/1.1 201"), "{kept}");
    let script = scene.get("/api/v1/widget/chat.js").await;
    assert!(script.starts_with("HTTP/1.1 200") && script.len() > 50_000, "{}", &script[..200]);
    // What hyper refuses by itself has the envelope too, and does not speak of TLS.
    let malformed = ask(&mut scene.connect().await, "NONSENSE\r\n\r\n").await;
    assert!(malformed.contains("malformed_request") && !malformed.contains("https"), "{malformed}");

    // A visitor's socket.
    let session = begin_session(scene.world.relay, &tenant).await;
    let token = session["visitor_token"].as_str().expect("a token");
    let mut request = "wss://localhost/api/v1/ws/widget".into_client_request().expect("a request");
    let protocols = HeaderValue::from_str(&format!("chat-relay.v1, bearer.{token}")).expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    request.headers_mut().insert("origin", HeaderValue::from_static(PAGE));
    let (mut socket, _) = client_async(request, scene.connect().await).await.expect("it opens");
    let welcome = timeout(PATIENCE, socket.next()).await.expect("in time").expect("a frame").expect("a frame");
    let welcome: Value = serde_json::from_str(welcome.to_text().expect("text")).expect("JSON");
    assert_eq!(welcome["type"], "welcome");
    // A suspension closes it before it returns.
    operator.call("POST", &format!("/suspend/tenant?tenant_id={}", tenant.id), None).await;
    let close = timeout(PATIENCE, socket.next()).await.expect("in time").expect("a close").expect("a close");
    assert!(close.is_close(), "{close}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_what_the_port_does_not_is_told_so() {
    let authority = Authority::new();
    let scene = Scene::set_up(&authority, &authority.issue("relay", 2), &[("GATEWAY_HEADER_TIMEOUT_MS", "500")]).await;
    let mut plain = TcpStream::connect(scene.address).await.expect("it connects");
    let told = ask(&mut plain, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("https alone") && told.contains("request_id"), "{told}");

    let mut on_plain = TcpStream::connect(scene.world.relay).await.expect("it connects");
    let told = ask(&mut on_plain, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3} a ClientHello").await;
    assert!(told.starts_with("HTTP/1.1 400") && told.contains("takes http, and what came is TLS"), "{told}");

    // A client that never begins, one that never finishes its handshake, and one that offers nothing the relay speaks are let go.
    for bytes in [b"".as_slice(), b"\x16", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", &[0x16; 300]] {
        let mut stream = TcpStream::connect(scene.address).await.expect("it connects");
        stream.write_all(bytes).await.expect("sent");
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time");
    }
    assert!(scene.get("/healthz").await.starts_with("HTTP/1.1 200"), "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_backend_with_a_certificate_of_ones_own_authority_is_called_over_tls() {
    let authority = Authority::new();
    let world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Shop"})).await;
    let port = terminator(world.backend_address, &authority.issue("backend", 2)).await.port();
    let mut variables = gateway_environment(world.grpc, world.backend_address);
    variables.insert("GATEWAY_CHAT_BACKEND_URL".to_owned(), format!("https://localhost:{port}"));
    let begun = async |variables: &HashMap<String, String>| {
        let gateway = Process::start("relay-gateway", &[], variables);
        let address = gateway.address("gateway");
        e2e::world::until_ready(address).await;
        let mut stream = TcpStream::connect(address).await.expect("it connects");
        ask(&mut stream, &signed_call(&tenant, "create/conversation", r#"{"visitor_user_id":"ada"}"#)).await
    };
    let untrusted = begun(&variables).await;
    assert!(untrusted.starts_with("HTTP/1.1 503") && untrusted.contains("backend_unreachable"), "{untrusted}");
    variables.insert("SSL_CERT_FILE".to_owned(), authority.ca().to_str().expect("utf-8").to_owned());
    let trusted = begun(&variables).await;
    assert!(trusted.starts_with("HTTP/1.1 201"), "{trusted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_never_ends_holds_up_no_stop() {
    let authority = Authority::new();
    let mut scene = Scene::set_up(&authority, &authority.issue("relay", 2), &[]).await;
    let mut silent = TcpStream::connect(scene.address).await.expect("it connects");
    let mut begun = TcpStream::connect(scene.address).await.expect("it connects");
    begun.write_all(b"\x16\x03\x01").await.expect("sent");
    // Both are accepted, as this one is that came after them.
    assert!(scene.get("/healthz").await.starts_with("HTTP/1.1 200"));
    scene.gateway.terminate();
    for stream in [&mut silent, &mut begun] {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time");
    }
    assert!(scene.gateway.wait().success() && !scene.gateway.log().contains("were cut"), "{}", scene.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_over_tls_is_cut() {
    let authority = Authority::new();
    let patience = ("GATEWAY_WRITE_TIMEOUT_MS", "1000");
    let scene = Scene::set_up(&authority, &authority.issue("relay", 2), &[patience]).await;
    let mut stream = scene.connect().await;
    let request = "GET /api/v1/widget/chat.js HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    stream.write_all(request.as_bytes()).await.expect("sent");
    scene.until_said("its reader took nothing within write_timeout_ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_beside_open_connections_and_a_bad_one_is_not_taken() {
    let authority = Authority::new();
    let [first, second, third] = ["first", "second", "third"].map(|name| authority.issue(name, 2));
    let expired = authority.issue("expired", -1);
    let at = |name: &str| authority.directory().join(name);
    let files = Certificate { cert: at("live.crt"), key: at("live.key") };
    let copy = |from: &Path, to: &Path| fs::copy(from, to).map(drop).expect("copied");
    copy(&first.cert, &files.cert);
    copy(&first.key, &files.key);
    let scene = Scene::set_up(&authority, &files, &[]).await;
    assert_eq!(scene.shown().await, der(&first.cert));
    let mut open = scene.connect().await;
    let healthy = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert!(ask(&mut open, healthy).await.starts_with("HTTP/1.1 200"));

    // The certificate first: until its key comes, the pair from before is shown, and somebody hears of it.
    copy(&second.cert, &files.cert);
    scene.until_said("is not the key of the certificate");
    assert_eq!(scene.shown().await, der(&first.cert));
    copy(&second.key, &files.key);
    scene.until_shown(&second.cert).await;

    // One that has expired, rubbish, and no file at all change nothing.
    copy(&expired.cert, &files.cert);
    copy(&expired.key, &files.key);
    scene.until_said("the new certificate is not valid now");
    fs::write(&files.cert, "rubbish").expect("written");
    scene.until_said("holds no certificate in PEM");
    fs::remove_file(&files.cert).expect("removed");
    scene.until_said("cannot be read");
    assert_eq!(scene.shown().await, der(&second.cert));

    // As a volume of Kubernetes does it: the files are links through a directory that is a link, which is replaced at once.
    for (version, made) in [("v2", &second), ("v3", &third)] {
        fs::create_dir(at(version)).expect("made");
        copy(&made.cert, &at(version).join("tls.crt"));
        copy(&made.key, &at(version).join("tls.key"));
    }
    let link = |to: &Path, name: &Path| std::os::unix::fs::symlink(to, name).expect("linked");
    link(Path::new("v2"), &at("data"));
    fs::remove_file(&files.key).expect("removed");
    link(Path::new("data/tls.crt"), &files.cert);
    link(Path::new("data/tls.key"), &files.key);
    scene.until_shown(&second.cert).await;
    link(Path::new("v3"), &at("data.new"));
    fs::rename(at("data.new"), at("data")).expect("renamed");
    scene.until_shown(&third.cert).await;

    assert!(ask(&mut open, healthy).await.starts_with("HTTP/1.1 200"), "the first connection goes on");
}

#[tokio::test]
async fn a_gateway_without_a_usable_certificate_does_not_start_and_says_why() {
    let authority = Authority::new();
    let (good, other) = (authority.issue("good", 2), authority.issue("other", 2));
    let encrypted = authority.directory().join("encrypted.key");
    let (from, to) = (good.key.to_str().expect("utf-8"), encrypted.to_str().expect("utf-8"));
    authority.openssl(&["pkcs8", "-topk8", "-in", from, "-passout", "pass:hush", "-out", to]);
    let world = World::start(&[]).await;
    let absent = authority.directory().join("absent.crt");
    for (cert, key, why) in [
        (&good.cert, &other.key, "is not the key of the certificate in"),
        (&absent, &good.key, "cannot be read"),
        (&good.key, &good.key, "holds no certificate in PEM"),
        (&good.cert, &good.cert, "holds no private key in PEM that is not encrypted"),
        (&good.cert, &encrypted, "holds no private key in PEM that is not encrypted"),
    ] {
        let files = Certificate { cert: cert.clone(), key: key.clone() };
        let mut gateway = Process::start("relay-gateway", &[], &with_tls(&world, &files));
        let status = gateway.wait();
        let log = gateway.log();
        assert!(!status.success() && log.contains(why) && !log.contains("PRIVATE KEY"), "{why}: {log}");
    }
    let mut variables = with_tls(&world, &good);
    variables.remove("GATEWAY_TLS_KEY_FILE");
    let mut gateway = Process::start("relay-gateway", &[], &variables);
    assert!(!gateway.wait().success() && gateway.log().contains("tls_key_file: is missing"), "{}", gateway.log());
}
