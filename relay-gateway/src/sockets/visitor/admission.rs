//! A visitor's admission: the judgement, and the session that the admin service has for the visitor.

use super::{answers::Answers, closings::over, grounds::Grounds, judge::VisitorJudge, own_frames::hello};
use crate::{
    directory::TenantDirectory,
    domain::token::{Opens, VisitorToken},
    sockets::{
        closing::Closing,
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
    let (session, origin) = match &token.opens {
        Opens::Session { session, origin, generation, .. } => {
            (admin.session(tenant_id, *session, *generation, request_id).await, Some(origin))
        }
        Opens::Minted { visitor_user_id, generation, .. } => {
            (admin.admit_visitor(tenant_id, visitor_user_id, *generation, request_id).await, None)
        }
    };
    let session = session.map_err(|error| over(&error))?;
    let ends_at_ms = match token.opens {
        // Its widget refreshes the token; the session goes on.
        Opens::Session { .. } => session.ends_at_ms,
        Opens::Minted { .. } => token.ends_at_ms(),
    };
    let actor = format!("visitor:{}", session.session_id);
    let hello = hello(session, origin.cloned());
    Ok(Admitted { path: PATH, actor, hello: hello.to_json(), ends_at_ms })
}
