//! Refuses wildcards under a public suffix (`co.uk`, `github.io`): anyone may have a name under one.
//!
//! The list (publicsuffix.org) is compiled in, so it is as old as the build. It is asked when a wildcard is written and never when
//! one is read: what was allowed yesterday stays allowed. Names that are not on it (`shop.localhost`, `corp.internal`) belong to
//! a private network and are taken; a single label after the `*` is refused everywhere, by the grammar.

use wire::origin::{Domain, OriginPattern};

/// What is wrong with an origin that a tenant wants to allow, if anything.
pub(super) fn check_origin(pattern: &OriginPattern) -> Result<(), String> {
    pattern.wildcard_domain().map_or(Ok(()), check)
}

/// As [`check_origin`], of a widget key's domain.
pub(super) fn check_domain(domain: &Domain) -> Result<(), String> {
    domain.wildcard_domain().map_or(Ok(()), check)
}

/// Checks what follows the `*.`.
fn check(base: &str) -> Result<(), String> {
    // Of some suffixes the list has only the names under them, all at once (`*.kawasaki.jp`).
    if is_public_suffix(base) || is_public_suffix(&format!("any.{base}")) {
        return Err(format!(
            "is too wide: {base} is a public suffix, under which anyone may have a name; write your own, as in *.example.{base}"
        ));
    }
    Ok(())
}

/// Whether a name is on the list. Private suffixes count: what is hosted under them belongs to many.
fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_under_a_public_suffix_is_refused() {
        for wide in ["co.uk", "github.io", "com.au", "pages.dev", "xn--55qx5d.cn", "foo.ck", "kawasaki.jp"] {
            let origin = check_origin(&format!("https://*.{wide}:8443").parse().expect(wide));
            assert!(origin.is_err_and(|why| why.contains(wide)), "{wide}");
            assert!(check_domain(&format!("*.{wide}").parse().expect(wide)).is_err(), "{wide}");
            assert_eq!(check_origin(&format!("https://{wide}").parse().expect(wide)), Ok(()), "itself alone");
            assert_eq!(check_origin(&format!("https://*.shop.a.{wide}").parse().expect(wide)), Ok(()));
        }
        assert!(check_origin(&"HTTPS://*.CO.UK".parse().expect("a pattern")).is_err());
        for own in
            ["example.co.uk", "shop.github.io", "example.com", "www.ck", "shop.localhost", "corp.internal", "a.lan"]
        {
            assert_eq!(check_origin(&format!("https://*.{own}").parse().expect(own)), Ok(()), "{own}");
            assert_eq!(check_domain(&format!("*.{own}").parse().expect(own)), Ok(()), "{own}");
        }
        // An app's own scheme names no host of the DNS.
        assert_eq!(check_origin(&"app://*.co.uk".parse().expect("a pattern")), Ok(()));
    }
}
