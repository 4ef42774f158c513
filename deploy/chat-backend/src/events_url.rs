//! Where events are published to: the admin service's REST listener.

use std::{net::SocketAddr, str::FromStr};

use http::Uri;
use url::Url;

/// The admin service's URL, `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsUrl(Url);

impl EventsUrl {
    /// The URL of a listener, over plain HTTP.
    ///
    /// # Panics
    /// Where the address has an IPv6 scope, as in `[fe80::1%2]`, which no URL can have.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self(Url::parse(&format!("http://{address}")).expect("a socket address is a host and a port"))
    }

    /// Where events are sent: `<url>/internal/publish/events`.
    ///
    /// # Panics
    /// Never: this was checked when the URL was read.
    pub(crate) fn publish_uri(&self) -> Uri {
        publish_uri(&self.0).expect("it was checked when the URL was read")
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

fn publish_uri(url: &Url) -> Result<Uri, http::uri::InvalidUri> {
    format!("{}/internal/publish/events", url.as_str().trim_end_matches('/')).parse()
}

impl FromStr for EventsUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("must be a URL such as http://127.0.0.1:7812 ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err("must begin with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a user, query or fragment".to_owned());
        }
        publish_uri(&url).map_err(|error| format!("cannot be called ({error})"))?;
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sent_below_the_url() {
        for (given, uri) in [
            ("http://127.0.0.1:7812", "http://127.0.0.1:7812/internal/publish/events"),
            ("http://127.0.0.1:7812/", "http://127.0.0.1:7812/internal/publish/events"),
            ("https://admin.example.com/base/", "https://admin.example.com/base/internal/publish/events"),
        ] {
            assert_eq!(given.parse::<EventsUrl>().expect("a URL").publish_uri(), uri);
        }
        for wrong in ["127.0.0.1:7812", "ftp://x", "http://u:p@x", "http://x/?a=b", "http://x/#a"] {
            assert!(wrong.parse::<EventsUrl>().is_err(), "{wrong}");
        }
    }
}
