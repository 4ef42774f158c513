use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::delivery::{
    test_certificates::{Certificate, GOOD, Holder},
    test_receiver::{Names, ample, connector, listen, target},
};

async fn failure(names: Names, url: &str, deadline: Deadline) -> String {
    let connector = connector(names);
    let connected = connector.connect(&target(&connector, url), deadline).await;
    connected.expect_err("no connection").to_string()
}

#[tokio::test]
async fn one_refused_address_refuses_all() {
    let (listener, port) = listen().await;
    let url = format!("http://receiver.example:{port}/");
    for (addresses, words) in [
        (&["127.0.0.1", "10.0.0.1"][..], "refused address: 10.0.0.1 is a private address (10.0.0.0/8)"),
        (
            &["169.254.169.254", "127.0.0.1"],
            "refused address: 169.254.169.254 is a link-local address (169.254.0.0/16)",
        ),
        (&["127.0.0.1", "::1"], "refused address: ::1 is the loopback address (::1/128)"),
        (&["::ffff:10.0.0.1"], "refused address: ::ffff:10.0.0.1 is a private address (10.0.0.0/8)"),
    ] {
        assert_eq!(failure(Names::are(addresses), &url, ample()).await, words);
    }
    let accepted = timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "nothing was connected to");
}

#[tokio::test]
async fn addresses_are_tried_one_after_the_other() {
    let (listener, port) = listen().await;
    let connector = connector(Names::are(&["127.0.0.2", "127.0.0.3", "127.0.0.1"]));
    let target = target(&connector, &format!("http://receiver.example:{port}/"));
    let (connected, accepted) = tokio::join!(connector.connect(&target, ample()), listener.accept());
    assert!(matches!(connected, Ok(Either::Left(_))));
    accepted.expect("accepted");
}

#[tokio::test]
async fn failures_before_tls_are_told_in_words() {
    let (listener, port) = listen().await;
    drop(listener);
    let url = format!("http://receiver.example:{port}/");
    assert_eq!(failure(Names::are(&["127.0.0.1"]), &url, ample()).await, "connection refused");
    assert_eq!(failure(Names::are(&["127.0.0.1", "127.0.0.2"]), &url, ample()).await, "connection refused");
    assert_eq!(failure(Names::Unknown, &url, ample()).await, "DNS: no such name");
    assert_eq!(failure(Names::are(&[]), &url, ample()).await, "DNS: no such name");
    let soon = Deadline::after(Duration::from_millis(20));
    assert_eq!(failure(Names::Silent, &url, soon).await, "DNS: the resolver does not answer");
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine_and_no_invalid_name() {
    let (listener, port) = listen().await;
    let guard = connector(Names::Unknown).guard().clone();
    let connector = Connector::new(guard, Tls::from_system(), SystemResolver);
    let check = |url: String| connector.guard().check_url(&url.parse().expect("a URL")).expect("an allowed URL");
    let literal = check(format!("http://127.0.0.1:{port}/"));
    let (connected, accepted) = tokio::join!(connector.connect(&literal, ample()), listener.accept());
    assert!(connected.is_ok() && accepted.is_ok());
    let unknown = connector.connect(&check("http://no-such-name.invalid/".into()), ample()).await;
    // A machine without a network has no resolver that could know.
    assert!(matches!(unknown, Err(AttemptFailed::NoSuchName | AttemptFailed::ResolverSilent)));
}

#[tokio::test]
async fn tls_is_for_the_urls_host_and_http_1_1() {
    let (listener, port) = listen().await;
    let (authority, receiver) = (Holder::new(1), Holder::new(2));
    let acceptor = receiver.serve(authority.issue(&receiver, GOOD));
    let connector = connector(Names::are(&["127.0.0.1"]));
    let target = target(&connector, &format!("https://Receiver.example.:{port}/"));
    let serve = async {
        let (tcp, _) = listener.accept().await.expect("accepted");
        let mut tls = acceptor.accept(tcp).await.expect("a handshake");
        let (_, session) = tls.get_ref();
        assert_eq!(session.server_name(), Some("receiver.example"));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        tls.write_all(b"hello").await.expect("written");
        tls.shutdown().await.expect("closed");
    };
    let (connected, ()) = tokio::join!(connector.connect(&target, ample()), serve);
    let mut read = String::new();
    connected.expect("connected").read_to_string(&mut read).await.expect("read");
    assert_eq!(read, "hello");
}

/// What a client says that meets this certificate of holder 2's.
async fn refused_certificate(certificate: CertificateDer<'static>) -> String {
    let (listener, port) = listen().await;
    let acceptor = Holder::new(2).serve(certificate);
    let url = format!("https://receiver.example:{port}/");
    let serve = async {
        let (tcp, _) = listener.accept().await.expect("accepted");
        assert!(acceptor.accept(tcp).await.is_err(), "the client refuses the certificate");
    };
    tokio::join!(failure(Names::are(&["127.0.0.1"]), &url, ample()), serve).0
}

#[tokio::test]
async fn refused_certificates_are_told_in_words() {
    let (authority, receiver, stranger) = (Holder::new(1), Holder::new(2), Holder::new(3));
    let by_authority = |certificate: Certificate<'_>| authority.issue(&receiver, certificate);
    for (certificate, words) in [
        (
            by_authority(Certificate { validity: ["250101000000Z", "260102000000Z"], ..GOOD }),
            "TLS: certificate expired on 2026-01-02",
        ),
        (
            by_authority(Certificate { validity: ["480101000000Z", "490102000000Z"], ..GOOD }),
            "TLS: certificate is valid only from 2048-01-01",
        ),
        (
            by_authority(Certificate { names: &["other.example", "*.other.example"], ..GOOD }),
            "TLS: certificate is for other.example, *.other.example",
        ),
        (stranger.issue(&receiver, GOOD), "TLS: unknown issuer"),
        (receiver.issue(&receiver, GOOD), "TLS: unknown issuer"),
        (
            receiver.issue(&receiver, Certificate { is_authority: true, ..GOOD }),
            "TLS: certificate is that of an authority, such as a self-signed one",
        ),
    ] {
        assert_eq!(refused_certificate(certificate).await, words);
    }
}

#[tokio::test]
async fn a_receiver_without_tls_is_told_apart() {
    let names = || Names::are(&["127.0.0.1"]);
    let (listener, port) = listen().await;
    let url = format!("https://receiver.example:{port}/");
    let speak = async {
        let (mut tcp, _) = listener.accept().await.expect("accepted");
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        tcp
    };
    let (failed, _tcp) = tokio::join!(failure(names(), &url, ample()), speak);
    assert_eq!(failed, "TLS: the receiver does not speak TLS on this port");
    let hang_up = async { drop(listener.accept().await.expect("accepted")) };
    let (failed, ()) = tokio::join!(failure(names(), &url, ample()), hang_up);
    assert_eq!(failed, "TLS: the receiver closed the connection in the handshake");
    // A receiver that accepts and is silent.
    let soon = Deadline::after(Duration::from_millis(50));
    assert_eq!(failure(names(), &url, soon).await, "timed out after 50 ms connecting");
}
