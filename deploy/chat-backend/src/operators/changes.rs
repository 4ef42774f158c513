//! Calls by which an operator changes a conversation. Each returns the conversation as it is after the change.

use axum::extract::State;
use serde_json::json;
use service::{ApiError, Envelope, Failure, Success};
use wire::{
    TenantId,
    operator::{ASSIGNEE_PARAMETER, ActingOperator},
};

use super::bodies::{NewTags, WantedAssignee, WantedSnooze};
use crate::{
    extract::{Acting, Object, Params, Tenant},
    records::{
        conversations::{self, Conversation},
        takeovers,
    },
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, StoreError, Transaction, unavailable},
    takeover::{Holder, Wish},
    taking_over::take_over,
    views::{
        given,
        inbox::{InboxConversation, TAG},
    },
};

/// Declares a call that carries out a wish and takes no body.
macro_rules! wishes {
    ($($(#[doc = $about:literal])+ $name:ident, $path:literal, $wish:expr, $done:literal;)+) => {$(
        $(#[doc = $about])+
        #[utoipa::path(
            post, path = $path, tag = TAG,
            params(
                ("conversation_id" = String, Query),
                    ),
            responses(
                (status = 200, description = "The conversation after it", body = Envelope<InboxConversation>),
                        (status = 404, description = "`conversation_not_found`", body = Failure),
                (status = 409, description = "`already_claimed`: `operator` says who has it; `not_assigned`, `conversation_resolved`, `conversation_not_resolved`", body = Failure),
                (status = 422, description = "`validation_failed`", body = Failure),
            )
        )]
        pub(crate) async fn $name(
            State(backend): State<Backend>,
            Tenant(tenant_id): Tenant,
            acting: Acting,
            params: Params,
        ) -> Result<Success<InboxConversation>, ApiError> {
            let id = conversation_id(params)?;
            carry_out(&backend, tenant_id, &acting, &id, &$wish).await.map(|data| Success::ok(data, $done))
        }
    )+};
}

wishes! {
    /// Take a conversation: it is the operator's, and the bot is silent. Of several operators one wins, and the others learn who. For
    /// the operator who has it, repeating it is not an error.
    claim, "/operator/claim/conversation", Wish::Claim, "Conversation claimed.";
    /// Give a conversation back to the queue. The bot stays silent.
    release, "/operator/release/conversation", Wish::Release, "Conversation released.";
    /// Give a conversation back to the bot.
    hand_back, "/operator/hand-back/conversation", Wish::HandBack, "Conversation handed back to the bot.";
    /// Resolve a conversation and its tickets. The visitor's next message begins it again.
    resolve, "/operator/resolve/conversation", Wish::Resolve, "Conversation resolved.";
    /// Take a resolved conversation up again.
    reopen, "/operator/reopen/conversation", Wish::Reopen, "Conversation reopened.";
}

/// Give a conversation to a colleague. The relay has checked that the colleague is an operator of this tenant, and says in
/// `relay_assignee` who that is. One that another operator has can be assigned by that operator alone.
#[utoipa::path(
    post, path = "/operator/assign/conversation", tag = TAG,
    request_body = WantedAssignee,
    params(
        ("conversation_id" = String, Query),
        ("relay_assignee" = String, Query, description = "Who shall have it, as the relay says it"),
    ),
    responses(
        (status = 200, description = "The conversation after it", body = Envelope<InboxConversation>),
        (status = 404, description = "`conversation_not_found`; `operator_not_found`, which the relay answers itself", body = Failure),
        (status = 409, description = "`already_claimed`, `conversation_resolved`", body = Failure),
        (status = 422, description = "`validation_failed`: also where the colleague does not see the conversation", body = Failure),
    )
)]
pub(crate) async fn assign(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    Params(mut query): Params,
    Object(object): Object,
) -> Result<Success<InboxConversation>, ApiError> {
    let id = query.required::<String>("conversation_id");
    let assignee = query.required::<ActingOperator>(ASSIGNEE_PARAMETER);
    query.finish()?;
    let (id, assignee) = (given(id)?, given(assignee)?);
    let WantedAssignee { operator_id } = WantedAssignee::read(object)?;
    let ActingOperator { display_name, avatar_url, routing_keys } = assignee;
    let to = Acting { operator: Holder { operator_id, display_name, avatar_url }, routing_keys };
    let may_see = |conversation: &Conversation| {
        acting.may_see(conversation)?;
        to.may_see(conversation)
            .map_err(|_| ApiError::field("operator_id", "does not see this conversation: it is in another queue"))
    };
    let wish = Wish::Assign(to.operator.clone());
    let conversation = take_over(&backend, tenant_id, &id, (&wish, &acting.operator), may_see).await?;
    Ok(Success::ok(conversation.into(), "Conversation assigned."))
}

