//! A visitor's session: what a widget begins, bound to a tenant, a widget key and a page's origin.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::{SessionId, TenantId, origin::Origin};

use super::{
    credentials::WidgetKey,
    tenant::Tenant,
    widget::{Appearance, BotKey},
};

/// How long a session lives, from its beginning.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Who answers a visitor first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The bot, until it hands over.
    Bot,
    /// A person.
    Human,
}

impl Mode {
    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Human => "human",
        }
    }

    /// The mode with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Bot, Self::Human].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// A visitor's session.
#[derive(Clone, Debug, PartialEq)]
pub struct VisitorSession {
    /// Its id.
    pub id: SessionId,
    /// Whose visitor it is.
    pub tenant_id: TenantId,
    /// Who answers it.
    pub bot_id: Uuid,
    /// The text of the widget key that began the session. Rotating that key ends the session.
    pub widget_key: WidgetKey,
    /// The page's.
    pub origin: Origin,
    /// The visitor's language.
    pub locale: String,
    /// Who answers first.
    pub mode: Mode,
    /// The operators' queue that gets the conversation when a person must answer.
    pub routing_key: Option<String>,
    /// What the page says of itself and its visitor.
    pub metadata: Map<String, Value>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it is over.
    pub expires_at: Timestamp,
    /// Whether it was ended before its time.
    pub is_ended: bool,
    /// Which of its tokens were used.
    pub used_tokens: UsedTokens,
    /// Who the visitor is, where the tenant's backend has vouched for it.
    pub identity: Option<Identity>,
}

/// A visitor whom the tenant's backend knows, in a widget's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The tenant's own id of the visitor.
    pub visitor_user_id: String,
    /// What the page calls the visitor.
    pub name: Option<String>,
    /// The visitor's e-mail address, as the page tells it.
    pub email: Option<String>,
    /// [`Tenant::token_generation`] when the tenant's backend vouched for the visitor. The session is over once the tenant has a later
    /// one.
    pub tenant_generation: u64,
    /// The visitor's session from before it was known who the visitor is: its conversation goes on in this one.
    pub continues: Option<SessionId>,
}

impl VisitorSession {
    /// The session that follows this one once it is known who the visitor is. What was said of the same visitor before, and is not
    /// said again, stays. What the page said of its visitor, and who was to answer, does not pass to another visitor.
    #[must_use]
    pub fn followed_by(&self, identity: Identity, id: SessionId, at: Timestamp) -> Self {
        let before = self.identity.as_ref();
        let same = before.filter(|before| before.visitor_user_id == identity.visitor_user_id);
        let continues = match before {
            None => Some(self.id),
            Some(_) => same.and_then(|same| same.continues),
        };
        let name = identity.name.or_else(|| same?.name.clone());
        let email = identity.email.or_else(|| same?.email.clone());
        let (mode, routing_key, metadata) = if before.is_none() || same.is_some() {
            (self.mode, self.routing_key.clone(), self.metadata.clone())
        } else {
            (Mode::Bot, None, Map::new())
        };
        Self {
            id,
            mode,
            routing_key,
            metadata,
            created_at: at,
            expires_at: at.saturating_add(SESSION_LIFETIME).unwrap_or(Timestamp::MAX),
            is_ended: false,
            used_tokens: UsedTokens::default(),
            identity: Some(Identity { name, email, continues, ..identity }),
            ..self.clone()
        }
    }
}

/// How long a token may be refreshed once a newer one of its session was used: for a second tab, and for an answer that was lost.
pub const REFRESHED_AFTER_NEWER_MS: i64 = 60_000;

/// Uses that are kept one by one.
const MOST_USES: usize = 32;

/// Which tokens of a session were used, by their generations. A session's first token has generation 0. Tokens that were signed before
/// tokens had generations count as generation 0 too. A refresh answers the next generation after the newest that was used.
///
/// It holds when each generation was first used, in Unix milliseconds, the oldest first: the uses of the last minute, and the newest
/// use before that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsedTokens(Vec<(u64, i64)>);

impl UsedTokens {
    /// The newest generation that was used.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.0.last().map_or(0, |(generation, _)| *generation)
    }

    /// Whether a newer generation was used so long ago that this one is not refreshed any more.
    #[must_use]
    pub fn supersede(&self, generation: u64, now_unix_ms: i64) -> bool {
        let newer = self.0.iter().find(|(used, _)| *used > generation);
        newer.is_some_and(|(_, at)| now_unix_ms > at.saturating_add(REFRESHED_AFTER_NEWER_MS))
    }

    /// Notes that a generation is used; answers whether that is news.
    pub fn note(&mut self, generation: u64, now_unix_ms: i64) -> bool {
        if generation <= self.newest() {
            return false;
        }
        // Another replica's clock may be behind the one that noted the last use.
        let at = self.0.last().map_or(now_unix_ms, |(_, before)| now_unix_ms.max(*before));
        self.0.push((generation, at));
        // Of the uses older than a minute, only the newest is kept: it supersedes every token that the others did.
        let long_ago = self.0.iter().rposition(|(_, used)| at > used.saturating_add(REFRESHED_AFTER_NEWER_MS));
        self.0.drain(..long_ago.unwrap_or_default());
        if self.0.len() > MOST_USES {
            // Nobody uses so many in a minute. The first stays, so that the oldest tokens end in time.
            self.0.remove(1);
        }
        true
    }
}

