//! gRPC for internal services. Gateways come with the service token; the tenant lifecycle wants the admin key, so that
//! a gateway that fell into wrong hands cannot rotate or provision anything.

use std::{sync::Arc, time::Duration};

use coherence::LONGEST_LEASE_MS;
use proto::{
    admin::v1::tenant_admin_server::TenantAdminServer, directory::v1::tenant_directory_server::TenantDirectoryServer,
    identity::v1::identity_server::IdentityServer, visitors::v1::visitors_server::VisitorsServer,
};
use secrecy::ExposeSecret as _;
use service::{ApiError, config::SecretList};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::MetadataMap,
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};
use wire::{ErrorCode, request_id::X_REQUEST_ID};

use crate::{
    directory::Directory,
    domain::{
        access::{AccessEntry, AccessKind},
        audit::Caller,
    },
    logs::Logs,
    operators::Operators,
    propagation::Propagation,
    rest::{OperatorGate, X_ADMIN_KEY},
    signing_keys::SigningKeys,
    tenants::Tenants,
    tokens::Tokens,
    visitors::Visitors,
};

mod admin;
mod convert;
mod directory;
mod edge;
mod identity;
mod visitors;
mod watch;

pub(crate) use edge::RpcMetrics;

/// What the services are made of.
pub(crate) struct Services {
    pub(crate) tenants: Tenants,
    pub(crate) directory: Directory,
    pub(crate) operators: Operators,
    pub(crate) signing_keys: SigningKeys,
    pub(crate) tokens: Tokens,
    pub(crate) visitors: Visitors,
    pub(crate) propagation: Propagation,
    pub(crate) logs: Logs,
    pub(crate) gate: OperatorGate,
    pub(crate) service_tokens: SecretList,
    pub(crate) metrics: RpcMetrics,
}

/// A call may take this long, and a change a lease more; callers give up sooner.
const CALL_TIMEOUT: Duration = Duration::from_millis(15_000 + LONGEST_LEASE_MS);

/// Serves until `stopping` is cancelled and calls in flight are done.
pub(crate) async fn serve(
    listener: TcpListener,
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
        service_tokens,
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
        let (address, id) = (request.remote_addr().map(|address| address.ip()), request_id(request.metadata()));
        tokens_of_gateways.check(request).inspect_err(|_| {
            let kind = AccessKind::RefuseService;
            let entry = AccessEntry { kind, tenant_id: None, actor: "unknown", subject: String::new(), address };
            refusals.note(entry, &id);
        })
    };
    let with_admin_key = move |mut request: Request<()>| {
        let given = request.metadata().get(X_ADMIN_KEY.as_str()).map(|value| value.as_bytes().to_vec());
        let (address, request_id) = (request.remote_addr().map(|address| address.ip()), request_id(request.metadata()));
        let actor = gate.admit(given.as_deref(), address, &request_id)?;
        let caller = Caller { actor: actor.to_string(), request_id };
        request.extensions_mut().insert(caller);
        Ok(request)
    };

    // Reflection describes the services of both, so it is open to both.
    let (token_check, admin_key_check) = (with_token.clone(), with_admin_key.clone());
    let with_either = move |request: Request<()>| {
        if request.metadata().contains_key(X_ADMIN_KEY.as_str()) {
            admin_key_check(request)
        } else {
            token_check(request)
        }
    };

    Server::builder()
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .trace_fn(edge::span)
        .layer(edge::RpcLayer::new(metrics))
        .add_service(health_service)
        .add_service(InterceptedService::new(reflection, with_either.clone()))
        .add_service(InterceptedService::new(reflection_v1alpha, with_either))
        .add_service(TenantDirectoryServer::with_interceptor(
            directory::DirectoryService::new(directory, tenants.clone(), visitors.clone(), propagation, logs.clone()),
            with_token.clone(),
        ))
        .add_service(IdentityServer::with_interceptor(
            identity::IdentityService::new(tenants.clone(), operators, signing_keys, tokens, logs.clone()),
            with_token.clone(),
        ))
        .add_service(VisitorsServer::with_interceptor(visitors::VisitorsService::new(visitors), with_token))
        .add_service(TenantAdminServer::with_interceptor(admin::AdminService::new(tenants, logs), with_admin_key))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stopping.cancelled_owned())
        .await?;
    Ok(())
}

/// The bearer tokens gateways come with, compared in constant time.
#[derive(Clone)]
struct ServiceTokens(Arc<[[u8; 32]]>);

impl ServiceTokens {
    fn new(tokens: &SecretList) -> Self {
        let digest = |text: String| -> [u8; 32] { Sha256::digest(text).into() };
        Self(tokens.accepted().map(|token| digest(format!("Bearer {}", token.expose_secret()))).collect())
    }

    fn check(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let given = request.metadata().get("authorization").map_or(b"".as_slice(), |value| value.as_bytes());
        let digest: [u8; 32] = Sha256::digest(given).into();
        // Every token is compared, so that the time tells nothing of the list.
        let known = self.0.iter().fold(Choice::from(0), |known, token| known | token.ct_eq(&digest));
        if bool::from(known) {
            return Ok(request);
        }
        Err(refused_service_token(request.metadata().contains_key("authorization")).into())
    }
}

/// A caller without the service token. One that sent something else reads that it is wrong, not that there is nothing.
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

/// The request id a service passed on; empty where it passed none.
fn request_id(metadata: &MetadataMap) -> String {
    metadata
        .get(X_REQUEST_ID.as_str())
        .and_then(|value| value.to_str().ok())
        .filter(|id| id.len() <= 64)
        .unwrap_or_default()
        .to_owned()
}
