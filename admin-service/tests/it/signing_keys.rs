//! The keys that sign tokens: rotated with an overlap, retired, and never by one that the database alone vouches for.

use admin_service::verify_audit;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::world::Operator;
use proto::identity::v1::{
    GetSigningKeysRequest, MintVisitorTokenRequest, MintVisitorTokenResponse, identity_client::IdentityClient,
};
use serde_json::{Value, json};

use crate::{
    grpc::{bytes, channel, gateway},
    support::{Service, TestDatabase, database, master_keys, postgres, sqlite},
};

/// The `kid`s of the key set that a replica answers over REST, in its order.
async fn published(service: &Service) -> Vec<String> {
    let answer = reqwest::get(format!("http://{}/.well-known/jwks.json", service.rest)).await.expect("an answer");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=60", "as the gateway's");
    let jwks: Value = answer.json().await.expect("JSON");
    let mut identity = IdentityClient::new(channel(service).await);
    let over_grpc = identity.get_signing_keys(gateway(GetSigningKeysRequest {})).await.expect("keys").into_inner();
    assert_eq!(serde_json::from_str::<Value>(&over_grpc.jwks_json).expect("JSON"), jwks);
    let ids = jwks["keys"].as_array().expect("keys").iter().map(|key| key["kid"].as_str().expect("text"));
    // The key of webhooks signs no token.
    ids.filter(|id| !id.starts_with("wh_")).map(str::to_owned).collect()
}

