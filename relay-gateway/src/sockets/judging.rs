//! Who may have a socket, by what is known now: when it is opened, when its tenant changes, and, without a lease, with each
//! frame.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use coherence::Changes;
use futures_util::{StreamExt as _, stream};
use proto::visitors::v1::{
    AdmitVisitorRequest, GetSessionRequest, ListEndedSessionsRequest, ListRevokedVisitorsRequest, Session,
    visitors_client::VisitorsClient,
};
use serde_json::{Value, json};
use service::ApiError;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};
use wire::{ErrorCode, SessionId, TenantId, origin::Origin, request_id::RequestId};

use super::{
    AuthenticatedVisitor, Closing, Sockets, all_closed,
    registry::{Open, SocketSlot},
};
use crate::{
    directory::{ChangeListener, Known, TenantDirectory},
    domain::{
        tenant::TenantState,
        token::Opens,
        widget_access::{AccessDenied, WidgetAccess},
    },
    signing_keys::concern_keys,
};

/// Tenants that are judged at once after a change.
const JUDGED_AT_ONCE: usize = 32;

/// How long the gateway may judge sockets after a change, all tenants together: the change and the lease wait for it. The gateway
/// closes every socket that it has not judged by then, since the change may forbid it; its visitor may connect again.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

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

const UNSEEN: u64 = u64::MAX;

impl Grounds {
    pub(super) fn of(visitor: &AuthenticatedVisitor) -> Self {
        match &visitor.token.opens {
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

/// What an admitted visitor gets.
pub(super) struct Admitted {
    pub(super) session: SessionId,
    /// The first frame the backend gets: whose conversation this is, and what it was begun with.
    pub(super) hello: String,
    /// Unix milliseconds.
    pub(super) ends_at_ms: i64,
}

/// Visitors of one tenant that were revoked, each with the generation that its valid tokens have.
type Revoked = HashMap<String, u64>;

/// Sessions of one tenant that were ended before their time.
type Ended = HashSet<SessionId>;

/// What all sockets of one tenant are judged by after a change. Each is asked for once, and only where a socket rests on it.
struct Judgement {
    tenant_id: TenantId,
    request_id: RequestId,
    known: OnceCell<Result<Known, ApiError>>,
    /// What each key allows: all sockets of one key share it.
    accesses: HashMap<Arc<str>, Result<Arc<WidgetAccess>, Closing>>,
    /// The least that one of the sockets has seen of revocations, and of ended sessions; [`UNSEEN`] where none has looked. One
    /// question serves all, about everything since then.
    seen_revoked: u64,
    seen_ended: u64,
    revoked: OnceCell<Revoked>,
    ended: OnceCell<Ended>,
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
                (self.visitor(visitor, visitor_user_id, *generation).await?, None, Some(visitor_user_id.as_str()))
            }
        };
        let over = session.expires_at.map_or(0, |at| at.seconds.saturating_mul(1000));
        let ends_at_ms = match visitor.token.opens {
            // Its widget refreshes the token; the session goes on.
            Opens::Session { .. } => over,
            Opens::Minted { .. } => visitor.token.ends_at_ms(),
        };
        let id = session.session_id.parse().map_err(|_| unchecked(&ApiError::internal("a session without an id")))?;
        Ok(Admitted { session: id, hello: hello(session, origin, visitor_user_id), ends_at_ms })
    }

