//! A visitor sends a file. PROTOCOL.md, section 5.12.

use axum::response::{IntoResponse as _, Response};
use service::ApiError;

use super::call::Call;
use crate::{
    directory::TenantDirectory,
    errors::suspended,
    ingress::{
        held::until_sent,
        uploads::{Declared, store},
    },
};

impl<D: TenantDirectory> Call<'_, D> {
    /// The visitor is judged like one with a socket, and holds a place like one: a change that closes sockets ends the call.
    pub(super) async fn upload(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        let visitor = self.visitor().await?;
        let declared = Declared::read(&self.parts, &self.gateway.attachments)?;
        let gateway = self.gateway;
        let tenant_id = visitor.tenant_id();
        let (stored, held) = gateway
            .sockets
            .act(&visitor, async |actor| {
                Ok(match gateway.directory.lookup(tenant_id, &self.request_id).await {
                    Ok(known) => match known.tenant {
                        Some(tenant) if !tenant.suspended => {
                            store(gateway, &tenant, (&actor, &self.request_id), declared, body).await
                        }
                        _ => Err(suspended()),
                    },
                    Err(error) => Err(error),
                })
            })
            .await;
        let response = match stored {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                gateway.metrics.refused(error.code());
                error.into_response()
            }
            Err(closing) => self.refuse_socket(&closing),
        };
        Ok(until_sent(response, held))
    }
}
