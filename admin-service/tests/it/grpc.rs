//! gRPC: which callers are let in where, and that it is the same service as REST.

use e2e::world::{ADMIN_KEY, GRPC_TOKEN};
use proto::{
    admin::v1::{
        ListAuditLogRequest, ListTenantsRequest, ProvisionTenantRequest, RotateTenantSecretRequest, TenantRequest,
        TenantSettings, UpdateTenantRequest, tenant_admin_client::TenantAdminClient,
    },
    directory::v1::{GetTenantRequest, TenantStatus, tenant_directory_client::TenantDirectoryClient},
    identity::v1::{
        IssueOperatorTokenRequest, MintVisitorTokenRequest, ProvisionOperatorRequest, RoutingKeys,
        identity_client::IdentityClient,
    },
};
use serde_json::{Value, json};
use service::ApiError;
use tonic::{Code, Request, Status, transport::Channel};
use wire::{ErrorCode, TenantId};

use crate::support::{Service, sqlite};

pub(crate) async fn channel(service: &Service) -> Channel {
    Channel::from_shared(format!("http://{}", service.grpc)).expect("a URL").connect().await.expect("it connects")
}

pub(crate) fn with<T>(message: T, key: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(key, value.parse().expect("metadata"));
    request
}

pub(crate) fn gateway<T>(message: T) -> Request<T> {
    with(message, "authorization", &format!("Bearer {GRPC_TOKEN}"))
}

pub(crate) fn admin<T>(message: T) -> Request<T> {
    with(message, "x-admin-key", ADMIN_KEY)
}

fn code(status: &Status) -> Option<ErrorCode> {
    ApiError::from_status(status).map(|error| error.code())
}

pub(crate) fn bytes(id: &str) -> Vec<u8> {
    id.parse::<TenantId>().expect("an id").as_uuid().as_bytes().to_vec()
}

#[tokio::test]
async fn gateways_see_state_and_keys_and_may_change_nothing() {
    let service = Service::start(sqlite()).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Seen"})).await;
    let channel = channel(&service).await;
    let mut directory = TenantDirectoryClient::new(channel.clone());
    let request = || GetTenantRequest { tenant_id: bytes(&tenant.id) };

    let answer = directory.get_tenant(gateway(request())).await.expect("an answer").into_inner();
    let state = answer.tenant.expect("known");
    assert_eq!(state.hmac_key, tenant.secret.as_bytes());
    assert_eq!((state.status(), state.rate_limit_per_min), (TenantStatus::Active, 60));
    assert!(answer.revision >= state.revision && state.revision > 0);

    let unknown = GetTenantRequest { tenant_id: TenantId::generate().as_uuid().as_bytes().to_vec() };
    assert!(directory.get_tenant(gateway(unknown)).await.expect("an answer").into_inner().tenant.is_none());
    let malformed = directory.get_tenant(gateway(GetTenantRequest { tenant_id: vec![1] })).await.expect_err("refused");
    assert_eq!(malformed.code(), Code::InvalidArgument);

    for refused in [
        Request::new(request()),
        with(request(), "authorization", "Bearer wrong"),
        with(request(), "authorization", GRPC_TOKEN),
        admin(request()),
    ] {
        let status = directory.get_tenant(refused).await.expect_err("refused");
        assert_eq!((status.code(), code(&status)), (Code::Unauthenticated, Some(ErrorCode::InvalidServiceToken)));
    }
    let mut tenants = TenantAdminClient::new(channel);
    let status = tenants.suspend_tenant(gateway(TenantRequest { tenant_id: tenant.id })).await.expect_err("refused");
    assert_eq!(code(&status), Some(ErrorCode::InvalidAdminKey), "the gateway's token administers nothing");
}

