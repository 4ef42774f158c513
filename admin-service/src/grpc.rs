//! gRPC for internal services. Gateways send the service token; the tenant lifecycle takes the admin key, so that an attacker who holds a
//! gateway cannot rotate or provision anything.

use std::time::Duration;

use coherence::LONGEST_LEASE_MS;
use proto::{
    admin::v1::tenant_admin_server::TenantAdminServer,
    directory::v1::tenant_directory_server::TenantDirectoryServer,
    events::v1::{events_server::EventsServer, tenant_events_server::TenantEventsServer},
    identity::v1::identity_server::IdentityServer,
    visitors::v1::visitors_server::VisitorsServer,
};
use service::{ApiError, serve::Tls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Server};
use wire::ErrorCode;

use crate::{
    auth::{ServiceTokens, bearer},
    domain::{
        access::{AccessEntry, AccessKind},
        audit::Caller,
    },
};

mod admin;
pub(crate) mod advice;
mod convert;
mod directory;
mod edge;
mod events;
mod gate;
mod identity;
mod incoming;
mod metadata;
mod state;
mod tenant_events;
mod visitors;
mod watch;

pub(crate) use edge::RpcMetrics;
use gate::Gated;
use metadata::request_id;
pub(crate) use state::Services;

/// A call may take this long, and a change a lease more; callers give up sooner.
const CALL_TIMEOUT: Duration = Duration::from_millis(15_000 + LONGEST_LEASE_MS);

/// Serves until `stopping` is cancelled and calls in flight are done.
pub(crate) async fn serve(
    (listener, tls): (TcpListener, Option<Tls>),
    services: Services,
    stopping: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Services {
        tenants,
        directory,
        operators,
        signing_keys,
        tokens,
        visitors,
        propagation,
        logs,
        gate,
        events,
        service_tokens,
        events_token,
        metrics,
    } = services;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<TenantDirectoryServer<directory::DirectoryService>>().await;
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Common tools (grpcurl, Postman, Python's client) ask in v1alpha, newer ones in v1.
    let (reflection, reflection_v1alpha) = (described().build_v1()?, described().build_v1alpha()?);

    let tokens_of_gateways = ServiceTokens::new(&service_tokens);
    let refusals = logs.clone();
    let with_token = move |request: Request<()>| {
        let (address, id) =
            (request.remote_addr().map(|address| address.ip()), request_id(request.metadata().as_ref()));
        if tokens_of_gateways.accept(bearer(request.metadata().as_ref())) {
            return Ok(request);
        }
        let kind = AccessKind::RefuseService;
        let entry = AccessEntry { kind, tenant_id: None, actor: "unknown", subject: String::new(), address };
        refusals.note(entry, &id);
        Err(Status::from(refused_service_token(request.metadata().contains_key("authorization"))))
    };
    let tokens_of_backends = events_token.as_ref().map(ServiceTokens::new);
    let refused_publishers = logs.clone();
    let with_events_token = move |request: Request<()>| {
        if has_admin_key(&request) {
            return Ok(request);
        }
        let is_known = |tokens: &ServiceTokens| tokens.accept(bearer(request.metadata().as_ref()));
        if tokens_of_backends.as_ref().is_some_and(is_known) {
            return Ok(request);
        }
        let (address, id) =
            (request.remote_addr().map(|address| address.ip()), request_id(request.metadata().as_ref()));
        let kind = AccessKind::RefuseService;
        refused_publishers
            .note(AccessEntry { kind, tenant_id: None, actor: "unknown", subject: String::new(), address }, &id);
        Err(Status::from(refused_publisher()))
    };

    // Reflection describes the services of both, so it is open to both.
    let token_check = with_token.clone();
    let with_either =
        move |request: Request<()>| if has_admin_key(&request) { Ok(request) } else { token_check(request) };

    Server::builder()
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .trace_fn(edge::span)
        .layer(edge::RpcLayer::new(metrics))
        .add_service(health_service)
        .add_service(Gated::optional(gate.clone(), InterceptedService::new(reflection, with_either.clone())))
        .add_service(Gated::optional(gate.clone(), InterceptedService::new(reflection_v1alpha, with_either)))
        .add_service(TenantDirectoryServer::with_interceptor(
            directory::DirectoryService::new(
                directory,
                tenants.clone(),
                visitors.clone(),
                operators.clone(),
                propagation,
                logs.clone(),
            ),
            with_token.clone(),
        ))
        .add_service(IdentityServer::with_interceptor(
            identity::IdentityService::new(tenants.clone(), operators, signing_keys, tokens, logs.clone()),
            with_token.clone(),
        ))
        .add_service(VisitorsServer::with_interceptor(visitors::VisitorsService::new(visitors), with_token.clone()))
        .add_service(TenantEventsServer::with_interceptor(
            tenant_events::TenantEventsService::new(events.clone()),
            with_token,
        ))
        .add_service(Gated::optional(
            gate.clone(),
            EventsServer::with_interceptor(events::EventsService::new(events), with_events_token),
        ))
        .add_service(Gated::new(gate, TenantAdminServer::new(admin::AdminService::new(tenants, logs))))
        .serve_with_incoming_shutdown(incoming::incoming(listener, tls), stopping.cancelled_owned())
        .await?;
    Ok(())
}

/// Whether [`Gated`] has found the caller's admin key.
fn has_admin_key(request: &Request<()>) -> bool {
    request.extensions().get::<Caller>().is_some()
}

/// Refuses a caller without the service token. If the caller sent another token, the message says that it is wrong, not that it is
/// missing.
fn refused_service_token(was_sent: bool) -> ApiError {
    let message = if was_sent {
        "The metadata `authorization` is wrong: it must be `Bearer <token>`, where the token is the admin service's \
         ADMIN_GRPC_TOKEN."
    } else {
        "No service token was sent: send the metadata `authorization: Bearer <token>`, where the token is the admin service's \
         ADMIN_GRPC_TOKEN. (TenantAdmin takes the metadata `x-admin-key` instead.)"
    };
    ApiError::new(ErrorCode::InvalidServiceToken, message)
}

/// Refuses a publisher without an admin key and without the token of chat backends.
fn refused_publisher() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidServiceToken,
        "Publishing takes the metadata `authorization: Bearer <token>`, where the token is the admin service's ADMIN_EVENTS_TOKEN, or \
         `x-admin-key` with an admin key that has the scope events:write. A gateway's token does not open it.",
    )
}
