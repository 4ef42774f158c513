//! What a socket's admission rests on.

use std::sync::{Arc, atomic::AtomicU64};

use wire::{SessionId, origin::Origin};

use crate::domain::token::Opens;

/// What a socket's admission rests on, to be judged anew when its tenant changes. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) enum Grounds {
    Widget {
        session: SessionId,
        key: Arc<str>,
        origin: Origin,
        /// The tenant's last end of a session up to which this one is known not to be ended; [`UNSEEN`] before the first look.
        seen: Arc<AtomicU64>,
    },
    Minted {
        visitor_user_id: Arc<str>,
        generation: u64,
        tenant_generation: u64,
        /// The tenant's count of revocations up to which the visitor is known not to be among them; [`UNSEEN`] before the first
        /// look: what is looked up after a change has the change in it.
        seen: Arc<AtomicU64>,
    },
}

pub(super) const UNSEEN: u64 = u64::MAX;

impl Grounds {
    pub(super) fn of(opens: &Opens) -> Self {
        match opens {
            Opens::Session { session, widget_key, origin, .. } => Self::Widget {
                session: *session,
                key: widget_key.as_str().into(),
                origin: origin.clone(),
                seen: Arc::new(AtomicU64::new(UNSEEN)),
            },
            Opens::Minted { visitor_user_id, generation, tenant_generation } => Self::Minted {
                visitor_user_id: visitor_user_id.as_str().into(),
                generation: *generation,
                tenant_generation: *tenant_generation,
                seen: Arc::new(AtomicU64::new(UNSEEN)),
            },
        }
    }
}