#[tokio::test]
async fn tenant_admin_is_the_same_service_as_rest() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let mut tenants = TenantAdminClient::new(channel(&service).await);
    let settings = TenantSettings {
        tenant_name: Some("Over gRPC".into()),
        allowed_origins: vec!["https://A.com".into()],
        agent_seats: Some(3),
        ..Default::default()
    };
    let made = tenants
        .provision_tenant(admin(ProvisionTenantRequest { settings: Some(settings) }))
        .await
        .expect("provisioned")
        .into_inner();
    assert!(made.tenant_secret.starts_with("sk_") && !format!("{made:?}").contains(&made.tenant_secret));
    let id = made.tenant.expect("a tenant").tenant_id;
    let (_, read) = operator.call("GET", &format!("/fetch/tenant?tenant_id={id}"), None).await;
    assert_eq!(
        (&read["data"]["tenant_name"], &read["data"]["allowed_origins"], &read["data"]["rate_limit_per_min"]),
        (&json!("Over gRPC"), &json!(["https://a.com"]), &json!(60))
    );

    let refused =
        tenants.provision_tenant(admin(ProvisionTenantRequest { settings: None })).await.expect_err("refused");
    let error = ApiError::from_status(&refused).expect("one of ours");
    assert_eq!((refused.code(), error.errors()[0].field.as_str()), (Code::InvalidArgument, "tenant_name"));

    let update = |settings: TenantSettings, paths: &[&str]| UpdateTenantRequest {
        tenant_id: id.clone(),
        settings: Some(settings),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
    };
    let settings =
        TenantSettings { plan_tier: Some("pro".into()), tenant_name: Some("Ignored".into()), ..Default::default() };
    let updated = tenants
        .update_tenant(admin(update(settings, &["plan_tier", "allowed_origins"])))
        .await
        .expect("updated")
        .into_inner();
    let settings = updated.tenant.expect("a tenant").settings.expect("settings");
    assert_eq!(
        (settings.tenant_name.as_deref(), settings.plan_tier.as_deref(), settings.allowed_origins.len()),
        (Some("Over gRPC"), Some("pro"), 0)
    );
    let twice = TenantSettings { stripe_customer_id: Some("cus_1".into()), ..Default::default() };
    let update_twice = update(twice, &["stripe_customer_id", "stripe_customer_id"]);
    let updated = tenants.update_tenant(admin(update_twice)).await.expect("updated").into_inner();
    assert_eq!(
        updated.tenant.expect("a tenant").settings.expect("settings").stripe_customer_id.as_deref(),
        Some("cus_1")
    );
    for paths in [&[][..], &["nonsense"], &["tenant_name"], &["status"]] {
        let status = tenants.update_tenant(admin(update(TenantSettings::default(), paths))).await.expect_err("refused");
        assert_eq!(code(&status), Some(ErrorCode::ValidationFailed), "{paths:?}");
    }

    let request = || TenantRequest { tenant_id: id.clone() };
    let rotation = RotateTenantSecretRequest { tenant_id: id.clone(), revoke_issued: true, grace_seconds: 0 };
    assert_ne!(
        tenants.rotate_tenant_secret(admin(rotation)).await.expect("rotated").into_inner().tenant_secret,
        made.tenant_secret
    );
    let key = tenants.rotate_widget_key(admin(request())).await.expect("rotated").into_inner().widget_public_key;
    assert_eq!(
        tenants
            .suspend_tenant(admin(request()))
            .await
            .expect("suspended")
            .into_inner()
            .tenant
            .map(|tenant| tenant.status),
        Some("suspended".to_owned())
    );
    assert_eq!(
        tenants
            .reactivate_tenant(admin(request()))
            .await
            .expect("reactivated")
            .into_inner()
            .tenant
            .map(|tenant| tenant.status),
        Some("active".to_owned())
    );
    assert_eq!(tenants.get_tenant(admin(request())).await.expect("fetched").into_inner().widget_public_key, key);
    let unknown = TenantRequest { tenant_id: TenantId::generate().to_string() };
    assert_eq!(tenants.get_tenant(admin(unknown)).await.expect_err("unknown").code(), Code::NotFound);

    operator.provision(json!({"tenant_name": "Second"})).await;
    let list = |cursor: String| ListTenantsRequest { limit: 1, cursor };
    let first = tenants.list_tenants(admin(list(String::new()))).await.expect("listed").into_inner();
    let second = tenants.list_tenants(admin(list(first.next_cursor.clone()))).await.expect("listed").into_inner();
    assert_eq!((first.total, second.items[0].tenant_id.as_str(), second.next_cursor.as_str()), (2, id.as_str(), ""));
    assert!(tenants.list_tenants(admin(ListTenantsRequest { limit: 501, cursor: String::new() })).await.is_err());
    let log = ListAuditLogRequest { tenant_id: id.clone(), limit: 0, cursor: String::new() };
    let log = tenants.list_audit_log(admin(log)).await.expect("listed").into_inner();
    assert_eq!(log.items.len(), 7);
    assert!(log.items.iter().all(|entry| entry.actor.starts_with("admin_key:")));
}

