//! Tenants, and the watch stream.

use std::sync::atomic::Ordering;

use proto::directory::v1::{
    Changes, GetOperatorRequest, GetOperatorResponse, GetTenantInfoRequest, GetTenantRequest, GetTenantResponse,
    GetWidgetRequest, GetWidgetResponse, Grant, NotePreviousUsesRequest, NotePreviousUsesResponse, TenantInfo,
    WatchRequest, WatchResponse, tenant_directory_server::TenantDirectory, watch_request::Message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request as Rpc, Response as Answer, Status, Streaming};
use wire::TenantId;

use super::FakeAdmin;

#[tonic::async_trait]
impl TenantDirectory for FakeAdmin {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(&self, request: Rpc<Streaming<WatchRequest>>) -> Result<Answer<Self::WatchStream>, Status> {
        self.called("Watch", &request)?;
        let (to, answers) = mpsc::channel(64);
        self.watchers.lock().expect("not poisoned").push(to.clone());
        let (admin, mut requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(WatchRequest { message: Some(message) })) = requests.message().await {
                admin.heard.lock().expect("not poisoned").push(message.clone());
                let lease_ms = admin.lease_ms.load(Ordering::SeqCst);
                if let (Message::Ask(ask), 1..) = (message, lease_ms) {
                    let after = ask.seen.map_or(0, |seen| seen.revision);
                    let changes = Changes {
                        after,
                        through: Some(admin.position()),
                        tenant_ids: Vec::new(),
                        start_over: after == 0,
                    };
                    let grant = Some(Grant { id: ask.id, lease_ms, gateways: 1 });
                    let _ = to.send(Ok(WatchResponse { changes: Some(changes), grant })).await;
                }
            }
            admin.watchers.lock().expect("not poisoned").clear();
        });
        Ok(Answer::new(ReceiverStream::new(answers)))
    }

    async fn get_tenant(&self, request: Rpc<GetTenantRequest>) -> Result<Answer<GetTenantResponse>, Status> {
        self.called("GetTenant", &request)?;
        let tenant = self.states.lock().expect("not poisoned").get(&request.into_inner().tenant_id).cloned();
        let revision = self.revision.load(Ordering::SeqCst);
        let _held_back = self.gate.read().await;
        Ok(Answer::new(GetTenantResponse { tenant, revision }))
    }

    async fn note_previous_uses(
        &self,
        request: Rpc<NotePreviousUsesRequest>,
    ) -> Result<Answer<NotePreviousUsesResponse>, Status> {
        self.called("NotePreviousUses", &request)?;
        self.previous_uses.lock().expect("not poisoned").push(request.into_inner());
        Ok(Answer::new(NotePreviousUsesResponse {}))
    }

    async fn get_widget(&self, request: Rpc<GetWidgetRequest>) -> Result<Answer<GetWidgetResponse>, Status> {
        self.called("GetWidget", &request)?;
        let GetWidgetRequest { tenant_id, widget_public_key } = request.into_inner();
        let accesses = self.accesses.lock().expect("not poisoned");
        let access = accesses.get(&tenant_id).cloned().unwrap_or_default();
        let widget = access.widgets.get(&widget_public_key).cloned();
        Ok(Answer::new(GetWidgetResponse { allowed_origins: access.allowed_origins, widget }))
    }

    async fn get_operator(&self, request: Rpc<GetOperatorRequest>) -> Result<Answer<GetOperatorResponse>, Status> {
        self.called("GetOperator", &request)?;
        let GetOperatorRequest { tenant_id, operator_id } = request.into_inner();
        let membership = self.members.lock().expect("not poisoned").get(&(tenant_id, operator_id)).cloned();
        Ok(Answer::new(GetOperatorResponse { membership }))
    }

    async fn get_tenant_info(&self, request: Rpc<GetTenantInfoRequest>) -> Result<Answer<TenantInfo>, Status> {
        self.called("GetTenantInfo", &request)?;
        let tenant_id = TenantId::from_slice(&request.into_inner().tenant_id).expect("16 bytes").to_string();
        Ok(Answer::new(TenantInfo { tenant_id, tenant_name: "Fake".into(), agent_seats: 3, ..TenantInfo::default() }))
    }
}
