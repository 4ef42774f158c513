//! Rotations with overlap: the secret before one is accepted until its end, and operators see whether it is used.

use admin_service::rewrap;
use proto::{
    admin::v1::{RotateTenantSecretRequest, TenantRequest, tenant_admin_client::TenantAdminClient},
    directory::v1::{
        GetTenantRequest, NotePreviousUsesRequest, PreviousKey, PreviousUse,
        tenant_directory_client::TenantDirectoryClient,
    },
};
use serde_json::{Value, json};
use tonic::Code;
use wire::time::now_unix_ms;

use crate::{
    failover::until,
    grpc::{admin, bytes, channel, gateway},
    support::{Service, TestDatabase, database, master_keys, postgres, sqlite},
};

/// One tenant of a service, and what gateways are told of it.
struct Scene {
    service: Service,
    id: String,
    directory: TenantDirectoryClient<tonic::transport::Channel>,
}

impl Scene {
    async fn set_up(on: TestDatabase) -> (Self, String) {
        let service = Service::start(on).await;
        let tenant = service.operator().provision(json!({"tenant_name": "Rotated"})).await;
        let directory = TenantDirectoryClient::new(channel(&service).await);
        (Self { service, id: tenant.id, directory }, tenant.secret)
    }

    async fn post(&self, path: &str, query: &str) -> (u16, Value) {
        let path = format!("{path}?tenant_id={}{query}", self.id);
        self.service.operator().call("POST", &path, None).await
    }

    /// Rotates, and answers `data`.
    async fn rotate(&self, query: &str) -> Value {
        let (status, answer) = self.post("/rotate/tenant-secret", query).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    }

    async fn fetch(&self) -> Value {
        let (_, answer) =
            self.service.operator().call("GET", &format!("/fetch/tenant?tenant_id={}", self.id), None).await;
        answer["data"].clone()
    }

    /// The current key, and the previous one, as a gateway is told.
    async fn keys(&mut self) -> (Vec<u8>, Option<PreviousKey>) {
        let request = gateway(GetTenantRequest { tenant_id: bytes(&self.id) });
        let state = self.directory.get_tenant(request).await.expect("an answer").into_inner().tenant.expect("known");
        (state.hmac_key, state.previous_key)
    }

    async fn note(&mut self, by: &str, rotated_at_ms: i64, used_at_ms: i64) {
        let uses = vec![PreviousUse { tenant_id: bytes(&self.id), rotated_at_ms, used_at_ms }];
        let request = gateway(NotePreviousUsesRequest { gateway: by.to_owned(), uses });
        self.directory.note_previous_uses(request).await.expect("noted");
    }
}

fn secret_of(rotated: &Value) -> Vec<u8> {
    rotated["tenant_secret"].as_str().expect("a secret").as_bytes().to_vec()
}