    /// What a widget's session was begun with.
    async fn session(
        &self,
        visitor: &AuthenticatedVisitor,
        session: SessionId,
        generation: u64,
    ) -> Result<Session, Closing> {
        let message = GetSessionRequest {
            tenant_id: visitor.token.tenant_id.as_uuid().as_bytes().to_vec(),
            session_id: session.to_string(),
            generation: Some(generation),
        };
        let method = "chatrelay.visitors.v1.Visitors/GetSession";
        let answer = self.admin.call(method, &visitor.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).get_session(request).await
        });
        answer.await.map_err(|error| over(&error))
    }

    /// The session that stands for a known visitor.
    async fn visitor(
        &self,
        visitor: &AuthenticatedVisitor,
        visitor_user_id: &str,
        generation: u64,
    ) -> Result<Session, Closing> {
        let message = AdmitVisitorRequest {
            tenant_id: visitor.token.tenant_id.as_uuid().as_bytes().to_vec(),
            visitor_user_id: visitor_user_id.to_owned(),
            generation,
        };
        let method = "chatrelay.visitors.v1.Visitors/AdmitVisitor";
        let answer = self.admin.call(method, &visitor.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).admit_visitor(request).await
        });
        answer.await.map_err(|error| over(&error))
    }

    /// Whether grounds still hold by what is known; what the key allows where they are a widget's.
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
    async fn widget_access(
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

    /// The tenant's visitors that were revoked after its count of revocations was this.
    async fn revoked(&self, tenant_id: TenantId, after: u64, request_id: &RequestId) -> Result<Revoked, Closing> {
        let message = ListRevokedVisitorsRequest { tenant_id: tenant_id.as_uuid().as_bytes().to_vec(), after };
        let method = "chatrelay.visitors.v1.Visitors/ListRevokedVisitors";
        let answer = self.admin.call(method, request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).list_revoked_visitors(request).await
        });
        let revoked = answer.await.map_err(|error| unchecked(&error))?.revoked;
        Ok(revoked.into_iter().map(|visitor| (visitor.visitor_user_id, visitor.generation)).collect())
    }

    /// The tenant's sessions that were ended by changes after this revision.
    async fn ended(&self, tenant_id: TenantId, after: u64, request_id: &RequestId) -> Result<Ended, Closing> {
        let message = ListEndedSessionsRequest { tenant_id: tenant_id.as_uuid().as_bytes().to_vec(), after };
        let method = "chatrelay.visitors.v1.Visitors/ListEndedSessions";
        let answer = self.admin.call(method, request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).list_ended_sessions(request).await
        });
        let ended = answer.await.map_err(|error| unchecked(&error))?.session_ids;
        let ended = ended.iter().map(|id| id.parse()).collect::<Result<_, _>>();
        ended.map_err(|_| unchecked(&ApiError::internal("a session's id that is none")))
    }

    /// Whether a frame may pass: what closes a socket is heard of while the lease is held, and asked for where it is not.
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

    /// Closes the sockets whose tokens a retired key has signed, and every socket if the keys cannot be asked for in time.
    async fn recheck_keys(&self, deadline: Instant) {
        let sockets = self.registry.all();
        if sockets.is_empty() {
            return;
        }
        let keys = timeout_at(deadline, self.signing_keys.get()).await;
        let mut forbidden = Vec::new();
        for socket in sockets {
            let closing = match &keys {
                Ok(Ok(keys)) if keys.holds(&socket.signed_by) => continue,
                Ok(Ok(_)) => Closing::Token,
                Ok(Err(error)) => unchecked(error),
                Err(_) => UNCHECKED,
            };
            socket.command.send_modify(|command| command.close = Some(closing));
            forbidden.push(socket.command);
        }
        all_closed(&forbidden).await;
    }

    /// Whether the visitor's tenant takes files now.
    pub(super) async fn takes_files(&self, visitor: &AuthenticatedVisitor) -> Result<bool, Closing> {
        let known = self.directory.lookup(visitor.token.tenant_id, &visitor.request_id).await;
        active(&known).map(|tenant| tenant.file_upload_enabled)
    }

    /// Judges a tenant's sockets anew: those that are forbidden, or cannot be judged in time, are closed when this returns; the
    /// others know of a new look.
    async fn recheck_tenant(&self, tenant_id: TenantId, deadline: Instant) {
        let sockets = self.registry.of(tenant_id);
        let mut judgement = Judgement::of(tenant_id, &sockets);
        let mut forbidden = Vec::new();
        for socket in sockets {
            let judging = self.judge_anew(&mut judgement, &socket);
            if let Err(closing) = timeout_at(deadline, judging).await.unwrap_or(Err(UNCHECKED)) {
                socket.command.send_modify(|command| command.close = Some(closing));
                forbidden.push(socket.command);
            }
        }
        all_closed(&forbidden).await;
    }

    /// Judges one of a tenant's sockets by what is known after a change.
    async fn judge_anew(&self, judgement: &mut Judgement, socket: &Open) -> Result<(), Closing> {
        let Judgement { tenant_id, request_id, known, accesses, seen_revoked, seen_ended, revoked, ended } = judgement;
        let tenant_id = *tenant_id;
        let known = known.get_or_init(|| self.directory.lookup(tenant_id, request_id)).await;
        match &socket.grounds {
            Grounds::Widget { session, key, origin, seen } => {
                if !accesses.contains_key(key) {
                    let access = self.widget_access(known, key, request_id).await;
                    accesses.insert(Arc::clone(key), access);
                }
                let access = accesses.get(key).cloned().unwrap_or(Err(UNCHECKED))?;
                let access = allowed(access, origin)?;
                let now = active(known)?.sessions_ended;
                let before = seen.load(Ordering::Acquire);
                if before != UNSEEN && before != now {
                    let since = since(*seen_ended, now);
                    let ended = ended.get_or_try_init(|| self.ended(tenant_id, since, request_id)).await?;
                    not_ended(ended, *session)?;
                    seen.store(now, Ordering::Release);
                }
                self.registry.set_widget_access(tenant_id, socket.id(), &access);
                if let Some(look) = new_look(socket.access.as_deref(), &access) {
                    socket.command.send_modify(|command| command.look = Some(look));
                }
            }
            Grounds::Minted { visitor_user_id, generation, tenant_generation, seen } => {
                let tenant = active(known)?;
                if *tenant_generation < tenant.token_generation {
                    return Err(Closing::Token);
                }
                let before = seen.load(Ordering::Acquire);
                if before != UNSEEN && before != tenant.visitor_revocations {
                    let since = since(*seen_revoked, tenant.visitor_revocations);
                    let revoked = revoked.get_or_try_init(|| self.revoked(tenant_id, since, request_id)).await?;
                    not_among(revoked, visitor_user_id, *generation)?;
                    seen.store(tenant.visitor_revocations, Ordering::Release);
                }
            }
        }
        Ok(())
    }
}

