//! What the start prints: where everything is, and the README's first step, ready to paste.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
};

use relay_gateway::config::HttpUrl;
use service::{laptop::Exposure, serve::from_this_machine};
use url::Url;

/// What a reader needs to know of the deployment that runs.
#[derive(Clone, Debug)]
pub(crate) struct NextSteps {
    /// Where this machine reaches the relay.
    relay: String,
    /// Where tenants and browsers reach it.
    base_url: String,
    /// The origin of the relay's own pages.
    origin: String,
    /// Where this machine reaches the admin service.
    admin: String,
    /// Whether the relay's own address takes the admin API.
    is_one_address: bool,
    /// Whether the relay listens on all addresses of this machine.
    is_everywhere: bool,
}

impl NextSteps {
    pub(crate) fn new(relay: SocketAddr, admin: SocketAddr, relay_url: Option<&HttpUrl>, admin_api: Exposure) -> Self {
        let own = format!("http://{}", from_this_machine(relay));
        let (base_url, origin) = match relay_url {
            Some(url) => {
                (url.as_url().as_str().trim_end_matches('/').to_owned(), url.as_url().origin().ascii_serialization())
            }
            None => (own.clone(), own.clone()),
        };
        Self {
            is_one_address: admin_api != Exposure::Off && relay_url.is_none(),
            is_everywhere: relay.ip().is_unspecified(),
            relay: own,
            base_url,
            origin,
            admin: format!("http://{}", from_this_machine(admin)),
        }
    }

    /// The same for a page that was opened under this host, which is one of the listener's own.
    pub(crate) fn seen_at(&self, host: &str) -> Self {
        let seen = format!("http://{host}");
        if self.base_url != self.relay {
            // Under relay_url's host a proxy may speak https and take a path off; under another, this listener answers itself.
            let origin = if self.is_host_of_relay_url(host) { self.origin.clone() } else { seen };
            return Self { origin, ..self.clone() };
        }
        Self { relay: seen.clone(), base_url: seen.clone(), origin: seen, ..self.clone() }
    }

    fn is_host_of_relay_url(&self, host: &str) -> bool {
        let scheme = self.origin.split("://").next().unwrap_or_default();
        Url::parse(&format!("{scheme}://{host}")).is_ok_and(|url| url.origin().ascii_serialization() == self.origin)
    }

    /// The script that pages load the widget from.
    pub(crate) fn widget_url(&self) -> String {
        format!("{}/widget.js", self.base_url)
    }

    /// The origin of the relay's own pages.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The path that the relay's own pages are under: empty, or such as `/relay`.
    pub(crate) fn path(&self) -> &str {
        self.base_url.strip_prefix(&self.origin).filter(|path| path.starts_with('/')).unwrap_or_default()
    }

    /// Where tenants and browsers reach the relay, as a shell takes it.
    pub(crate) fn base_url(&self) -> String {
        shell_word(&self.base_url)
    }

    /// Where this machine reaches the admin API.
    pub(crate) fn admin_base(&self) -> &str {
        if self.is_one_address { &self.relay } else { &self.admin }
    }

    /// The README's first step: a tenant whose credentials are in `tenant.env`.
    pub(crate) fn provision(&self) -> String {
        let (admin_url, origin) = (
            if self.is_one_address { String::new() } else { format!(" --admin-url {}", shell_word(&self.admin)) },
            if self.origin == self.base_url { "\"$BASE_URL\"".to_owned() } else { shell_word(&self.origin) },
        );
        format!(
            "(umask 077 && python3 deploy/provision-tenant.py --relay-url \"$BASE_URL\"{admin_url} \\
  --tenant-name \"Demo Boutique\" --origin {origin} --origin http://localhost:8000 \\
  --origin https://shop.demo.com --origin app://bloonio_chat_flutter > tenant.env)"
        )
    }

    /// Says it all. `key_file` is where a generated admin key is.
    pub(crate) fn print(&self, key_file: Option<&Path>, demo: Exposure) {
        // A closed standard output is no reason to stop.
        let _ = writeln!(io::stdout(), "{}", self.text(key_file, demo));
    }

