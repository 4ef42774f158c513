//! Decides whether a visitor may have a socket: when the socket opens and, without a lease, with each frame.

use std::sync::{Arc, atomic::Ordering};

use service::ApiError;
use wire::{SessionId, origin::Origin, request_id::RequestId};

use super::{
    AuthenticatedVisitor, Closing, Sockets,
    asking::{not_among, not_ended, since},
    closing::{denied, unchecked},
    frames,
    grounds::{Grounds, UNSEEN},
    registry::SocketSlot,
};
use crate::{
    directory::{Known, TenantDirectory},
    domain::{
        tenant::TenantState,
        token::Opens,
        widget_access::{AccessDenied, WidgetAccess},
    },
};

/// What an admitted visitor gets.
pub(super) struct Admitted {
    pub(super) session: SessionId,
    /// The first frame the backend gets: whose conversation this is, and what it was begun with.
    pub(super) hello: String,
    /// Unix milliseconds.
    pub(super) ends_at_ms: i64,
}

impl<D: TenantDirectory> Sockets<D> {
    /// The visitor's session, where it is allowed at all.
    pub(super) async fn admit(&self, visitor: &AuthenticatedVisitor, slot: &SocketSlot) -> Result<Admitted, Closing> {
        // To connect counts as a frame.
        if !self.limits.admits_frames(visitor.counted_as, 1, 0, std::time::Instant::now()) {
            return Err(Closing::TooFast("the session connects too often: wait"));
        }
        // The token was verified before the socket was registered. Check its key again: from here on, a change finds the socket.
        self.still_signed(visitor).await?;
        let grounds = slot.grounds();
        let known = self.directory.lookup(visitor.token.tenant_id, &visitor.request_id).await;
        if let Some(access) = self.judge(&known, &grounds, &visitor.request_id).await? {
            slot.was_admitted_by(&access);
        }
        let (session, origin, visitor_user_id) = match &visitor.token.opens {
            Opens::Session { session, origin, generation, .. } => {
                (self.session(visitor, *session, *generation).await?, Some(origin), None)
            }
            Opens::Minted { visitor_user_id, generation, .. } => {
                (self.visitor(visitor, visitor_user_id, *generation).await?, None, Some(visitor_user_id))
            }
        };
        let over = session.expires_at.map_or(0, |at| at.seconds.saturating_mul(1000));
        let ends_at_ms = match visitor.token.opens {
            // Its widget refreshes the token; the session goes on.
            Opens::Session { .. } => over,
            Opens::Minted { .. } => visitor.token.ends_at_ms(),
        };
        let id = session.session_id.parse().map_err(|_| unchecked(&ApiError::internal("a session without an id")))?;
        let hello = frames::hello(id, session, origin.cloned(), visitor_user_id.cloned());
        let hello = hello.map_err(|error| unchecked(&error))?.to_json();
        Ok(Admitted { session: id, hello, ends_at_ms })
    }

    /// Whether the grounds still hold. For a widget's socket, answers what its key allows.
    async fn judge(
        &self,
        known: &Result<Known, ApiError>,
        grounds: &Grounds,
        request_id: &RequestId,
    ) -> Result<Option<Arc<WidgetAccess>>, Closing> {
        match grounds {
            Grounds::Widget { session, key, origin, seen } => {
                let access = self.widget_access(known, key, request_id).await?;
                let tenant = active(known)?;
                let (now, before) = (tenant.sessions_ended, seen.load(Ordering::Acquire));
                if now != before && before != UNSEEN {
                    let ended = self.ended(tenant.id, since(before, now), request_id).await?;
                    not_ended(&ended, *session)?;
                }
                seen.store(now, Ordering::Release);
                allowed(access, origin).map(Some)
            }
            Grounds::Minted { visitor_user_id, generation, tenant_generation, seen } => {
                let tenant = active(known)?;
                if *tenant_generation < tenant.token_generation {
                    return Err(Closing::Token);
                }
                let (now, before) = (tenant.visitor_revocations, seen.load(Ordering::Acquire));
                if now != before && before != UNSEEN {
                    let revoked = self.revoked(tenant.id, since(before, now), request_id).await?;
                    not_among(&revoked, visitor_user_id, *generation)?;
                }
                seen.store(now, Ordering::Release);
                Ok(None)
            }
        }
    }

    /// What a tenant's widget key allows, unless it is unknown or the tenant is suspended.
    pub(super) async fn widget_access(
        &self,
        known: &Result<Known, ApiError>,
        widget_key: &str,
        request_id: &RequestId,
    ) -> Result<Arc<WidgetAccess>, Closing> {
        let known = known.as_ref().map_err(unchecked)?;
        let tenant = known.tenant.as_ref().ok_or_else(|| denied(AccessDenied::Key))?;
        let access =
            self.directory.widget_access(tenant, widget_key, request_id).await.map_err(|error| unchecked(&error))?;
        access.open(tenant).map_err(denied)?;
        Ok(access)
    }

    /// Whether a frame may pass. While the lease is held, the gateway hears of each change that closes the socket. Without a lease it
    /// must ask.
    pub(super) async fn still_allowed(&self, visitor: &AuthenticatedVisitor, grounds: &Grounds) -> Result<(), Closing> {
        if self.lease.is_held() {
            return Ok(());
        }
        self.still_signed(visitor).await?;
        let known = self.directory.lookup(visitor.token.tenant_id, &visitor.request_id).await;
        self.judge(&known, grounds, &visitor.request_id).await.map(drop)
    }

    /// Whether the key that signed the visitor's token is not retired.
    async fn still_signed(&self, visitor: &AuthenticatedVisitor) -> Result<(), Closing> {
        let keys = self.signing_keys.get().await.map_err(|error| unchecked(&error))?;
        if keys.holds(&visitor.token.key_id) { Ok(()) } else { Err(Closing::Token) }
    }

    /// Whether the visitor's tenant takes files now.
    pub(super) async fn takes_files(&self, visitor: &AuthenticatedVisitor) -> Result<bool, Closing> {
        let known = self.directory.lookup(visitor.token.tenant_id, &visitor.request_id).await;
        active(&known).map(|tenant| tenant.file_upload_enabled)
    }
}

/// A tenant whose visitors may talk.
pub(super) fn active(known: &Result<Known, ApiError>) -> Result<&TenantState, Closing> {
    let tenant = known.as_ref().map_err(unchecked)?.tenant.as_deref().ok_or(Closing::Token)?;
    if tenant.suspended { Err(denied(AccessDenied::Suspended)) } else { Ok(tenant) }
}

pub(super) fn allowed(access: Arc<WidgetAccess>, origin: &Origin) -> Result<Arc<WidgetAccess>, Closing> {
    if access.allows(origin) {
        Ok(access)
    } else {
        Err(Closing::Forbidden("origin_not_allowed: add it to the tenant's allowed_origins"))
    }
}
