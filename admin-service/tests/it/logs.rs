//! The two logs: events that change nothing leave rows too, and a row that somebody altered in the database is found.

use std::net::IpAddr;

use admin_service::{
    access::RecordedAccess,
    log_chain::Head,
    server,
    store::{self, LogStore as _, SeaStore},
    verify_audit,
};
use jiff::SignedDuration;
use proto::{
    directory::v1::{GetTenantRequest, tenant_directory_client::TenantDirectoryClient},
    identity::v1::{
        IssueOperatorTokenRequest, MintVisitorTokenRequest, ProvisionOperatorRequest, identity_client::IdentityClient,
    },
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use service::{
    passed_on::{CLIENT, ClientProof},
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use wire::time::{from_unix_ms, now};

use crate::{
    grpc::{bytes, channel, gateway, with},
    support::{Service, TestDatabase, config, database, master_keys, postgres, sqlite},
};

/// What `verify-audit` prints, and whether it finds all well.
async fn verified(on: &TestDatabase, expected: Option<Head>) -> (String, bool) {
    verify_audit::verify(&database(&on.url), &master_keys(), [expected, None]).await.expect("it can be read")
}

fn head_of(printed: &str, log: &str) -> Head {
    let line = printed.lines().find(|line| line.starts_with(log)).expect("a line");
    line.rsplit(' ').next().expect("a head").parse().expect("a head")
}

async fn access_log(service: &Service) -> Vec<Value> {
    let (status, answer) = service.operator().call("GET", "/fetch/access-log", None).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["items"].as_array().expect("rows").clone()
}

async fn try_key(service: &Service, key: Option<&str>) -> reqwest::Response {
    let request = reqwest::Client::new().get(format!("http://{}/api/v1/fetch/tenants", service.rest));
    let request = match key {
        Some(key) => request.header("X-Admin-Key", key),
        None => request,
    };
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn tokens_wrong_keys_and_secrets_that_were_read_leave_their_rows() {
    let service = Service::start(sqlite()).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Watched"})).await;
    let (channel, tenant_id) = (channel(&service).await, bytes(&tenant.id));
    let mut identity = IdentityClient::new(channel.clone());
    let profile = ProvisionOperatorRequest {
        tenant_id: tenant_id.clone(),
        email: "a@example.com".to_owned(),
        display_name: "Ann".to_owned(),
        ..Default::default()
    };
    let made = identity.provision_operator(gateway(profile)).await.expect("made").into_inner();
    let operator_id = made.operator.expect("an operator").operator_id;
    let mut wanted = gateway(IssueOperatorTokenRequest {
        tenant_id: tenant_id.clone(),
        email: "a@example.com".to_owned(),
        ..Default::default()
    });
    wanted.metadata_mut().insert("x-request-id", "asked-1".parse().expect("metadata"));
    identity.issue_operator_token(wanted).await.expect("a token");
    let minted = MintVisitorTokenRequest {
        tenant_id: tenant_id.clone(),
        visitor_user_id: "mary".to_owned(),
        ttl_seconds: 600,
        ..Default::default()
    };
    identity.mint_visitor_token(gateway(minted)).await.expect("a token");
    let mut directory = TenantDirectoryClient::new(channel);
    for _ in 0..3 {
        let request = GetTenantRequest { tenant_id: tenant_id.clone() };
        directory.get_tenant(gateway(request)).await.expect("known");
    }
    let request = GetTenantRequest { tenant_id: tenant_id.clone() };
    directory.get_tenant(Request::new(request.clone())).await.expect_err("no token");
    directory.get_tenant(with(request, "authorization", "Bearer wrong")).await.expect_err("a wrong one");
    for key in [None, Some("wrong"), Some("also wrong")] {
        assert_eq!(try_key(&service, key).await.status(), StatusCode::UNAUTHORIZED);
    }

    let rows = access_log(&service).await;
    let of = |kind: &str| rows.iter().filter(|row| row["kind"] == kind).collect::<Vec<_>>();
    let count = |kind: &str| of(kind).iter().map(|row| row["count"].as_u64().expect("a number")).sum::<u64>();
    assert_eq!((count("refuse_operator"), count("refuse_service"), count("read_secret")), (3, 2, 3), "{rows:?}");
    for row in &rows {
        let address: IpAddr = row["address"].as_str().expect("text").parse().expect("an address");
        assert!(address.is_loopback(), "{row}");
    }
    for kind in ["read_secret", "issue_operator_token", "mint_visitor_token"] {
        assert_eq!(of(kind)[0]["tenant_id"], json!(tenant.id), "{kind}");
    }
    let issued = of("issue_operator_token")[0];
    let subject = issued["subject"].as_str().expect("text");
    assert!(subject.starts_with(&format!("operator:{operator_id} jti:")), "{subject}");
    assert_eq!((&issued["request_id"], &issued["actor"]), (&json!("asked-1"), &json!("tenant")));
    assert!(of("mint_visitor_token")[0]["subject"].as_str().is_some_and(|text| text.starts_with("visitor:mary jti:")));
    let (status, of_tenant) =
        service.operator().call("GET", &format!("/fetch/access-log?tenant_id={}&limit=2", tenant.id), None).await;
    assert_eq!((status, of_tenant["data"]["items"].as_array().map(Vec::len)), (200, Some(2)), "{of_tenant}");
    // Neither took a revision: they are no changes.
    let (_, audit) = service.operator().call("GET", "/fetch/audit-log", None).await;
    assert_eq!(audit["data"]["items"].as_array().map(Vec::len), Some(2), "{audit}");
    let database = service.stop().await;
    let (printed, is_well) = verified(&database, None).await;
    assert!(is_well && printed.contains("audit_log: intact; 2 rows verified"), "{printed}");
}

#[tokio::test]
async fn guessing_the_admin_key_is_slowed_and_the_log_says_how_often() {
    let service = Service::start(sqlite()).await;
    let mut refused = None;
    for attempt in 0..100 {
        let answer = try_key(&service, Some(&format!("guess-number-{attempt}"))).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let refused = refused.expect("a hundred guesses a minute are too many");
    let after: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=61).contains(&after));
    // The right key would tell a guesser that it is right.
    assert_eq!(try_key(&service, Some(e2e::world::ADMIN_KEY)).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let database = service.stop().await;
    let store = store::connect(&database_config(&database), &master_keys()).await.expect("it opens");
    let rows = store.access_log(None, None, 10).await.expect("reads").items;
    let counted: u64 = rows.iter().filter(|row| row.kind == "refuse_operator").map(|row| row.count).sum();
    assert_eq!(counted, 32, "{rows:?}");
    store.close().await.expect("it closes");
}

/// A gateway names its clients. A client that guesses keys does not lock out the other clients of the same gateway.
#[tokio::test]
async fn wrong_keys_that_a_gateway_passes_on_count_against_its_client() {
    let service = Service::start(sqlite()).await;
    let proof = ClientProof::new(&e2e::world::GRPC_TOKEN.parse().expect("a token"));
    let forged = ClientProof::new(&"a-token-that-is-not-the-gateways".parse().expect("a token"));
    let [guesser, operator] = ["198.51.100.7", "198.51.100.8"].map(|text| text.parse().expect("an address"));
    let call = async |proof: &ClientProof, client: IpAddr, key: &str| {
        let request = reqwest::Client::new().get(format!("http://{}/api/v1/fetch/tenants", service.rest));
        let named = proof.name(client, now().as_millisecond());
        request.header("X-Admin-Key", key).header(CLIENT, named).send().await.expect("an answer").status()
    };
    let mut refused = 0;
    while call(&proof, guesser, "wrong").await != StatusCode::TOO_MANY_REQUESTS {
        refused += 1;
        assert!(refused < 100, "it may guess for ever");
    }
    assert_eq!(call(&proof, operator, e2e::world::ADMIN_KEY).await, StatusCode::OK);
    // Who only claims to be a gateway is counted by its own address.
    assert_eq!(call(&forged, guesser, e2e::world::ADMIN_KEY).await, StatusCode::OK);
    let rows = access_log(&service).await;
    assert!(rows.iter().any(|row| row["kind"] == "refuse_operator" && row["address"] == "198.51.100.7"), "{rows:?}");
    service.stop().await;
}

fn database_config(on: &TestDatabase) -> admin_service::config::DatabaseConfig {
    database(&on.url)
}

#[tokio::test]
async fn what_is_done_to_the_logs_behind_the_services_back_is_found_out() {
    let service = Service::start(postgres()).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Chained"})).await;
    for _ in 0..4 {
        let (status, _) = operator.call("POST", &format!("/suspend/tenant?tenant_id={}", tenant.id), None).await;
        assert_eq!(status, 200);
    }
    try_key(&service, Some("wrong")).await;
    access_log(&service).await;
    // While the service runs.
    let (printed, is_well) = verified(&service.database, None).await;
    assert!(is_well && printed.contains("access_log: intact; 1 rows verified"), "{printed}");
    let head = head_of(&printed, "audit_log");
    assert_eq!(head.number, 5);
    for (sql, told) in [
        ("UPDATE audit_log SET actor = 'admin_key:other' WHERE revision = 2", "row 2 was altered"),
        ("UPDATE audit_log SET mac = NULL, chain_key = NULL WHERE revision = 2", "row 2 has no MAC"),
        ("DELETE FROM audit_log WHERE revision IN (2, 3)", "rows 2 to 3 are missing"),
        ("DELETE FROM audit_log WHERE revision = 5", "the tail is missing"),
        ("DELETE FROM audit_log WHERE revision = 5", "log_chain names row 5"),
        ("UPDATE log_chain SET number = 4 WHERE log = 'audit_log'", "the end was altered"),
        ("UPDATE audit_log SET revision = 0 WHERE revision = 1", "row 0 was inserted"),
        ("UPDATE audit_log SET revision = -1 WHERE revision = 1", "row -1 was inserted"),
        ("UPDATE log_chain SET anchor_through = 3 WHERE log = 'audit_log'", "the anchor was altered"),
        ("DELETE FROM access_log", "the end was altered"),
        ("UPDATE access_log SET count = 7", "row 1 was altered"),
        (
            "INSERT INTO access_log SELECT 2, kind, tenant_id, actor, subject, address, request_id, count, occurred_at, chain_key, \
          mac FROM access_log",
            "row 2 was altered, or does not follow",
        ),
    ] {
        // In a copy of the table, so that each is found out by itself.
        service.database.meddle(
            "CREATE TABLE audit_copy AS TABLE audit_log; CREATE TABLE access_copy AS TABLE access_log; \
                                 CREATE TABLE chain_copy AS TABLE log_chain",
        );
        service.database.meddle(sql);
        let (printed, is_well) = verified(&service.database, Some(head)).await;
        assert!(!is_well && printed.contains(told), "{sql}: {printed}");
        service.database.meddle(
            "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM audit_copy; DROP TABLE audit_copy; \
             DELETE FROM access_log; INSERT INTO access_log SELECT * FROM access_copy; DROP TABLE access_copy; \
             DELETE FROM log_chain; INSERT INTO log_chain SELECT * FROM chain_copy; DROP TABLE chain_copy",
        );
    }
    let (printed, is_well) = verified(&service.database, Some(head)).await;
    assert!(is_well, "{printed}");
    // If the attacker also moves the head that is kept beside the log, only the head that was noted elsewhere shows it.
    service.database.meddle(
        "DELETE FROM audit_log WHERE revision = 5; \
         UPDATE log_chain SET number = 4, link = (SELECT mac FROM audit_log WHERE revision = 4) WHERE log = 'audit_log'",
    );
    assert!(verified(&service.database, None).await.1 && !verified(&service.database, Some(head)).await.1);
    service.stop().await;
}

/// The newest rows, up to the head that was noted, are made to look like rows from before there was a chain.
#[tokio::test]
async fn a_chain_that_is_begun_anew_after_the_noted_head_is_found_out() {
    let service = Service::start(postgres()).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Chained"})).await;
    let suspend = format!("/suspend/tenant?tenant_id={}", tenant.id);
    operator.call("POST", &suspend, None).await;
    let head = head_of(&verified(&service.database, None).await.0, "audit_log");
    service.database.meddle(
        "UPDATE audit_log SET mac = NULL, chain_key = NULL, actor = 'admin_key:other'; \
         DELETE FROM log_chain WHERE log = 'audit_log'",
    );
    // The service begins a chain with the next change.
    let (status, answer) = operator.call("POST", &suspend, None).await;
    assert_eq!(status, 200, "{answer}");
    let (printed, is_well) = verified(&service.database, Some(head)).await;
    assert!(!is_well && printed.contains("row 2 is another than the expected head's"), "{printed}");
    service.stop().await;
}

fn old(index: i64) -> RecordedAccess {
    RecordedAccess {
        kind: "refuse_operator".to_owned(),
        tenant_id: None,
        actor: "unknown".to_owned(),
        subject: String::new(),
        address: "192.0.2.1".to_owned(),
        request_id: format!("r{index}"),
        count: 1,
        occurred_at: from_unix_ms(index),
    }
}

async fn prunes(on: TestDatabase) {
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    assert!(!store.prune_access(now()).await.expect("nothing to do"));
    let rows: Vec<RecordedAccess> = (1..=2_500).map(old).collect();
    store.write_access(&rows).await.expect("written");
    let kept = RecordedAccess { occurred_at: from_unix_ms(now().as_millisecond()), ..old(1) };
    store.write_access(std::slice::from_ref(&kept)).await.expect("written");
    let mut steps = 0;
    while store.prune_access(now() - SignedDuration::from_hours(1)).await.expect("pruned") {
        steps += 1;
    }
    assert_eq!(steps, 3, "in small steps");
    assert_eq!(store.access_log(None, None, 10).await.expect("reads").items, [kept]);
    store.write_access(&[old(7)]).await.expect("written after a pruning");
    store.close().await.expect("it closes");
    let (printed, is_well) = verified(&on, None).await;
    assert!(is_well && printed.contains("access_log: intact; 2 rows verified"), "{printed}");
    assert_eq!(head_of(&printed, "access_log").number, 2_502);
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_leaves_a_sealed_anchor_and_no_gap() {
    prunes(sqlite()).await;
    prunes(postgres()).await;
}

/// Pruning seals what it takes away: it must not seal what somebody has altered.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_made_to_look_old_are_not_pruned() {
    let on = postgres();
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    let recent = RecordedAccess { occurred_at: from_unix_ms(now().as_millisecond()), ..old(1) };
    store.write_access(&[recent.clone(), recent.clone(), recent]).await.expect("written");
    on.meddle("UPDATE access_log SET occurred_at = 0 WHERE number <= 2");
    let refused = store.prune_access(now() - SignedDuration::from_hours(1)).await.expect_err("refused").to_string();
    assert!(refused.contains("row 1 was altered"), "{refused}");
    assert_eq!(store.access_log(None, None, 10).await.expect("reads").items.len(), 3);
    store.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_write_one_access_log() {
    let on = postgres();
    let one = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    let other = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    one.write_access(&[old(1)]).await.expect("written");
    let write = |store: SeaStore| async move {
        for index in 0..20 {
            store.write_access(&[old(index), old(index + 100)]).await.expect("written");
        }
    };
    tokio::join!(write(one.clone()), write(other.clone()));
    let (printed, is_well) = verified(&on, None).await;
    assert!(is_well && printed.contains("access_log: intact; 81 rows verified"), "{printed}");
    one.close().await.expect("it closes");
    other.close().await.expect("it closes");
}

/// Data of the commit before: its rows are in no chain, and what follows is.
#[tokio::test(flavor = "multi_thread")]
async fn rows_from_before_the_chain_stay_and_what_follows_is_chained() {
    let service = Service::start(postgres()).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Before"})).await;
    let suspend = format!("/suspend/tenant?tenant_id={}", tenant.id);
    service.operator().call("POST", &suspend, None).await;
    let database = service.stop().await;
    database.meddle(
        "ALTER TABLE audit_log DROP COLUMN chain_key, DROP COLUMN mac; DROP TABLE access_log; DROP TABLE log_chain; \
         DELETE FROM seaql_migrations WHERE version = 'm0006_logs'",
    );
    let refused = verify_audit::verify(&self::database(&database.url), &master_keys(), [None, None])
        .await
        .expect_err("there is no chain yet");
    assert!(refused.contains("start it once"), "{refused}");
    let service = Service::start(database).await;
    assert_eq!(service.operator().call("POST", &suspend, None).await.0, 200);
    let (printed, is_well) = verified(&service.database, None).await;
    assert!(is_well && printed.contains("audit_log: intact; 1 rows verified, 2 from before the chain"), "{printed}");
    let (_, listed) = service.operator().call("GET", "/fetch/audit-log", None).await;
    assert_eq!(listed["data"]["items"].as_array().map(Vec::len), Some(3));
    service.stop().await;
}

/// A row that was inserted without a master key neither signs nor is published.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_signing_key_is_not_published() {
    let service = Service::start(postgres()).await;
    let keys = async |service: &Service| {
        let answer = reqwest::get(format!("http://{}/.well-known/jwks.json", service.rest)).await.expect("an answer");
        let jwks: Value = answer.json().await.expect("JSON");
        let keys = jwks["keys"].as_array().expect("keys").iter();
        keys.map(|key| key["kid"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let ours = keys(&service).await;
    let database = service.stop().await;
    // One with another's seal, one with a seal of its own making, both newer; and one whose public half alone is another.
    database.meddle(
        "INSERT INTO signing_key (id, public, sealed_private, created_at) \
         SELECT 'ffffffff-ffff-7fff-bfff-ffffffffffff', public, sealed_private, created_at FROM signing_key; \
         INSERT INTO signing_key (id, public, sealed_private, created_at) \
         VALUES ('ffffffff-ffff-7fff-bfff-fffffffffffe', decode(repeat('07', 32), 'hex'), decode(repeat('07', 76), 'hex'), 1)",
    );
    let service = Service::start(database).await;
    assert_eq!(keys(&service).await, ours);
    let database = service.stop().await;
    database.meddle("UPDATE signing_key SET public = decode(repeat('07', 32), 'hex')");
    let metrics = Metrics::default();
    let refused =
        server::start(config(&database.url), &metrics, HttpServerMetrics::new(&metrics), CancellationToken::new());
    assert!(refused.await.expect_err("no key is left").to_string().contains("no signing key opens"));
}
