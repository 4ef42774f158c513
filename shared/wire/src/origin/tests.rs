use proptest::prelude::*;
use url::Url;

use super::*;

fn pattern(text: &str) -> OriginPattern {
    text.parse().expect(text)
}

fn origin(text: &str) -> Origin {
    text.parse().expect(text)
}

#[test]
fn an_origin_is_written_as_a_browser_writes_it() {
    for (written, normal) in [
        ("https://shop.demo.com", "https://shop.demo.com"),
        ("HTTPS://Shop.Demo.COM:443", "https://shop.demo.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("app://bloonio_chat_flutter", "app://bloonio_chat_flutter"),
        ("App://Bloonio_Chat_Flutter", "app://bloonio_chat_flutter"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:7811", "http://[::1]:7811"),
        ("http://[0:0::1]", "http://[::1]"),
        ("http://127.1", "http://127.0.0.1"),
        ("https://*.Example.com:8443", "https://*.example.com:8443"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ] {
        assert_eq!(pattern(written).to_string(), normal);
    }
}

#[test]
fn local_pages_are_told_from_all_others() {
    for local in [
        "http://localhost",
        "http://LOCALHOST:8000",
        "https://shop.localhost",
        "http://127.0.0.1:7811",
        "http://127.1",
        "http://[::1]:7811",
        "http://[::ffff:127.0.0.1]",
    ] {
        assert!(origin(local).is_local(), "{local}");
    }
    for elsewhere in [
        "https://shop.demo.com",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://notlocalhost",
        "http://192.168.0.7",
        "http://0.0.0.0",
        "http://[::]",
        "app://localhost",
        "ws://localhost",
    ] {
        assert!(!origin(elsewhere).is_local(), "{elsewhere}");
    }
}

#[test]
fn anything_else_is_refused_and_says_why() {
    use InvalidOrigin as E;
    for (hostile, why) in [
        ("", E::Empty),
        ("shop.demo.com", E::Scheme),
        ("//shop.demo.com", E::Scheme),
        ("null", E::Scheme),
        ("*", E::Scheme),
        ("1http://x.com", E::Scheme),
        ("https:// shop.demo.com", E::Host),
        ("https://", E::Host),
        ("https://shop.demo.com/", E::Trailing),
        ("https://shop.demo.com/path", E::Trailing),
        ("https://shop.demo.com?x", E::Trailing),
        ("https://shop.demo.com#x", E::Trailing),
        ("https://shop.demo.com\\@evil.com", E::Trailing),
        ("https://user:pw@shop.demo.com", E::UserInfo),
        ("https://shop.demo.com:", E::Port),
        ("https://shop.demo.com:0", E::Port),
        ("https://shop.demo.com:65536", E::Port),
        ("https://shop.demo.com:+80", E::Port),
        ("https://shop.demo.com:80:80", E::Port),
        ("https://[::1", E::Host),
        ("https://a..b.com", E::Host),
        ("https://shop.demo.com.", E::Host),
        ("https://sh op.com", E::Host),
        ("https://shop.com\0", E::Host),
        ("https://*", E::Wildcard),
        ("https://*.*.example.com", E::Wildcard),
        ("https://a.*.example.com", E::Wildcard),
        ("https://a*.example.com", E::Wildcard),
        ("https://*.com", E::TooWide),
        ("https://*.127.0.0.1", E::TooWide),
        ("app://bl%6fonio", E::Host),
    ] {
        assert_eq!(hostile.parse::<OriginPattern>(), Err(why), "{hostile:?}");
    }
    assert_eq!(format!("https://{}.com", "a".repeat(300)).parse::<Origin>(), Err(E::TooLong));
}

#[test]
fn a_wildcard_matches_labels_under_it_and_never_the_apex() {
    let allowed = pattern("https://*.example.com");
    for inside in ["https://a.example.com", "https://a.b.example.com", "https://a.example.com:443"] {
        assert!(allowed.matches(&origin(inside)), "{inside}");
    }
    for outside in [
        "https://example.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "https://aexample.com",
        "https://a.example.com.evil.com",
        "https://example.com.evil.com",
    ] {
        assert!(!allowed.matches(&origin(outside)), "{outside}");
    }
}

#[test]
fn a_domain_is_a_host_name_as_a_browser_would_send_it() {
    for (text, read) in [
        ("Example.COM", "example.com"),
        ("*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        assert_eq!(text.parse::<Domain>().map(|domain| domain.to_string()), Ok(read.to_owned()));
    }
    for wrong in ["", "*", "*.com", "a.*.com", "https://a.com", "a.com:8080", "a.com/x", "u@a.com", "a b.com", "a..b"] {
        assert!(wrong.parse::<Domain>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_keys_domains_stand_instead_of_the_tenants_origins() {
    let origins = vec![pattern("https://shop.demo.com"), pattern("app://demo")];
    let tenants = OriginPolicy { origins: origins.clone(), domains: Vec::new() };
    assert!(tenants.allows(&origin("https://shop.demo.com")) && tenants.allows(&origin("app://demo")));
    assert!(!tenants.allows(&origin("http://shop.demo.com")), "another scheme is another origin");
    let domains = ["example.com", "*.example.org"].map(|text| text.parse().expect(text)).to_vec();
    let keys = OriginPolicy { origins, domains };
    for inside in ["https://example.com", "http://example.com:8080", "https://a.b.example.org"] {
        assert!(keys.allows(&origin(inside)), "{inside}");
    }
    for outside in [
        "https://shop.demo.com",
        "https://a.example.com",
        "https://example.org",
        "app://example.com",
        "https://example.com.evil.org",
    ] {
        assert!(!keys.allows(&origin(outside)), "{outside}");
    }
    assert!(!OriginPolicy::default().allows(&origin("https://a.com")), "nothing allowed is nobody let in");
}

proptest! {
    /// Whatever a hostile page sends as its origin: where the URL standard reads another host than ours, or none, we read
    /// none either; so no text is let in as somebody it is not.
    #[test]
    fn no_text_passes_for_a_host_the_url_standard_does_not_see(
        text in "(?i)https?[:/\\\\@. \t\n\0%a-z0-9\\[\\]ßﬀ。]{3,24}(shop\\.demo\\.com)?[@:/\\\\.?#%0-9a-z]{0,8}"
    ) {
        if let Ok(ours) = text.parse::<Origin>() {
            let standard = Url::parse(&text).map(|url| url.origin().ascii_serialization());
            prop_assert_eq!(Ok(ours.to_string()), standard, "{:?}", text);
        }
    }

    /// For the schemes browsers know, our normal form is the URL standard's serialised origin.
    #[test]
    fn agrees_with_the_url_standard(
        scheme in "(?i)(https?|wss?)",
        host in "[a-zA-Z0-9äß]{1,8}(\\.[a-zA-Z0-9-]{1,8}){0,3}",
        port in proptest::option::of(1_u16..),
    ) {
        let text = port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"));
        match (text.parse::<Origin>(), Url::parse(&text)) {
            (Ok(ours), Ok(standard)) => prop_assert_eq!(ours.to_string(), standard.origin().ascii_serialization()),
            (Err(_), Err(_)) => {}
            (ours, standard) => prop_assert!(false, "{text}: {ours:?} against {standard:?}"),
        }
    }

    #[test]
    fn reading_back_what_was_written_changes_nothing(text in "\\PC{0,40}") {
        if let Ok(read) = text.parse::<OriginPattern>() {
            prop_assert_eq!(read.to_string().parse::<OriginPattern>(), Ok(read));
        }
    }

    #[test]
    fn a_wildcard_is_exactly_a_dotted_suffix(left in "[a-z]{0,4}(\\.[a-z]{1,4}){0,2}", host in "[a-z]{1,4}\\.[a-z]{2,4}") {
        let candidate = format!("https://{left}{host}");
        let allowed = pattern(&format!("https://*.{host}"));
        if let Ok(read) = candidate.parse::<Origin>() {
            prop_assert_eq!(allowed.matches(&read), read.host.ends_with(&format!(".{host}")));
        }
    }
}