    fn text(&self, key_file: Option<&Path>, demo: Exposure) -> String {
        let key = key_file.map_or_else(
            || "# ADMIN_API_KEY must be the one that this process was started with".to_owned(),
            |path| format!("export ADMIN_API_KEY=\"$(cat {})\"", shell_path(path)),
        );
        let Self { relay, base_url, admin, .. } = self;
        let everywhere = if self.is_everywhere { "  (it listens on all addresses of this machine)" } else { "" };
        let public = if base_url == relay { String::new() } else { format!("\n  in public  {base_url}") };
        let commands = format!("export BASE_URL={}\n{key}\n{}", self.base_url(), self.provision());
        let commands = commands.lines().map(|line| format!("  {line}\n")).collect::<String>();
        let page = if demo == Exposure::Off {
            String::new()
        } else {
            format!("\nThen chat with it in a browser: {base_url}/demo\n")
        };
        format!(
            "\nchat-relay is up.

  relay      {relay}{everywhere}{public}
  admin API  {admin}  (reference: {admin}/docs)

Next, in another terminal, provision a tenant:

{commands}{page}
The tenant's credentials are in tenant.env. README.md goes on from there, with its step 2."
        )
    }
}

/// A word of a shell's command line, quoted where it has to be.
fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A path, as short as the README writes it, and never taken for a flag.
fn shell_path(path: &Path) -> String {
    let short = path.strip_prefix(".").unwrap_or(path).display().to_string();
    if short.starts_with('-') { shell_word(&format!("./{short}")) } else { shell_word(&short) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(relay: &str, relay_url: Option<&str>, admin_api: Exposure) -> NextSteps {
        let url = relay_url.map(|url| url.parse::<HttpUrl>().expect("a URL"));
        let admin = "127.0.0.1:7812".parse().expect("an address");
        NextSteps::new(relay.parse().expect("an address"), admin, url.as_ref(), admin_api)
    }

    #[test]
    fn what_is_printed_can_be_pasted_wherever_the_relay_listens() {
        let printed =
            |relay, url, exposure| steps(relay, url, exposure).text(Some(Path::new("./data/admin.key")), exposure);
        let home = printed("127.0.0.1:7811", None, Exposure::Direct);
        assert!(home.contains("  export BASE_URL=http://127.0.0.1:7811\n") && !home.contains("--admin-url"), "{home}");
        assert!(home.contains("  export ADMIN_API_KEY=\"$(cat data/admin.key)\"\n"), "{home}");
        assert!(home.contains("/demo\n") && !home.contains("all addresses"), "{home}");
        for (everywhere, own) in [("0.0.0.0:7811", "http://127.0.0.1:7811"), ("[::]:7811", "http://[::1]:7811")] {
            let text = printed(everywhere, None, Exposure::Off);
            assert!(text.contains(own) && text.contains("all addresses") && !text.contains(everywhere), "{text}");
            assert!(text.contains("--admin-url http://127.0.0.1:7812") && !text.contains("/demo"), "{text}");
        }
        let public = printed("127.0.0.1:7811", Some("https://chat.example.com/relay/"), Exposure::Off);
        for expected in [
            "export BASE_URL=https://chat.example.com/relay\n",
            "--admin-url http://127.0.0.1:7812",
            "--origin https://chat.example.com --origin http://localhost:8000",
        ] {
            assert!(public.contains(expected), "{expected} in {public}");
        }
        for (url, page) in [
            ("https://chat.example.com/relay", "https://chat.example.com/relay/demo"),
            ("https://chat.example.com/", "https://chat.example.com/demo"),
        ] {
            let public = printed("127.0.0.1:7811", Some(url), Exposure::On);
            assert!(public.contains(&format!("in a browser: {page}\n")), "{page} in {public}");
        }
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(shell_path(Path::new("./it's here/admin.key")), "'it'\\''s here/admin.key'");
        assert_eq!(shell_path(Path::new("-data/admin.key")), "./-data/admin.key");
        assert_eq!(shell_path(Path::new("/var/lib/chat/admin.key")), "/var/lib/chat/admin.key");
    }
}
