//! A visitor's admission: the judgement, and the session that the admin service has for the visitor.

use serde_json::{Value, json};
use service::ApiError;
use wire::{SessionId, origin::Origin};

use super::{answers::Answers, closings::over, grounds::Grounds, judge::VisitorJudge};
use crate::{
    admin::Session,
    directory::TenantDirectory,
    domain::token::{Opens, VisitorToken},
    sockets::{
        closing::{Closing, unchecked},
        participant::{About, Admitted},
    },
};

/// Where the chat backend takes visitors' sockets.
const PATH: &str = "ws/visitor";

/// The visitor's session, where it is allowed at all.
pub(super) async fn admit<D: TenantDirectory>(
    judge: &VisitorJudge<D>,
    about: &About,
    token: &VisitorToken,
    grounds: &Grounds,
) -> Result<Admitted, Closing> {
    // To connect counts as a frame.
    if !judge.limits.admits_frames(about.counted_as, 1, 0, std::time::Instant::now()) {
        return Err(Closing::TooFast("the session connects too often: wait"));
    }
    // The token was verified before the socket had its slot. Check its key again: from here on, a change finds the socket.
    judge.still_signed(grounds).await?;
    let mut answers = Answers::of(about.tenant_id, about.request_id.clone(), [grounds]);
    if let Some(access) = judge.judge(&mut answers, grounds).await? {
        grounds.was_admitted_by(&access);
    }
    // Asked after the judgement: what ended before it is known to the admin service, and what ends later is a change.
    let (admin, tenant_id, request_id) = (&judge.sources.admin, about.tenant_id, &about.request_id);
    let (session, origin, visitor_user_id) = match &token.opens {
        Opens::Session { session, origin, generation, .. } => {
            (admin.session(tenant_id, *session, *generation, request_id).await, Some(origin), None)
        }
        Opens::Minted { visitor_user_id, generation, .. } => {
            let admitted = admin.admit_visitor(tenant_id, visitor_user_id, *generation, request_id).await;
            (admitted, None, Some(visitor_user_id.as_str()))
        }
    };
    let session = session.map_err(|error| over(&error))?;
    let ends_at_ms = match token.opens {
        // Its widget refreshes the token; the session goes on.
        Opens::Session { .. } => session.ends_at_ms,
        Opens::Minted { .. } => token.ends_at_ms(),
    };
    let id: SessionId =
        session.session_id.parse().map_err(|_| unchecked(&ApiError::internal("a session without an id")))?;
    let (actor, hello) = (format!("visitor:{id}"), hello(session, origin, visitor_user_id));
    Ok(Admitted { path: PATH, actor, hello, ends_at_ms })
}

/// The first frame the backend gets: whose conversation this is, and what it was begun with.
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