/// A JWT's claims, once its signature was checked against the published key set.
fn verified_claims(token: &str, jwks: &Value, audience: &str) -> Value {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
    let keys: JwkSet = serde_json::from_value(jwks.clone()).expect("a key set");
    let kid = decode_header(token).expect("a header").kid.expect("a kid");
    let key = DecodingKey::from_jwk(keys.find(&kid).expect("the key")).expect("usable");
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[audience]);
    validation.set_issuer(&["chat-relay"]);
    decode(token, &key, &validation).expect("verifies").claims
}

#[tokio::test]
async fn tokens_verify_against_the_published_keys_and_name_one_tenant() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let (tenant, other) =
        (operator.provision(json!({"tenant_name": "A"})).await, operator.provision(json!({"tenant_name": "B"})).await);
    let mut identity = IdentityClient::new(channel(&service).await);
    let jwks: Value = reqwest::get(format!("http://{}/.well-known/jwks.json", service.rest))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");

    let provision = |routing_keys: Option<Vec<String>>| ProvisionOperatorRequest {
        tenant_id: bytes(&tenant.id),
        email: "Merchant@acme.com".into(),
        display_name: "Merchant".into(),
        routing_keys: routing_keys.map(|items| RoutingKeys { items }),
        avatar_url: None,
        wait_ms: 0,
    };
    let first = identity
        .provision_operator(gateway(provision(Some(vec!["sales".into()]))))
        .await
        .expect("provisioned")
        .into_inner();
    let again = identity.provision_operator(gateway(provision(None))).await.expect("refreshed").into_inner();
    assert_eq!((first.created, again.created), (true, false));
    let again = again.operator.expect("an operator");
    assert_eq!(again.routing_keys, ["sales"], "absent keys leave those that are there");

    let issue = |tenant_id: &str| IssueOperatorTokenRequest {
        tenant_id: bytes(tenant_id),
        email: "merchant@ACME.com".into(),
        token_generation: None,
    };
    let issued = identity.issue_operator_token(gateway(issue(&tenant.id))).await.expect("issued").into_inner();
    let claims = verified_claims(&issued.token, &jwks, "chat-backend");
    assert_eq!(
        (&claims["tenant_id"], &claims["sub"], &claims["role"]),
        (&json!(tenant.id), &json!(again.operator_id), &json!("operator"))
    );
    let elsewhere = identity.issue_operator_token(gateway(issue(&other.id))).await.expect_err("another tenant's");
    assert_eq!(code(&elsewhere), Some(ErrorCode::OperatorNotFound));

    let mint = |ttl_seconds: u32| MintVisitorTokenRequest {
        token_generation: None,
        tenant_id: bytes(&tenant.id),
        visitor_user_id: "user-123".into(),
        visitor_email_hash: Some("sha256:00".into()),
        ttl_seconds,
    };
    let minted = identity.mint_visitor_token(gateway(mint(60))).await.expect("minted").into_inner();
    let claims = verified_claims(&minted.token, &jwks, "chat-widget");
    assert_eq!(
        (
            &claims["sub"],
            &claims["email_hash"],
            claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat)
        ),
        (&json!("user-123"), &json!("sha256:00"), Some(60))
    );
    for ttl in [0, 59, 86_401] {
        assert_eq!(
            code(&identity.mint_visitor_token(gateway(mint(ttl))).await.expect_err("refused")),
            Some(ErrorCode::ValidationFailed)
        );
    }

    operator.call("POST", &format!("/suspend/tenant?tenant_id={}", tenant.id), None).await;
    assert_eq!(
        code(&identity.mint_visitor_token(gateway(mint(60))).await.expect_err("refused")),
        Some(ErrorCode::TenantSuspended)
    );
    assert_eq!(
        code(&identity.issue_operator_token(gateway(issue(&tenant.id))).await.expect_err("refused")),
        Some(ErrorCode::TenantSuspended)
    );
}

