//! `rewrap` seals every secret under the newest master key while services run, and says which key can go.

use admin_service::rewrap::{self, Report};
use e2e::{signed::Tenant, world::MASTER_KEYS};
use proto::directory::v1::{GetTenantRequest, TenantState, tenant_directory_client::TenantDirectoryClient};
use serde_json::json;

use crate::{
    grpc::{channel, with},
    support::{Service, TestDatabase, database, postgres, sqlite},
};

const NEW: &str = "k2:hY2mJ7Tq0hN3Xw9cR5bZ1uEo8sLgVfKdAiPtQyWnMlc=";

fn both() -> String {
    format!("{NEW},{MASTER_KEYS}")
}

async fn rewrap(on: &TestDatabase, keys: &str) -> Report {
    rewrap::rewrap(&database(&on.url), &keys.parse().expect("keys"), |_| {}).await.expect("it is done")
}

/// The key that a gateway verifies this tenant's calls with.
async fn key_of(service: &Service, tenant: &Tenant) -> Vec<u8> {
    state_of(service, tenant).await.hmac_key
}

async fn state_of(service: &Service, tenant: &Tenant) -> TenantState {
    let mut directory = TenantDirectoryClient::new(channel(service).await);
    let tenant_id = tenant.id.parse::<uuid::Uuid>().expect("a UUID").as_bytes().to_vec();
    let bearer = format!("Bearer {}", e2e::world::GRPC_TOKEN);
    let told = directory.get_tenant(with(GetTenantRequest { tenant_id }, "authorization", &bearer)).await;
    told.expect("an answer").into_inner().tenant.expect("a tenant")
}

async fn seals_everything_anew(on: TestDatabase) {
    let service = Service::start(on).await;
    let operator = service.operator();
    let mut tenants = Vec::new();
    for number in 0..30 {
        tenants.push(operator.provision(json!({"tenant_name": format!("Acme {number}")})).await);
    }
    // One keeps the secret before its rotation, which the old key has sealed too.
    let kept = tenants[20].secret.clone();
    let path = format!("/rotate/tenant-secret?grace_seconds=3600&tenant_id={}", tenants[20].id);
    let (_, rotated) = operator.call("POST", &path, None).await;
    rotated["data"]["tenant_secret"].as_str().expect("a secret").clone_into(&mut tenants[20].secret);
    let (_, rotated) = operator.call("POST", "/rotate/signing-key?signs_after_seconds=0", None).await;
    assert_eq!(rotated["success"], true, "{rotated}");
    let on = service.stop().await;

    // The new key seals, and secrets are rotated while the others are sealed anew.
    let service = Service::sealing(on, &both()).await;
    let operator = service.operator();
    let rotations = async {
        for tenant in &mut tenants[..10] {
            let path = format!("/rotate/tenant-secret?tenant_id={}", tenant.id);
            let (status, rotated) = operator.call("POST", &path, None).await;
            assert_eq!(status, 200, "{rotated}");
            rotated["data"]["tenant_secret"].as_str().expect("a secret").clone_into(&mut tenant.secret);
        }
    };
    let keys = both();
    let (report, ()) = tokio::join!(rewrap(&service.database, &keys), rotations);
    assert!(report.is_whole() && report.resealed >= 20 + 2 + 2, "{report}");
    let again = rewrap(&service.database, &both()).await;
    assert_eq!(
        (again.resealed, again.before),
        (0, 30 + 1 + 2 + 2),
        "every tenant, one previous secret, two signing keys, two secrets of the deployment: {again}"
    );
    for tenant in &tenants {
        assert_eq!(key_of(&service, tenant).await, tenant.secret.as_bytes(), "gateways see the same secret");
    }
    // The old key has chained the logs until then.
    assert!(
        again.not_needed().is_empty()
            && again.to_string().contains("No secret needs it, but the access log is pruned with it"),
        "{again}"
    );

    // Without the old key everything opens.
    let on = service.stop().await;
    let service = Service::sealing(on, NEW).await;
    for tenant in &tenants {
        assert_eq!(key_of(&service, tenant).await, tenant.secret.as_bytes());
    }
    let previous = state_of(&service, &tenants[20]).await.previous_key.expect("a previous key");
    assert_eq!(previous.hmac_key, kept.as_bytes());
    let (_, keys) = service.operator().call("GET", "/fetch/signing-keys", None).await;
    let states: Vec<_> =
        keys["data"]["items"].as_array().expect("keys").iter().map(|key| key["state"].clone()).collect();
    assert!(!states.contains(&json!("unreadable")), "{keys}");
    service.stop().await;
}

#[tokio::test]
async fn every_secret_is_sealed_anew_beside_a_service_on_sqlite() {
    seals_everything_anew(sqlite()).await;
}

#[tokio::test]
async fn every_secret_is_sealed_anew_beside_a_service_on_postgres() {
    seals_everything_anew(postgres()).await;
}

#[tokio::test]
async fn it_says_what_is_left_and_never_loses_what_does_not_open() {
    let service = Service::start(postgres()).await;
    let operator = service.operator();
    let good = operator.provision(json!({"tenant_name": "Good"})).await;
    let bad = operator.provision(json!({"tenant_name": "Bad"})).await;
    let sql = format!(
        "UPDATE tenant SET sealed_secret = overlay(sealed_secret placing 'x'::bytea from 40) WHERE id = '{}'",
        bad.id
    );
    service.database.meddle(&sql);
    let report = rewrap(&service.database, &both()).await;
    assert!(!report.is_whole(), "{report}");
    assert!(report.unreadable.len() == 1 && report.unreadable[0].contains(&bad.id), "{report}");
    assert!(report.to_string().contains("k1: keep it. Secrets sealed under it: 1."), "{report}");
    assert!(!report.to_string().contains(&good.secret[3..]));

    // A service that still seals under the old key: the next run finds what it has sealed.
    operator.provision(json!({"tenant_name": "Late"})).await;
    let report = rewrap(&service.database, &both()).await;
    assert_eq!(report.resealed, 1, "{report}");

    // A key that never sealed anything can go.
    let unused = format!("{},k0:Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0Z2FycGw=", both());
    let report = rewrap(&service.database, &unused).await;
    assert_eq!(report.not_needed(), ["k0"]);
    assert!(report.to_string().contains("k0: take it out of master_keys"), "{report}");
    service.stop().await;
}