fn ms(time: &Value) -> i64 {
    time.as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

async fn keeps_the_previous_secret(on: TestDatabase) {
    let (mut scene, first) = Scene::set_up(on).await;
    let rotated = scene.rotate("&grace_seconds=600").await;
    assert_eq!(ms(&rotated["previous_secret_expires_at"]) - ms(&rotated["rotated_at"]), 600_000);
    let (current, previous) = scene.keys().await;
    let previous = previous.expect("a previous key");
    assert_eq!((current, previous.hmac_key.as_slice()), (secret_of(&rotated), first.as_bytes()));
    assert!((595_000..=600_000).contains(&previous.valid_for_ms), "{}", previous.valid_for_ms);
    assert!(!format!("{previous:?}").contains("sk_"), "no secret in a log");

    // Who still signs with it.
    assert_eq!(scene.fetch().await["previous_secret_last_used_at"], Value::Null);
    let (now, rotation) = (now_unix_ms(), previous.rotated_at_ms);
    scene.note("gateway-1", rotation, now - 2000).await;
    scene.note("gateway-2", rotation, now - 1000).await;
    scene.note("gateway-1", rotation, now - 1500).await;
    scene.note("gateway-3", rotation - 1, now).await;
    let fetched = scene.fetch().await;
    assert_eq!(
        (ms(&fetched["previous_secret_last_used_at"]), fetched["previous_secret_last_used_by"].as_str()),
        (now - 1000, Some("gateway-2"))
    );
    scene.note("ahead", rotation, now + 3_600_000).await;
    assert!(ms(&scene.fetch().await["previous_secret_last_used_at"]) <= now_unix_ms(), "a clock that is ahead");

    // The next rotation ends it, and keeps the one that was current.
    let again = scene.rotate("&grace_seconds=1").await;
    let (current, previous) = scene.keys().await;
    assert_eq!(current, secret_of(&again));
    assert!(previous.is_none_or(|previous| previous.hmac_key == secret_of(&rotated)));
    assert_eq!(scene.fetch().await["previous_secret_last_used_at"], Value::Null, "of the secret before");

    // Ended by hand; repeating it is no error.
    scene.rotate("&grace_seconds=604800").await;
    for _ in 0..2 {
        let (status, revoked) = scene.post("/revoke/previous-secret", "").await;
        assert_eq!((status, &revoked["data"]["previous_secret_expires_at"]), (200, &Value::Null), "{revoked}");
        assert!(revoked["data"]["propagation"]["waited_ms"].is_u64(), "{revoked}");
        assert!(scene.keys().await.1.is_none());
    }
    scene.note("late", rotation, now_unix_ms()).await;
    assert_eq!(scene.fetch().await["previous_secret_last_used_by"], Value::Null);

    // A rotation without overlap ends the secret before too.
    scene.rotate("&grace_seconds=600").await;
    let last = scene.rotate("").await;
    assert_eq!(last["previous_secret_expires_at"], Value::Null);
    assert_eq!(scene.keys().await, (secret_of(&last), None));

    let (_, log) =
        scene.service.operator().call("GET", &format!("/fetch/audit-log?tenant_id={}", scene.id), None).await;
    let entries = log["data"]["items"].as_array().expect("entries");
    let told = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((told("rotate_tenant_secret"), told("revoke_previous_secret")), (5, 2));
    assert_eq!(entries[1]["changed_fields"], json!(["tenant_secret", "previous_secret"]));
    scene.service.stop().await;
}

#[tokio::test]
async fn a_rotation_keeps_the_previous_secret_for_as_long_as_it_is_told_on_sqlite() {
    keeps_the_previous_secret(sqlite()).await;
}

#[tokio::test]
async fn a_rotation_keeps_the_previous_secret_for_as_long_as_it_is_told_on_postgres() {
    keeps_the_previous_secret(postgres()).await;
}

/// How many secrets the database keeps, sealed.
async fn kept(on: &TestDatabase) -> u64 {
    rewrap::rewrap(&database(&on.url), &master_keys(), |_| {}).await.expect("it is done").before
}

#[tokio::test]
async fn a_secret_that_has_ended_is_shown_to_nobody_and_removed() {
    let (mut scene, _) = Scene::set_up(postgres()).await;
    let before = kept(&scene.service.database).await;
    scene.rotate("&grace_seconds=600").await;
    assert_eq!(kept(&scene.service.database).await, before + 1);
    scene.service.database.meddle("UPDATE tenant SET previous_expires_at = 1");
    assert!(scene.keys().await.1.is_none());
    assert_eq!(scene.fetch().await["previous_secret_expires_at"], Value::Null);
    let service = scene.service;
    until("it is removed", async || (kept(&service.database).await == before).then_some(())).await;
    service.stop().await;
}

#[tokio::test]
async fn a_version_that_knows_no_overlap_ends_it_by_rotating() {
    let (mut scene, _) = Scene::set_up(postgres()).await;
    scene.rotate("&grace_seconds=600").await;
    // Such a version writes the new secret and its time, and leaves the other columns.
    scene.service.database.meddle("UPDATE tenant SET secret_rotated_at = secret_rotated_at + 1");
    assert!(scene.keys().await.1.is_none());
    assert_eq!(scene.fetch().await["previous_secret_expires_at"], Value::Null);
    scene.service.stop().await;
}

#[tokio::test]
async fn an_overlap_has_its_bounds_and_grpc_knows_it_too() {
    let (scene, first) = Scene::set_up(sqlite()).await;
    for wrong in ["604801", "-1", "1.5", "week"] {
        let (status, refused) = scene.post("/rotate/tenant-secret", &format!("&grace_seconds={wrong}")).await;
        assert_eq!((status, refused["errors"][0]["field"].as_str()), (422, Some("grace_seconds")), "{refused}");
    }
    let mut tenants = TenantAdminClient::new(channel(&scene.service).await);
    let rotation = |grace_seconds| {
        admin(RotateTenantSecretRequest { tenant_id: scene.id.clone(), revoke_issued: false, grace_seconds })
    };
    let refused = tenants.rotate_tenant_secret(rotation(604_801)).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let (_, nothing) =
        scene.service.operator().call("GET", &format!("/fetch/tenant?tenant_id={}", scene.id), None).await;
    assert_eq!(nothing["data"]["secret_rotated_at"], Value::Null, "a refused rotation changes nothing");

    let rotated = tenants.rotate_tenant_secret(rotation(60)).await.expect("rotated").into_inner();
    assert!(rotated.previous_secret_expires_at.is_some() && rotated.tenant_secret != first);
    let request = || admin(TenantRequest { tenant_id: scene.id.clone() });
    let read = tenants.get_tenant(request()).await.expect("read").into_inner();
    assert_eq!(read.previous_secret_expires_at, rotated.previous_secret_expires_at);
    let revoked = tenants.revoke_previous_secret(request()).await.expect("revoked").into_inner();
    assert!(revoked.propagation.is_some() && revoked.tenant.expect("a tenant").previous_secret_expires_at.is_none());
    scene.service.stop().await;
}