/// What a widget key opens: its tenant, and, where the tenant has such a key that is not revoked, the key and its bot's look.
#[derive(Clone, Debug, PartialEq)]
pub struct WidgetAccess {
    /// The tenant.
    pub tenant: Tenant,
    /// The key and its bot's look.
    pub opened: Option<(BotKey, Appearance)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_passes_on_its_conversation_to_the_same_visitor_alone() {
        let (at, tenant_id) = (Timestamp::UNIX_EPOCH, TenantId::generate());
        let anonymous = VisitorSession {
            id: SessionId::generate(),
            tenant_id,
            bot_id: Uuid::nil(),
            widget_key: WidgetKey::from_stored("pk_1".to_owned()),
            origin: "https://a.example".parse().expect("an origin"),
            locale: "de".to_owned(),
            mode: Mode::Human,
            routing_key: Some("vip".to_owned()),
            metadata: Map::from_iter([("customer".to_owned(), "Ada".into())]),
            created_at: at,
            expires_at: at,
            is_ended: true,
            used_tokens: UsedTokens(vec![(3, 1)]),
            identity: None,
        };
        let told = |visitor: &str, name: Option<&str>| Identity {
            visitor_user_id: visitor.to_owned(),
            name: name.map(str::to_owned),
            email: None,
            tenant_generation: 4,
            continues: None,
        };
        let follow = |session: &VisitorSession, identity| session.followed_by(identity, SessionId::generate(), at);
        let ada = follow(&anonymous, told("ada", Some("Ada")));
        let identity = ada.identity.clone().expect("an identity");
        assert_eq!((identity.continues, identity.name.as_deref()), (Some(anonymous.id), Some("Ada")));
        assert_eq!((ada.locale.as_str(), ada.routing_key.as_deref(), ada.mode), ("de", Some("vip"), Mode::Human));
        assert_eq!(ada.metadata["customer"], "Ada");
        assert_eq!((ada.is_ended, ada.used_tokens.newest()), (false, 0));
        assert_eq!(ada.expires_at, at.saturating_add(SESSION_LIFETIME).expect("a time"));

        let again = follow(&ada, told("ada", None)).identity.expect("an identity");
        assert_eq!((again.continues, again.name.as_deref()), (Some(anonymous.id), Some("Ada")), "the same visitor");
        let other = follow(&ada, told("ben", None));
        assert_eq!((other.mode, other.routing_key, other.metadata), (Mode::Bot, None, Map::new()), "another visitor");
        let identity = other.identity.expect("an identity");
        assert_eq!((identity.continues, identity.name), (None, None));
    }

    const MINUTE: i64 = REFRESHED_AFTER_NEWER_MS;

    #[test]
    fn a_token_is_refreshed_until_a_minute_after_a_newer_one_was_used() {
        let mut used = UsedTokens::default();
        assert!(!used.note(0, 5) && !used.supersede(0, i64::MAX), "no newer token was used");
        // Each supersedes those before it from its own first use on, however often newer ones are used.
        for (generation, at) in [(1, 1000), (2, 1000 + MINUTE - 1), (3, 1000 + 2 * MINUTE)] {
            assert!(used.note(generation, at) && !used.note(generation, at + 7), "{generation}");
            assert!(!used.supersede(generation - 1, at + MINUTE) && used.supersede(generation - 1, at + MINUTE + 1));
            assert!(!used.supersede(generation, i64::MAX));
            // A chain of quick refreshes keeps no old token alive.
            assert!(used.supersede(0, at.max(1001 + MINUTE)), "{generation}");
        }
        let kept: UsedTokens = serde_json::from_value(serde_json::to_value(&used).expect("JSON")).expect("read");
        assert_eq!((kept.newest(), &kept), (3, &used));
    }

    #[test]
    fn uses_are_bounded_and_clocks_may_go_back() {
        let mut used = UsedTokens::default();
        for generation in 1..=1000 {
            assert!(used.note(generation, 1000));
        }
        assert!(used.0.len() <= MOST_USES);
        assert!(!used.supersede(0, 1000 + MINUTE) && used.supersede(0, 1001 + MINUTE));
        assert!(used.note(1001, 10) && !used.supersede(1000, 1000 + MINUTE), "a clock that is behind");
        assert!(used.note(u64::MAX, 1000 + 3 * MINUTE) && used.supersede(999, 1000 + 3 * MINUTE));
        assert_eq!(used.0.len(), 2, "the newest of before, and this one");
    }
}
