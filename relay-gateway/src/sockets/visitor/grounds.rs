//! What a visitor's admission rests on, and what of it was last found to hold.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use wire::{SessionId, origin::Origin};

use crate::domain::{
    token::{Opens, VisitorToken},
    widget_access::WidgetAccess,
};

/// What a visitor's admission rests on, to be judged again when its tenant changes.
#[derive(Debug)]
pub(crate) struct Grounds {
    /// The `kid` of the key that signed the token.
    pub(super) signed_by: Box<str>,
    pub(super) rests_on: RestsOn,
    /// What the widget key allows, once that is known; none for minted tokens, which need no key.
    access: Mutex<Option<Arc<WidgetAccess>>>,
}

#[derive(Debug)]
pub(super) enum RestsOn {
    Widget {
        session: SessionId,
        key: Arc<str>,
        origin: Origin,
        /// Where the visitor is identified: the tenant's generation when its backend vouched for the visitor.
        tenant_generation: Option<u64>,
        /// The tenant's `sessions_ended` when this session was last known not to be ended.
        seen: Seen,
    },
    Minted {
        visitor_user_id: Box<str>,
        generation: u64,
        tenant_generation: u64,
        /// The tenant's count of revocations when the visitor was last known not to be revoked.
        seen: Seen,
    },
}

/// The tenant's `sessions_ended` or `visitor_revocations` at the socket's last judgement.
///
/// The first judgement does not ask what ended, because the gateway then asks the admin service to admit the visitor, and that answer
/// covers every earlier end.
#[derive(Debug)]
pub(super) struct Seen(AtomicU64);

/// Before the first judgement.
pub(super) const UNSEEN: u64 = u64::MAX;

impl Seen {
    fn not_yet() -> Self {
        Self(AtomicU64::new(UNSEEN))
    }

    /// The count at the last judgement, or [`UNSEEN`].
    pub(super) fn last(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether something may have ended since the last judgement.
    pub(super) fn has_moved(&self, now: u64) -> bool {
        let last = self.last();
        last != UNSEEN && last != now
    }

    /// Notes a judgement.
    pub(super) fn note(&self, now: u64) {
        self.0.store(now, Ordering::Release);
    }
}

impl Grounds {
    pub(super) fn of(token: &VisitorToken) -> Self {
        let rests_on = match &token.opens {
            Opens::Session { session, widget_key, origin, tenant_generation, .. } => RestsOn::Widget {
                session: *session,
                key: widget_key.as_str().into(),
                origin: origin.clone(),
                tenant_generation: *tenant_generation,
                seen: Seen::not_yet(),
            },
            Opens::Minted { visitor_user_id, generation, tenant_generation } => RestsOn::Minted {
                visitor_user_id: visitor_user_id.as_str().into(),
                generation: *generation,
                tenant_generation: *tenant_generation,
                seen: Seen::not_yet(),
            },
        };
        Self { signed_by: token.key_id.as_str().into(), rests_on, access: Mutex::default() }
    }

    /// Notes what the widget key allowed at admission, unless a change has noted something newer.
    pub(super) fn was_admitted_by(&self, access: &Arc<WidgetAccess>) {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Arc::clone(access));
    }

    /// Notes what the widget key allows after a change, and answers what it allowed before.
    pub(super) fn replace_access(&self, access: &Arc<WidgetAccess>) -> Option<Arc<WidgetAccess>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(access))
    }
}
