//! Where answers are mailed from, to visitors who were away.

use std::{str::FromStr, time::Duration};

use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox};
use secrecy::{ExposeSecret as _, SecretString};
use service::config::{Read, Settings};
use url::{Host, Url};

/// Where answers are mailed from, and when.
#[derive(Clone, Debug)]
pub struct MailConfig {
    pub(crate) url: SmtpUrl,
    /// Who the mails are from.
    pub(crate) from: Mailbox,
    /// How long an answer may be unread before it is mailed.
    pub(crate) after: Duration,
}

/// The URL of a mail server, which may hold a password.
#[derive(Clone, Debug)]
pub(crate) struct SmtpUrl(SecretString);

impl SmtpUrl {
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be smtps://user:password@host:465, or smtp://user:password@host:587?tls=required";
        let url = Url::parse(text).map_err(|_| FORM)?;
        let Some(host) = url.host().filter(|_| matches!(url.scheme(), "smtp" | "smtps")) else {
            return Err(FORM.to_owned());
        };
        let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let is_encrypted = url.scheme() == "smtps" || tls.as_deref() == Some("required");
        if !is_encrypted && !is_loopback(&host) {
            return Err(
                "would send mail, and a password, in the clear: begin with smtps://, or end with ?tls=required"
                    .to_owned(),
            );
        }
        AsyncSmtpTransport::<Tokio1Executor>::from_url(text).map_err(|_| FORM)?;
        Ok(Self(text.to_owned().into()))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        // A URL of a scheme that is not the web's has its address as a name.
        Host::Domain(name) => *name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

impl MailConfig {
    /// Reads `smtp_url`, `smtp_from` and `mail_after_ms`; `None` where no mail is sent.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(settings: &mut Settings) -> Read<Option<Self>> {
        let url = settings.optional("smtp_url");
        let from = settings.optional("smtp_from");
        let after = settings.millis("mail_after_ms");
        match (url?, from?) {
            (Some(url), Some(from)) => Ok(Some(Self { url, from, after: after? })),
            (None, None) => after.map(|_| None),
            (Some(_), None) => Err(settings.problem(
                "smtp_from must be set where smtp_url is: who mails are from, such as Support <chat@example.com>"
                    .to_owned(),
            )),
            (None, Some(_)) => {
                Err(settings.problem("smtp_url must be set where smtp_from is: without it no mail is sent".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_reached_under_tls_unless_it_is_this_machine() {
        for url in [
            "smtps://user:secret@mail.example.com",
            "smtps://mail.example.com:465",
            "smtp://user:secret@mail.example.com:587?tls=required",
            "smtp://localhost:1025",
            "smtp://127.0.0.1:1025",
            "smtp://[::1]:1025",
        ] {
            assert!(url.parse::<SmtpUrl>().is_ok(), "{url}");
        }
        for (url, expected) in [
            ("mail.example.com", "must be smtps://"),
            ("https://user:secret@mail.example.com", "must be smtps://"),
            ("smtp://user:secret@mail.example.com:587", "in the clear"),
            ("smtp://user:secret@mail.example.com:587?tls=opportunistic", "in the clear"),
        ] {
            let refused = url.parse::<SmtpUrl>().expect_err("refused");
            assert!(refused.contains(expected) && !refused.contains("secret"), "{url}: {refused}");
        }
        let url = "smtps://user:secret@mail.example.com".parse::<SmtpUrl>().expect("a URL");
        assert!(!format!("{url:?}").contains("secret"), "{url:?}");
    }

    #[test]
    fn a_mail_server_without_a_sender_is_refused_and_so_is_a_sender_without_a_mail_server() {
        let load = |set: &[(&str, &str)]| {
            let env = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            crate::config::Config::load(&service::config::Sources { args: Vec::new(), env })
        };
        let (url, from) =
            (("CHAT_BACKEND_SMTP_URL", "smtp://localhost"), ("CHAT_BACKEND_SMTP_FROM", "chat@example.com"));
        assert!(load(&[]).expect("settings").mail.is_none());
        assert!(load(&[url, from]).expect("settings").mail.is_some());
        for (set, expected) in [
            (vec![url], "smtp_from must be set"),
            (vec![from], "smtp_url must be set"),
            (vec![url, ("CHAT_BACKEND_SMTP_FROM", "nobody")], "smtp_from"),
            (vec![url, from, ("CHAT_BACKEND_MAIL_AFTER_MS", "0")], "mail_after_ms"),
        ] {
            let refused = load(&set).expect_err("refused").to_string();
            assert!(refused.contains(expected), "{set:?}: {refused}");
        }
    }
}
