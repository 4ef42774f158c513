use super::*;

fn guard(allowed: &[&str]) -> AddressGuard {
    AddressGuard {
        ports: "80,443,1024-65535".parse().expect("ports"),
        allowed_networks: allowed.iter().map(|network| network.parse().expect("a network")).collect(),
    }
}

/// The refusal in words; `None` where the URL is taken.
fn refusal(guard: &AddressGuard, text: &str) -> Option<String> {
    match Url::parse(text) {
        Err(error) => Some(format!("not a URL: {error}")),
        Ok(url) => guard.check_url(&url).err().map(|refused| refused.to_string()),
    }
}

#[test]
fn hostile_spellings_are_refused() {
    const LOOPBACK: &str = "is a loopback address";
    const PRIVATE: &str = "is a private address";
    const LINK_LOCAL: &str = "is a link-local address";
    const LOCAL_NAME: &str = "name of a private network";
    const MACHINE: &str = "is this machine itself";
    const NO_URL: &str = "not a URL";
    for (url, words) in [
        // One address, spelled in every way.
        ("http://127.0.0.1/", LOOPBACK),
        ("http://127.0.0.1:8080/", LOOPBACK),
        ("http://127.0.0.1./", LOOPBACK),
        ("http://2130706433/", LOOPBACK),
        ("http://017700000001/", LOOPBACK),
        ("http://0177.0.0.1/", LOOPBACK),
        ("http://0177.0.0.01/", LOOPBACK),
        ("http://00000177.0.0.1/", LOOPBACK),
        ("http://0x7f000001/", LOOPBACK),
        ("http://0X7F.0.0.1/", LOOPBACK),
        ("http://0x7f.0x0.0x0.0x1/", LOOPBACK),
        ("http://0x7f.1/", LOOPBACK),
        ("http://127.1/", LOOPBACK),
        ("http://127.0.1/", LOOPBACK),
        ("http://127.255.255.254/", LOOPBACK),
        ("http://１２７.０.０.１/", LOOPBACK),
        ("http://①②⑦.0.0.1/", LOOPBACK),
        ("http://127。0。0。1/", LOOPBACK),
        ("http://127．0．0．1/", LOOPBACK),
        ("http://%31%32%37.0.0.1/", LOOPBACK),
        ("http://127%2e0%2e0%2e1/", LOOPBACK),
        ("HTTP://127.0.0.1/", LOOPBACK),
        ("hTTpS://127.0.0.1/", LOOPBACK),
        ("http:127.0.0.1/", LOOPBACK),
        ("http:/127.0.0.1/", LOOPBACK),
        ("http:////127.0.0.1/", LOOPBACK),
        ("http:\\\\127.0.0.1\\", LOOPBACK),
        ("http://\t127.0\n.0.1/", LOOPBACK),
        ("  http://127.0.0.1/", LOOPBACK),
        ("http://127.0.0.1\\@example.com/", LOOPBACK),
        ("http://@127.0.0.1/", LOOPBACK),
        // Other addresses of IPv4.
        ("http://0/", "is an address of this network"),
        ("http://0.0.0.0/", "is an address of this network"),
        ("http://10.0.0.1/", PRIVATE),
        ("http://012.1/", PRIVATE),
        ("http://167772161/", PRIVATE),
        ("http://172.16.0.1/", PRIVATE),
        ("http://172.31.255.255/", PRIVATE),
        ("http://192.168.1.1/", PRIVATE),
        ("http://0xc0a80101/", PRIVATE),
        ("http://100.100.100.200/", "a carrier's network"),
        ("http://169.254.169.254/latest/meta-data", LINK_LOCAL),
        ("http://2852039166/", LINK_LOCAL),
        ("http://0xa9fea9fe/", LINK_LOCAL),
        ("http://0251.0376.0251.0376/", LINK_LOCAL),
        ("http://168.63.129.16/", "the metadata address of a cloud"),
        ("http://192.0.0.192/", "is a reserved address"),
        ("http://198.18.0.1/", "for benchmarks"),
        ("http://203.0.113.7/", "for documentation"),
        ("http://224.0.0.1/", "is a multicast address"),
        ("http://255.255.255.255/", "is the broadcast address"),
        ("http://4294967295/", "is the broadcast address"),
        // IPv6.
        ("http://[::]/", "is the unspecified address"),
        ("http://[::1]/", "is the loopback address"),
        ("http://[0:0:0:0:0:0:0:1]:8080/", "is the loopback address"),
        ("http://[0000:0000:0000:0000:0000:0000:0000:0001]/", "is the loopback address"),
        ("http://[::ffff:127.0.0.1]/", LOOPBACK),
        ("http://[::ffff:7f00:1]/", LOOPBACK),
        ("http://[0:0:0:0:0:ffff:10.0.0.1]/", PRIVATE),
        ("http://[::FFFF:a9fe:a9fe]/", LINK_LOCAL),
        ("http://[::127.0.0.1]/", "IPv4-compatible"),
        ("http://[::ffff:0:127.0.0.1]/", "not a public address"),
        ("http://[64:ff9b::7f00:1]/", "NAT64"),
        ("http://[64:ff9b:1::1]/", "NAT64"),
        ("http://[2002:7f00:1::]/", "6to4"),
        ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "is a reserved address"),
        ("http://[2001:db8::1]/", "for documentation"),
        ("http://[fc00::1]/", PRIVATE),
        ("http://[fd00:ec2::254]/", PRIVATE),
        ("http://[fe80::1]/", LINK_LOCAL),
        ("http://[fec0::1]/", "site-local"),
        ("http://[ff02::1]/", "multicast"),
        ("http://[fe80::1%25eth0]/", NO_URL),
        // Names.
        ("http://localhost/", MACHINE),
        ("http://LOCALHOST:8080/", MACHINE),
        ("http://localhost./", MACHINE),
        ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", MACHINE),
        ("http://%6cocalhost/", MACHINE),
        ("http://anything.localhost/", MACHINE),
        ("http://printer.local/", LOCAL_NAME),
        ("http://local/", LOCAL_NAME),
        ("http://metadata.google.internal/", LOCAL_NAME),
        ("http://metadata.google.internal./", LOCAL_NAME),
        ("http://db.home.arpa/", LOCAL_NAME),
        ("http://localhost.localdomain/", LOCAL_NAME),
        ("http://metadata/", LOCAL_NAME),
        ("http://backend:8080/", LOCAL_NAME),
        ("http://backend./", LOCAL_NAME),
        ("http://./", "no host"),
        // Everything but the host.
        ("https://user@example.com/", "a user name or password"),
        ("https://user:pass@example.com/", "a user name or password"),
        ("https://:pass@example.com/", "a user name or password"),
        ("https://example.com@127.0.0.1/", "a user name or password"),
        ("https://example.com%40@127.0.0.1/", "a user name or password"),
        ("https://127.0.0.1%40example.com/", NO_URL),
        ("https://example.com/?a=1", "a query or fragment"),
        ("https://example.com/?", "a query or fragment"),
        ("https://example.com/#", "a query or fragment"),
        ("https://example.com#@127.0.0.1/", "a query or fragment"),
        ("ftp://example.com/", "ftp: is no scheme of a callback"),
        ("file:///etc/passwd", "file: is no scheme of a callback"),
        ("gopher://127.0.0.1:70/", "gopher: is no scheme of a callback"),
        ("javascript:alert(1)", "javascript: is no scheme of a callback"),
        ("wss://example.com/", "wss: is no scheme of a callback"),
        ("http://example.com:22/", "port 22 is not allowed; these are: 80,443,1024-65535"),
        ("http://example.com:0/", "port 0 is not allowed"),
        ("http://example.com:65536/", NO_URL),
        ("http://1.2.3.4.5/", NO_URL),
        ("http://127.0.0.256/", NO_URL),
        ("http://0x100000000/", NO_URL),
        ("http://[::1/", NO_URL),
        ("http://ex%00ample.com/", NO_URL),
        ("http://exa mple.com/", NO_URL),
        ("http:///", NO_URL),
        ("//example.com/", NO_URL),
        ("", NO_URL),
    ] {
        let refused = refusal(&guard(&[]), url);
        assert!(refused.as_ref().is_some_and(|refused| refused.contains(words)), "{url}: {refused:?}, not {words:?}");
    }
}

