//! A visitor sends a file. PROTOCOL.md, section 5.12.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use service::ApiError;
use wire::TenantId;

use super::call::Call;
use crate::{
    directory::TenantDirectory,
    errors::suspended,
    ingress::{
        held::until_sent,
        uploads::{Declared, store},
    },
    sockets::Participant as _,
};

impl<D: TenantDirectory> Call<'_, D> {
    /// The visitor is judged like one with a socket, and holds a place like one: a change that closes sockets ends the call.
    pub(super) async fn upload(&mut self, body: Body) -> Result<Response, ApiError> {
        let visitor = self.visitor().await?;
        let declared = Declared::read(&self.parts, &self.gateway.attachments)?;
        let (this, tenant_id) = (&*self, visitor.about().tenant_id);
        let storing = async |actor: String| Ok(this.store(tenant_id, &actor, declared, body).await);
        let (stored, held) = this.gateway.sockets.act(&visitor, storing).await;
        let response = match stored {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                this.gateway.metrics.refused(error.code());
                error.into_response()
            }
            Err(closing) => this.refuse_socket(&closing),
        };
        Ok(until_sent(response, held))
    }

    /// The tenant is looked up once more: its settings of files may be newer than the visitor's admission.
    async fn store(
        &self,
        tenant_id: TenantId,
        actor: &str,
        declared: Declared,
        body: Body,
    ) -> Result<Response, ApiError> {
        let known = self.gateway.directory.lookup(tenant_id, &self.request_id).await?;
        let tenant = known.tenant.filter(|tenant| !tenant.suspended).ok_or_else(suspended)?;
        store(self.gateway, &tenant, (actor, &self.request_id), declared, body).await
    }
}
