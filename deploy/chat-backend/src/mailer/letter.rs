//! The mail that brings a visitor what people have answered meanwhile.
//!
//! It never holds what the visitor wrote. Nobody has checked whose address it is: with the visitor's words in it, anybody could have the
//! relay mail a text of their choice to a stranger.

use lettre::{
    Address, Message,
    error::Error,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use wire::{SessionId, origin::Origin};

use crate::records::{conversations::Conversation, messages::MessageRow};

/// A mail, before it is written down for the mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) to: Address,
    pub(super) subject: String,
    pub(super) body: String,
    /// Every attempt has the same one, so that a mailbox can recognise a mail that it gets twice.
    pub(super) message_id: String,
}

impl Letter {
    /// A mail with these answers, in the conversation's language. `from` is the sender's host.
    pub(super) fn of(conversation: &Conversation, answers: &[MessageRow], to: Address, from: &str) -> Self {
        let is_french = conversation.row.locale.starts_with("fr");
        let say = |french: &'static str, english: &'static str| if is_french { french } else { english };
        let origin = checked_origin(conversation);
        let place = origin.as_deref().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);

        let mut subject = say("Une réponse à votre message", "An answer to your message").to_owned();
        if let Some(place) = place {
            subject.push_str(say(" sur ", " on "));
            subject.push_str(place);
        }
        // Another operator may have written some of the answers.
        let author = conversation
            .holder
            .as_ref()
            .filter(|holder| answers.iter().all(|answer| answer.operator_id.as_ref() == Some(&holder.operator_id)));
        let mut body = match author {
            Some(holder) => format!("{} {}\n", holder.display_name, say("vous a répondu :", "answered you:")),
            None => format!("{}\n", say("On vous a répondu :", "You have an answer:")),
        };
        for answer in answers {
            body.push('\n');
            body.push_str(answer.content.trim());
            body.push('\n');
            for file in answer.attachments() {
                body.push_str(&format!("{}: {}\n", file.name.as_deref().unwrap_or(&file.mime), file.url));
            }
        }
        body.push_str("\n-- \n");
        if let Some(origin) = origin {
            body.push_str(&format!("{} {origin}\n", say("Pour répondre :", "To answer, go to")));
        }
        body.push_str(say(
            "Personne ne lit les réponses à ce courriel. Vous le recevez parce que cette adresse a été donnée pour la réponse.\n",
            "Nobody reads replies to this mail. You get it because this address was given for the answer.\n",
        ));
        let last = answers.last().map_or("", |answer| answer.id.as_str());
        let message_id = format!("<{}.{last}@{from}>", conversation.row.id);
        Self { to, subject, body, message_id }
    }

    /// The mail as a mail server takes it.
    pub(super) fn message(self, from: &Mailbox) -> Result<Message, Error> {
        let mut message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, self.to))
            .subject(self.subject)
            .message_id(Some(self.message_id))
            .header(ContentType::TEXT_PLAIN)
            .body(self.body)?;
        // RFC 3834: mailboxes send no automatic reply to such a mail.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }
}

/// The origin of the visitor's page, if the gateway has checked it against the tenant's list: it checks the origin of a session's socket
/// alone. An `origin` in the metadata of a contact form may be a stranger's text, which must not become a link.
fn checked_origin(conversation: &Conversation) -> Option<String> {
    conversation.row.visitor_user_id.parse::<SessionId>().ok()?;
    let metadata = conversation.row.metadata();
    let origin: Origin = metadata.get("origin")?.as_str()?.parse().ok()?;
    Some(origin.to_string())
}
