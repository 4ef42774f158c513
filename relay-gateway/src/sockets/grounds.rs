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
        /// The tenant's `sessions_ended` when this session was last known not to be ended; [`UNSEEN`] before the first look.
        seen: Arc<AtomicU64>,
    },
    Minted {
        visitor_user_id: Arc<str>,
        generation: u64,
        tenant_generation: u64,
        /// The tenant's count of revocations when the visitor was last known not to be revoked; [`UNSEEN`] before the first look.
        /// That look asks nothing: after it, the gateway asks the admin service to admit the visitor.
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
