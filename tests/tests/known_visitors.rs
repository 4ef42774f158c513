//! Visitors that the tenant's backend knows, through real processes: one conversation for app and backend, and an end that is an
//! end.

use e2e::{
    signed::Tenant,
    visitor::{PAGE, Visitor},
    world::World,
};
use serde_json::{Value, json};

async fn call(world: &World, tenant: &Tenant, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map_or_else(String::new, |body| body.to_string());
    let method = method.parse().expect("a method");
    let request = tenant.request(&reqwest::Client::new(), method, &world.relay_url(path), body);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json::<Value>().await.expect("an envelope"))
}

async fn mint(world: &World, tenant: &Tenant, visitor: &str) -> String {
    let (status, answer) =
        call(world, tenant, "POST", "mint/visitor-token", Some(json!({"visitor_user_id": visitor}))).await;
    assert_eq!((status, &answer["success"]), (201, &json!(true)), "{answer}");
    answer["data"]["token"].as_str().expect("a token").to_owned()
}

async fn conversations(world: &World, tenant: &Tenant, visitor: &str) -> Vec<String> {
    let path = format!("fetch/conversations?visitor_user_id={visitor}");
    let (status, answer) = call(world, tenant, "GET", &path, None).await;
    assert_eq!(status, 200, "{answer}");
    let items = answer["data"]["items"].as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_and_the_tenants_backend_share_one_conversation() {
    let world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "App", "rate_limit_per_min": 6000})).await;
    let visitor_id = "mary+x@example.com";
    let token = mint(&world, &tenant, visitor_id).await;

    // Nobody has said anything: there is no conversation yet.
    let mut app = Visitor::connect_from(world.relay, &token, None).await;
    let welcome = app.hear("welcome").await;
    assert_eq!((&welcome["conversation_id"], &welcome["history"]), (&json!(null), &json!([])));
    assert!(conversations(&world, &tenant, visitor_id).await.is_empty());
    let mut second = Visitor::connect_from(world.relay, &mint(&world, &tenant, visitor_id).await, Some(PAGE)).await;
    assert_eq!(second.hear("welcome").await["session_id"], welcome["session_id"], "one visitor is one session");

    // The first message begins it, for both.
    let client_id = app.ask("hello").await;
    while app.next().await != e2e::visitor::Said::Frame(json!({"type": "typing", "role": "bot"})) {}
    let ack = app.hear("ack").await;
    assert_eq!(ack["client_id"], client_id);
    let joined = second.hear("welcome").await;
    let told = match &joined["history"][0] {
        Value::Null => second.hear("message").await["message"].clone(),
        told => told.clone(),
    };
    assert_eq!((&told["content"], &joined["conversation_id"]), (&json!("hello"), &ack["conversation_id"]));
    let begun = conversations(&world, &tenant, visitor_id).await;
    assert_eq!(begun.len(), 1);

    // What the tenant's backend says there reaches the app, and a later connection joins it.
    let path = format!("add/message?conversation_id={}", begun[0]);
    let body = json!({"role": "agent", "content": "Your parcel is on its way."});
    assert_eq!(call(&world, &tenant, "POST", &path, Some(body)).await.0, 201);
    let mut later = Visitor::connect_from(world.relay, &mint(&world, &tenant, visitor_id).await, None).await;
    let welcome = later.hear("welcome").await;
    assert_eq!(welcome["conversation_id"], json!(begun[0]));
    let history = welcome["history"].as_array().expect("a list");
    assert!(history.iter().any(|message| message["content"] == "Your parcel is on its way."), "{history:?}");

    // A conversation that the backend begins is joined by an app that waits.
    let mut waiting = Visitor::connect_from(world.relay, &mint(&world, &tenant, "user-2").await, None).await;
    assert_eq!(waiting.hear("welcome").await["conversation_id"], json!(null));
    let (_, made) =
        call(&world, &tenant, "POST", "create/conversation", Some(json!({"visitor_user_id": "user-2"}))).await;
    let path = format!("add/message?conversation_id={}", made["data"]["id"].as_str().expect("an id"));
    let body = json!({"role": "agent", "content": "May I help?"});
    assert_eq!(call(&world, &tenant, "POST", &path, Some(body)).await.0, 201);
    // It is told as it is said, or stands in the welcome to the conversation.
    loop {
        let frame = waiting.hear_any().await;
        if frame["message"]["content"] == "May I help?" || frame["history"][0]["content"] == "May I help?" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_revocation_has_returned_its_tokens_open_nothing_and_others_go_on() {
    let world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "App", "rate_limit_per_min": 6000})).await;
    let (old, other) = (mint(&world, &tenant, "user-1").await, mint(&world, &tenant, "user-2").await);
    let mut revoked = Visitor::connect_from(world.relay, &old, None).await;
    revoked.hear("welcome").await;
    let mut kept = Visitor::connect_from(world.relay, &other, None).await;
    kept.hear("welcome").await;
    let revoke = Some(json!({"visitor_user_id": "user-1"}));
    let (status, answer) = call(&world, &tenant, "POST", "revoke/visitor", revoke.clone()).await;
    assert_eq!(status, 200, "{answer}");
    // It has returned: what is said now reaches no history.
    revoked.try_send(&json!({"type": "message", "client_id": uuid::Uuid::new_v4(), "content": "late"})).await;
    assert_eq!(revoked.closed().await, 4401);
    assert!(conversations(&world, &tenant, "user-1").await.is_empty());
    assert_eq!(Visitor::connect_from(world.relay, &old, None).await.closed().await, 4401);
    let new = mint(&world, &tenant, "user-1").await;
    let mut again = Visitor::connect_from(world.relay, &new, None).await;
    again.hear("welcome").await;
    // The visitor may do so as well, with its token; and again, which ends nothing that is newer.
    let newer = mint(&world, &tenant, "user-1").await;
    for _ in 0..2 {
        let request = reqwest::Client::new().post(format!("http://{}/api/v1/end/visitor-session", world.relay));
        assert_eq!(request.bearer_auth(&new).send().await.expect("an answer").status(), 200);
        assert_eq!(Visitor::connect_from(world.relay, &newer, None).await.closed().await, 4401);
    }
    assert_eq!(again.closed().await, 4401);
    let new = mint(&world, &tenant, "user-1").await;
    let mut again = Visitor::connect_from(world.relay, &new, None).await;
    again.hear("welcome").await;
    // Repeating it ends what was minted since.
    assert_eq!(call(&world, &tenant, "POST", "revoke/visitor", revoke).await.0, 200);
    assert_eq!(again.closed().await, 4401);

    // A rotation leaves tokens alone, unless it is asked to end them.
    let rotate = |query: &str| format!("/rotate/tenant-secret?tenant_id={}{query}", tenant.id);
    let (status, rotated) = world.operator().call("POST", &rotate(""), None).await;
    assert_eq!(status, 200, "{rotated}");
    kept.ask("still here").await;
    while kept.hear_any().await["type"] != "ack" {}
    let (status, body) = world.operator().call("POST", &rotate("&revoke_issued=maybe"), None).await;
    assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("revoke_issued")));
    let (status, rotated) = world.operator().call("POST", &rotate("&revoke_issued=true"), None).await;
    assert_eq!(status, 200, "{rotated}");
    assert_eq!(kept.closed().await, 4401);
    let mut tenant = tenant.clone();
    tenant.secret = rotated["data"]["tenant_secret"].as_str().expect("a secret").to_owned();
    let mut newest = Visitor::connect_from(world.relay, &mint(&world, &tenant, "user-2").await, None).await;
    let welcome = newest.hear("welcome").await;
    assert_eq!(welcome["history"][0]["content"], "still here");
}