#[test]
fn public_urls_are_taken() {
    let target = |text: &str| {
        let target = guard(&[]).check_url(&Url::parse(text).expect("a URL")).expect(text);
        (target.is_tls, target.host.to_string(), target.port, target.host_header, target.path.to_string())
    };
    for (url, (is_tls, host, port, header, path)) in [
        ("https://example.com", (true, "example.com", 443, "example.com", "/")),
        ("https://EXAMPLE.com:443/a/b", (true, "example.com", 443, "example.com", "/a/b")),
        ("http://example.com:8080/", (false, "example.com", 8080, "example.com:8080", "/")),
        ("https://example.com./a", (true, "example.com", 443, "example.com", "/a")),
        ("https://bücher.example/ä", (true, "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/%C3%A4")),
        ("http://8.8.8.8/", (false, "8.8.8.8", 80, "8.8.8.8", "/")),
        ("https://[2606:4700::1111]:8443/x", (true, "[2606:4700::1111]", 8443, "[2606:4700::1111]:8443", "/x")),
        ("https://notlocalhost.com/", (true, "notlocalhost.com", 443, "notlocalhost.com", "/")),
        ("https://local.example/{a}|b", (true, "local.example", 443, "local.example", "/%7Ba%7D|b")),
    ] {
        let expected = (is_tls, host.to_owned(), port, HeaderValue::from_static(header), path.to_owned());
        assert_eq!(target(url), expected, "{url}");
    }
}

#[test]
fn allowed_networks_are_exempt() {
    let laptop = guard(&["127.0.0.0/8"]);
    for taken in [
        "http://localhost:3000/",
        "http://a.localhost:3000/",
        "http://127.0.0.1:3000/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
    ] {
        assert_eq!(refusal(&laptop, taken), None, "{taken}");
    }
    for refused in ["http://[::1]:3000/", "http://10.0.0.1/", "http://backend/", "http://printer.local/"] {
        assert!(refusal(&laptop, refused).is_some(), "{refused}");
    }
    assert_eq!(refusal(&guard(&["::1/128"]), "http://localhost/"), None);
    let cluster = guard(&["10.0.0.0/8", "fd00::/8"]);
    for taken in
        ["http://10.1.2.3/", "http://[fd00::1]/", "http://backend/", "http://backend.internal/", "https://example.com/"]
    {
        assert_eq!(refusal(&cluster, taken), None, "{taken}");
    }
    for refused in ["http://localhost/", "http://127.0.0.1/", "http://192.168.0.1/", "http://[fc00::1]/"] {
        assert!(refusal(&cluster, refused).is_some(), "{refused}");
    }
    assert_eq!(cluster.check_address("10.1.2.3".parse().expect("an address")), Ok(()));
}
