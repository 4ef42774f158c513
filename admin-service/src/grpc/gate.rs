//! Admin keys over gRPC: looks a key up before its call, and says which scope each method needs. An interceptor cannot do this, since it may
//! not wait for the database.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tonic::{body::Body, server::NamedService, transport::server::TcpConnectInfo};
use tower::Service;

use super::{edge::logged, metadata::request_id};
use crate::{
    auth::{OperatorGate, X_ADMIN_KEY},
    domain::admin_key::{
        Needed,
        Scope::{AuditRead, EventsWrite, SecretsRotate, TenantsRead, TenantsWrite},
    },
};

/// A service whose callers send an admin key. Its methods find the caller among a request's extensions.
#[derive(Clone)]
pub(super) struct Gated<S> {
    inner: S,
    gate: OperatorGate,
    /// Whether callers may send a bearer token instead: a call without an admin key is passed on, and `inner` checks its token.
    is_optional: bool,
}

impl<S> Gated<S> {
    /// Every caller sends an admin key.
    pub(super) fn new(gate: OperatorGate, inner: S) -> Self {
        Self { inner, gate, is_optional: false }
    }

    /// Callers may send an admin key.
    pub(super) fn optional(gate: OperatorGate, inner: S) -> Self {
        Self { inner, gate, is_optional: true }
    }
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let given = request.headers().get(X_ADMIN_KEY).map(|value| value.as_bytes().to_vec());
        // The service that is ready is the one that is called.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        if given.is_none() && self.is_optional {
            return Box::pin(async move { Ok(inner.call(request).await?.map(Body::new)) });
        }
        let gate = self.gate.clone();
        let info = request.extensions().get::<TcpConnectInfo>();
        let address = info.and_then(TcpConnectInfo::remote_addr).map(|address| address.ip());
        let request_id = request_id(request.headers());
        let needed = needed(request.uri().path());
        Box::pin(async move {
            match gate.admit(given.as_deref(), address, request_id, needed).await {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    Ok(inner.call(request).await?.map(Body::new))
                }
                Err(refused) => Ok(logged(refused).into_http()),
            }
        })
    }
}

/// What a method needs, by its path. A method that is not named here takes a root key alone: a new one is closed until somebody decides.
fn needed(path: &str) -> Needed {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return Needed::Root;
    };
    let scope = match (service, method) {
        ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _) => {
            return Needed::AnyKey;
        }
        ("chatrelay.admin.v1.TenantAdmin", "GetTenant" | "ListTenants") => TenantsRead,
        (
            "chatrelay.admin.v1.TenantAdmin",
            "ProvisionTenant" | "UpdateTenant" | "SuspendTenant" | "ReactivateTenant",
        ) => TenantsWrite,
        ("chatrelay.admin.v1.TenantAdmin", "RotateTenantSecret" | "RevokePreviousSecret" | "RotateWidgetKey") => {
            SecretsRotate
        }
        ("chatrelay.admin.v1.TenantAdmin", "ListAuditLog") => AuditRead,
        ("chatrelay.events.v1.Events", "Publish") => EventsWrite,
        _ => return Needed::Root,
    };
    Needed::Scope(scope)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_method_that_takes_an_admin_key_has_its_scope() {
        let described = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).expect("descriptions");
        let mut seen = 0;
        for file in &described.file {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                for method in &service.method {
                    let path = format!("/{service_name}/{}", method.name());
                    match service_name.as_str() {
                        "chatrelay.admin.v1.TenantAdmin" | "chatrelay.events.v1.Events" => {
                            assert!(matches!(needed(&path), Needed::Scope(_)), "{path}");
                            seen += 1;
                        }
                        _ => assert_eq!(needed(&path), Needed::Root, "{path}"),
                    }
                }
            }
        }
        assert!(seen >= 10, "{seen}");
        for invented in ["", "/", "/chatrelay.admin.v1.TenantAdmin", "/chatrelay.admin.v1.TenantAdmin/Invented"] {
            assert_eq!(needed(invented), Needed::Root, "{invented}");
        }
    }
}