#[tokio::test]
async fn tokens_outlive_a_restart() {
    let service = Service::start(sqlite()).await;
    let before: Value = reqwest::get(format!("http://{}/.well-known/jwks.json", service.rest))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let service = Service::start(service.stop().await).await;
    let after: Value = reqwest::get(format!("http://{}/.well-known/jwks.json", service.rest))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(before, after);
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
    macro_rules! listed {
        ($version:ident, $channel:expr, $request:expr) => {{
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let mut answers = ServerReflectionClient::new($channel.clone())
                .server_reflection_info($request(futures_util::stream::once(async { request })))
                .await
                .expect("answers")
                .into_inner();
            let answer = answers.message().await.expect("an answer").expect("one").message_response.expect("a list");
            let MessageResponse::ListServicesResponse(services) = answer else { panic!("a list of services") };
            services.service.into_iter().map(|service| service.name).collect::<Vec<_>>()
        }};
    }
    let service = Service::start(sqlite()).await;
    let channel = channel(&service).await;
    let request = HealthCheckRequest { service: "chatrelay.directory.v1.TenantDirectory".into() };
    let health = HealthClient::new(channel.clone()).check(request).await.expect("an answer").into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
    // grpcurl, Postman and Python's client use reflection v1alpha. Any valid token of this listener may list the services.
    let lists = [
        listed!(v1, channel, gateway),
        listed!(v1, channel, admin),
        listed!(v1alpha, channel, gateway),
        listed!(v1alpha, channel, admin),
    ];
    for names in lists {
        for name in [
            "chatrelay.admin.v1.TenantAdmin",
            "chatrelay.directory.v1.TenantDirectory",
            "chatrelay.identity.v1.Identity",
            "chatrelay.visitors.v1.Visitors",
        ] {
            assert!(names.contains(&name.to_owned()), "{names:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_how_to_authenticate_and_tells_a_wrong_key_from_none() {
    let service = Service::start(sqlite()).await;
    let channel = channel(&service).await;
    let mut tenants = TenantAdminClient::new(channel.clone());
    let mut directory = TenantDirectoryClient::new(channel);
    let list = || ListTenantsRequest { limit: 0, cursor: String::new() };
    let get = || GetTenantRequest { tenant_id: vec![0; 16] };

    let none = tenants.list_tenants(Request::new(list())).await.expect_err("refused");
    let wrong = tenants.list_tenants(with(list(), "x-admin-key", "a-wrong-key")).await.expect_err("refused");
    assert!(
        none.message().contains("No admin key was sent") && none.message().contains("metadata x-admin-key"),
        "{none}"
    );
    assert!(wrong.message().contains("is wrong") && wrong.message().contains("metadata x-admin-key"), "{wrong}");
    assert_eq!((none.code(), code(&none)), (wrong.code(), code(&wrong)));

    let none = directory.get_tenant(Request::new(get())).await.expect_err("refused");
    let wrong = directory.get_tenant(with(get(), "authorization", "Bearer wrong")).await.expect_err("refused");
    assert!(none.message().contains("No service token") && none.message().contains("`authorization: Bearer"), "{none}");
    assert!(wrong.message().contains("is wrong") && wrong.message().contains("`Bearer <token>`"), "{wrong}");
    assert_eq!((none.code(), code(&none)), (wrong.code(), code(&wrong)));
    assert!(
        ![none, wrong].iter().any(|status| status.message().contains("Bearer wrong")),
        "what was sent is not repeated"
    );

    let missing = tenants
        .get_tenant(admin(TenantRequest { tenant_id: TenantId::generate().to_string() }))
        .await
        .expect_err("no such tenant");
    assert!(missing.message().contains("TenantAdmin.ListTenants"), "{missing}");
    let tenant = service.operator().provision(json!({"tenant_name": "Fixed"})).await;
    let names = ["tenant_secret", "widget_public_key", "status", "created_at", "invented", "tenant_name"];
    let update = UpdateTenantRequest {
        tenant_id: tenant.id,
        settings: None,
        update_mask: Some(prost_types::FieldMask { paths: names.map(str::to_owned).to_vec() }),
    };
    let refused = tenants.update_tenant(admin(update)).await.expect_err("refused");
    let error = ApiError::from_status(&refused).expect("one of ours");
    assert_eq!(error.errors().len(), names.len());
    let said = format!("{:?}", error.errors());
    assert!(!said.contains("/api/v1") && !said.contains("/docs"), "{said}");
    assert!(said.contains("RotateTenantSecret makes") && said.contains("SuspendTenant or Reactivate"), "{said}");
}