/// The `kid` of a token that is issued now.
async fn signed_by(service: &Service, tenant_id: &str) -> String {
    let minted = MintVisitorTokenRequest {
        tenant_id: bytes(tenant_id),
        visitor_user_id: "mary".to_owned(),
        ttl_seconds: 600,
        ..Default::default()
    };
    let mut identity = IdentityClient::new(channel(service).await);
    let MintVisitorTokenResponse { token, .. } =
        identity.mint_visitor_token(gateway(minted)).await.expect("a token").into_inner();
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

/// Every key and its state, newest first.
async fn states(operator: &Operator) -> Vec<(String, String)> {
    let (status, answer) = operator.call("GET", "/fetch/signing-keys", None).await;
    assert_eq!(status, 200, "{answer}");
    let text = |key: &Value, field: &str| key[field].as_str().expect("text").to_owned();
    let keys = answer["data"]["items"].as_array().expect("keys").iter();
    keys.map(|key| (text(key, "signing_key_id"), text(key, "state"))).collect()
}

async fn rotate(operator: &Operator, delay: &str) -> String {
    let (status, answer) = operator.call("POST", &format!("/rotate/signing-key{delay}"), None).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"]["propagation"]["gateways"], 0, "{answer}");
    answer["data"]["signing_key_id"].as_str().expect("an id").to_owned()
}

async fn retire(operator: &Operator, id: &str) -> (u16, Value) {
    operator.call("POST", &format!("/retire/signing-key?signing_key_id={id}"), None).await
}

async fn a_key_is_rotated_and_retired(on: TestDatabase) {
    let service = Service::start(on).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Signed"})).await;
    let [first] = published(&service).await.try_into().expect("one key");
    assert_eq!(states(&operator).await, [(first.clone(), "signs".to_owned())]);

    // The new key is in the key set at once, and signs later: verifiers that cache the key set have fetched it by then.
    let next = rotate(&operator, "").await;
    assert_eq!(published(&service).await, [next.clone(), first.clone()]);
    assert_eq!(signed_by(&service, &tenant.id).await, first);
    let named = |states: &[(&String, &str)]| {
        states.iter().map(|(id, state)| ((*id).clone(), (*state).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(states(&operator).await, named(&[(&next, "next"), (&first, "signs")]));
    let (status, refused) = retire(&operator, &first).await;
    assert_eq!((status, &refused["error_code"]), (409, &json!("signing_key_in_use")));
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("signs_after_seconds=0")), "{refused}");

    let now = rotate(&operator, "?signs_after_seconds=0").await;
    assert_eq!(signed_by(&service, &tenant.id).await, now);
    // The one that had not begun is retired: it would have taken over later.
    assert_eq!(states(&operator).await, named(&[(&now, "signs"), (&next, "retired"), (&first, "verifies")]));
    for _ in 0..2 {
        let (status, retired) = retire(&operator, &first).await;
        assert_eq!((status, &retired["data"]["state"]), (200, &json!("retired")), "{retired}");
        assert!(retired["data"]["retired_at"].is_string(), "{retired}");
    }
    assert_eq!(published(&service).await, std::slice::from_ref(&now));
    // One that has not signed yet may go too.
    let another = rotate(&operator, "").await;
    assert_eq!(retire(&operator, &another).await.0, 200);
    assert_eq!(retire(&operator, &now).await.0, 409, "the last one");
    assert_eq!(published(&service).await, std::slice::from_ref(&now));

    // Who did it is in the audit log, of no tenant.
    let (_, log) = operator.call("GET", "/fetch/audit-log", None).await;
    let rows = log["data"]["items"].as_array().expect("rows");
    let done: Vec<_> = rows.iter().map(|row| (row["action"].as_str().expect("text"), &row["tenant_id"])).collect();
    let (none, of_tenant) = (Value::Null, json!(tenant.id));
    assert_eq!(
        done,
        [
            ("retire_signing_key", &none),
            ("rotate_signing_key", &none),
            ("retire_signing_key", &none),
            ("rotate_signing_key", &none),
            ("rotate_signing_key", &none),
            ("provision_tenant", &of_tenant)
        ]
    );
    assert_eq!(
        (&rows[2]["subject"], &rows[2]["changed_fields"]),
        (&json!(format!("signing_key:{first}")), &json!(["retired_at"]))
    );
    // The key that was made, and the one that it retired.
    assert_eq!(
        (&rows[3]["subject"], &rows[3]["changed_fields"]),
        (&json!(format!("signing_key:{now}")), &json!([format!("signing_key:{next}")]))
    );
    let (_, of_tenant) = operator.call("GET", &format!("/fetch/audit-log?tenant_id={}", tenant.id), None).await;
    assert_eq!(of_tenant["data"]["items"].as_array().map(Vec::len), Some(1), "{of_tenant}");

    // All of it is there after a restart, and the chain holds.
    let service = Service::start(service.stop().await).await;
    assert_eq!(published(&service).await, std::slice::from_ref(&now));
    assert_eq!(signed_by(&service, &tenant.id).await, now);
    let on = service.stop().await;
    let (printed, is_well) =
        verify_audit::verify(&database(&on.url), &master_keys(), [None, None]).await.expect("it can be read");
    assert!(is_well, "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_and_retired_on_sqlite() {
    a_key_is_rotated_and_retired(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_and_retired_on_postgres() {
    a_key_is_rotated_and_retired(postgres()).await;
}

#[tokio::test]
async fn wrong_questions_are_told_what_is_wrong() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    for (method, path, status, code, told) in [
        ("POST", "/rotate/signing-key?signs_after_seconds=86401", 422, "validation_failed", "signs_after_seconds"),
        ("POST", "/rotate/signing-key?signs_after_seconds=-1", 422, "validation_failed", "signs_after_seconds"),
        ("POST", "/rotate/signing-key?signs_after_seconds=1.5", 422, "validation_failed", "signs_after_seconds"),
        ("POST", "/rotate/signing-key?signs_after_seconds=0&signs_after_seconds=1", 422, "validation_failed", "twice"),
        (
            "POST",
            "/rotate/signing-key?signs_after_seconds=99999999999999999999",
            422,
            "validation_failed",
            "signs_after_seconds",
        ),
        ("POST", "/retire/signing-key", 422, "validation_failed", "signing_key_id"),
        ("POST", "/retire/signing-key?signing_key_id=1", 422, "validation_failed", "signing_key_id"),
        (
            "POST",
            "/retire/signing-key?signing_key_id=019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
            404,
            "signing_key_not_found",
            "fetch/signing-keys",
        ),
    ] {
        let (answered, answer) = operator.call(method, path, None).await;
        assert_eq!((answered, &answer["error_code"]), (status, &json!(code)), "{path}: {answer}");
        assert!(answer.to_string().contains(told), "{path}: {answer}");
    }
    for _ in 0..7 {
        rotate(&operator, "?signs_after_seconds=0").await;
    }
    let (status, answer) = operator.call("POST", "/rotate/signing-key", None).await;
    assert_eq!((status, &answer["error_code"]), (409, &json!("limit_reached")), "{answer}");
    assert!(answer["message"].as_str().is_some_and(|text| text.contains("8 signing keys")), "{answer}");
    // Nobody without the admin key.
    for (method, path) in
        [("POST", "rotate/signing-key"), ("POST", "retire/signing-key"), ("GET", "fetch/signing-keys")]
    {
        let url = format!("http://{}/api/v1/{path}", service.rest);
        let call = reqwest::Client::new().request(method.parse().expect("a method"), url);
        assert_eq!(call.send().await.expect("an answer").status(), 401, "{path}");
    }
}

/// Of many changes at once each has its turn: there are never more keys than there may be, and always one that signs.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_and_retirements_at_once_leave_one_key_that_signs() {
    let database = postgres();
    let replicas = [Service::start(database.shared()).await, Service::start(database.shared()).await];
    let tenant = replicas[0].operator().provision(json!({"tenant_name": "Signed"})).await;
    let rotations = (0..12).map(|turn| {
        let operator = replicas[turn % 2].operator();
        async move { operator.call("POST", "/rotate/signing-key?signs_after_seconds=0", None).await.0 }
    });
    let mut answered = futures_util::future::join_all(rotations).await;
    answered.sort_unstable();
    assert_eq!(answered, [vec![200; 7], vec![409; 5]].concat(), "eight at most");
    let keys = published(&replicas[0]).await;
    assert_eq!(keys, published(&replicas[1]).await);
    assert_eq!(keys.len(), 8);
    // All of them at once, on both replicas: the one that signs is left.
    let retirements = keys.iter().flat_map(|id| [(id, &replicas[0]), (id, &replicas[1])]).map(|(id, replica)| {
        let operator = replica.operator();
        async move { (id, retire(&operator, id).await.0) }
    });
    let answered = futures_util::future::join_all(retirements).await;
    let [left] = published(&replicas[1]).await.try_into().expect("one key");
    for (id, status) in answered {
        assert_eq!(status, if *id == left { 409 } else { 200 });
    }
    for replica in &replicas {
        assert_eq!(signed_by(replica, &tenant.id).await, left);
    }
}

/// Keys from before migration 8 sign from the start: their rows have no `signs_from`.
#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_key_goes_on_signing() {
    for on in [sqlite(), postgres()] {
        let service = Service::start(on).await;
        let tenant = service.operator().provision(json!({"tenant_name": "Kept"})).await;
        let before = published(&service).await;
        let on = service.stop().await;
        let raw = sea_orm::Database::connect(on.url.as_str()).await.expect("it opens");
        for statement in [
            "ALTER TABLE signing_key DROP COLUMN signs_from",
            "ALTER TABLE signing_key DROP COLUMN retired_at",
            "DELETE FROM seaql_migrations WHERE version = 'm0008_signing_keys'",
        ] {
            sea_orm::ConnectionTrait::execute_unprepared(&raw, statement).await.expect(statement);
        }
        raw.close().await.expect("it closes");
        let service = Service::start(on).await;
        assert_eq!(published(&service).await, before);
        assert_eq!(signed_by(&service, &tenant.id).await, before[0]);
        let newer = rotate(&service.operator(), "?signs_after_seconds=0").await;
        assert_eq!(signed_by(&service, &tenant.id).await, newer);
        service.stop().await;
    }
}

/// A newer key that the master keys do not open never signs. The key that signs still cannot be retired.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_signs_is_kept_where_a_newer_one_does_not_open() {
    let service = Service::start(postgres()).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Signed"})).await;
    let [ours] = published(&service).await.try_into().expect("one key");
    let on = service.stop().await;
    on.meddle(
        "INSERT INTO signing_key (id, public, sealed_private, created_at, signs_from) \
         SELECT 'ffffffff-ffff-7fff-bfff-ffffffffffff', public, sealed_private, created_at, signs_from FROM signing_key",
    );
    let service = Service::start(on).await;
    let operator = service.operator();
    let stranger = "ffffffff-ffff-7fff-bfff-ffffffffffff".to_owned();
    let unreadable = (stranger.clone(), "unreadable".to_owned());
    assert_eq!(states(&operator).await, [unreadable, (ours.clone(), "signs".to_owned())]);
    assert_eq!(retire(&operator, &ours).await.0, 409, "nothing could sign without it");
    assert_eq!(signed_by(&service, &tenant.id).await, ours);
    // The stranger's may go.
    assert_eq!(retire(&operator, &stranger).await.0, 200);
    assert_eq!(states(&operator).await, [(stranger, "retired".to_owned()), (ours, "signs".to_owned())]);
}

/// No replica signs or publishes by what it knew before another one's change.
#[tokio::test(flavor = "multi_thread")]
async fn every_replica_signs_with_the_key_that_another_one_made() {
    let database = postgres();
    let one = Service::start(database.shared()).await;
    let other = Service::start(database.shared()).await;
    let tenant = one.operator().provision(json!({"tenant_name": "Signed"})).await;
    let first = signed_by(&other, &tenant.id).await;
    let second = rotate(&one.operator(), "?signs_after_seconds=0").await;
    assert_eq!(signed_by(&other, &tenant.id).await, second);
    assert_eq!(published(&other).await, [second.clone(), first.clone()]);
    assert_eq!(retire(&other.operator(), &first).await.0, 200);
    assert_eq!(published(&one).await, std::slice::from_ref(&second));
    assert_eq!(signed_by(&one, &tenant.id).await, second);
}