impl Judgement {
    fn of(tenant_id: TenantId, sockets: &[Open]) -> Self {
        let (mut seen_revoked, mut seen_ended) = (UNSEEN, UNSEEN);
        for socket in sockets {
            match &socket.grounds {
                Grounds::Widget { seen, .. } => seen_ended = seen_ended.min(seen.load(Ordering::Acquire)),
                Grounds::Minted { seen, .. } => seen_revoked = seen_revoked.min(seen.load(Ordering::Acquire)),
            }
        }
        Self {
            tenant_id,
            request_id: RequestId::generate(),
            known: OnceCell::new(),
            accesses: HashMap::new(),
            seen_revoked,
            seen_ended,
            revoked: OnceCell::new(),
            ended: OnceCell::new(),
        }
    }
}

impl<D: TenantDirectory> ChangeListener for Sockets<D> {
    fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let tenants = self.registry.tenants(changes.keys.as_deref());
        let deadline = Instant::now() + JUDGED_WITHIN;
        let judging = move |tenant_id| self.recheck_tenant(tenant_id, deadline);
        Box::pin(async move {
            if concern_keys(changes) {
                self.recheck_keys(deadline).await;
            }
            stream::iter(tenants).for_each_concurrent(JUDGED_AT_ONCE, judging).await;
        })
    }
}

/// What a socket that cannot be judged is closed with: it may be forbidden.
const UNCHECKED: Closing = Closing::TryAgain("the relay cannot check the tenant right now: connect again later");

fn unchecked(error: &ApiError) -> Closing {
    tracing::debug!(cause = error.cause(), "a socket's tenant cannot be checked");
    UNCHECKED
}

/// What it means that a session was not found.
fn over(error: &ApiError) -> Closing {
    match error.code() {
        ErrorCode::InvalidVisitorToken => Closing::Token,
        ErrorCode::TenantSuspended => denied(AccessDenied::Suspended),
        _ => unchecked(error),
    }
}

/// A tenant whose visitors may talk.
fn active(known: &Result<Known, ApiError>) -> Result<&TenantState, Closing> {
    let tenant = known.as_ref().map_err(unchecked)?.tenant.as_deref().ok_or(Closing::Token)?;
    if tenant.suspended { Err(denied(AccessDenied::Suspended)) } else { Ok(tenant) }
}

/// The revision to ask from. After a database was restored, the history is an earlier one: ask from its beginning.
fn since(seen: u64, now: u64) -> u64 {
    if now < seen { 0 } else { seen }
}

fn not_ended(ended: &Ended, session: SessionId) -> Result<(), Closing> {
    if ended.contains(&session) { Err(Closing::Token) } else { Ok(()) }
}

fn not_among(revoked: &Revoked, visitor_user_id: &str, generation: u64) -> Result<(), Closing> {
    let is_over = revoked.get(visitor_user_id).is_some_and(|valid| generation < *valid);
    if is_over { Err(Closing::Token) } else { Ok(()) }
}

/// A reason begins with the `error_code` that a call would be refused with.
fn denied(reason: AccessDenied) -> Closing {
    Closing::Forbidden(match reason {
        AccessDenied::Key => "invalid_widget_key: it was rotated or revoked; paste the current embed code",
        AccessDenied::Suspended => "tenant_suspended: ask the platform's operator",
    })
}

fn allowed(access: Arc<WidgetAccess>, origin: &Origin) -> Result<Arc<WidgetAccess>, Closing> {
    if access.allows(origin) {
        Ok(access)
    } else {
        Err(Closing::Forbidden("origin_not_allowed: add it to the tenant's allowed_origins"))
    }
}

/// The frame that tells a widget how it looks now, where that is not what it looked like.
fn new_look(before: Option<&WidgetAccess>, now: &WidgetAccess) -> Option<Arc<str>> {
    let before = before?.widget.as_ref()?;
    let now = now.widget.as_ref()?;
    (before.config != now.config).then(|| json!({"type": "config", "widget_config": now.config()}).to_string().into())
}

fn hello(session: Session, origin: Option<&Origin>, visitor_user_id: Option<&str>) -> String {
    let Session { session_id, bot_id, locale, metadata_json, routing_key, mode, .. } = session;
    let metadata: Value = serde_json::from_str(&metadata_json).unwrap_or_else(|_| json!({}));
    let mut hello = json!({
        "type": "hello",
        "session_id": session_id,
        "bot_id": bot_id,
        "locale": locale,
        "metadata": metadata,
        "routing_key": routing_key,
        "mode": mode,
        "origin": origin.map(ToString::to_string),
    });
    if let Some(visitor_user_id) = visitor_user_id {
        hello["visitor_user_id"] = visitor_user_id.into();
    }
    hello.to_string()
}