/// Put a conversation aside: it leaves `waiting` and `mine` until then, or until its visitor writes.
#[utoipa::path(
    post, path = "/operator/snooze/conversation", tag = TAG,
    request_body = WantedSnooze,
    params(
        ("conversation_id" = String, Query),
    ),
    responses(
        (status = 200, description = "The conversation after it", body = Envelope<InboxConversation>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn snooze(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    params: Params,
    Object(object): Object,
) -> Result<Success<InboxConversation>, ApiError> {
    let id = conversation_id(params)?;
    let until = WantedSnooze::read(object)?.until.map(|until| until.as_millisecond());
    let change = Change { backend: &backend, tenant_id, acting: &acting, id: &id };
    let data = change.make(async |rows| takeovers::snooze(rows, &id, until).await).await?;
    Ok(Success::ok(data, "Conversation put aside."))
}

/// Replace a conversation's tags.
#[utoipa::path(
    post, path = "/operator/tag/conversation", tag = TAG,
    request_body = NewTags,
    params(
        ("conversation_id" = String, Query),
    ),
    responses(
        (status = 200, description = "The conversation after it", body = Envelope<InboxConversation>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn tag(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    acting: Acting,
    params: Params,
    Object(object): Object,
) -> Result<Success<InboxConversation>, ApiError> {
    let id = conversation_id(params)?;
    let tags = json!(NewTags::read(object)?.tags).to_string();
    let change = Change { backend: &backend, tenant_id, acting: &acting, id: &id };
    let data = change.make(async |rows| takeovers::tag(rows, &id, &tags).await).await?;
    Ok(Success::ok(data, "Conversation tagged."))
}

fn conversation_id(Params(mut query): Params) -> Result<String, ApiError> {
    let id = query.required::<String>("conversation_id");
    query.finish()?;
    given(id)
}

async fn carry_out(
    backend: &Backend,
    tenant_id: TenantId,
    acting: &Acting,
    id: &str,
    wish: &Wish,
) -> Result<InboxConversation, ApiError> {
    let may_see = |conversation: &Conversation| acting.may_see(conversation);
    take_over(backend, tenant_id, id, (wish, &acting.operator), may_see).await.map(InboxConversation::from)
}

/// A change of a conversation that does not concern who has it.
struct Change<'a> {
    backend: &'a Backend,
    tenant_id: TenantId,
    acting: &'a Acting,
    id: &'a str,
}

impl Change<'_> {
    async fn make(
        &self,
        write: impl AsyncFnOnce(&OfTenant<'_, Transaction>) -> Result<(), StoreError>,
    ) -> Result<InboxConversation, ApiError> {
        let transaction = self.backend.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, self.tenant_id);
        self.acting.may_see(&conversations::find_to_change(&rows, self.id).await?)?;
        write(&rows).await.map_err(unavailable)?;
        let conversation = conversations::find(&rows, self.id).await?;
        let told = ReplicaMessage::Changed { tenant_id: self.tenant_id, conversation_id: self.id.to_owned() };
        self.backend.commit(transaction, told).await?;
        Ok(conversation.into())
    }
}
