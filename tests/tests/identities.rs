//! A widget's visitor signs in, through real processes: the conversation goes on on every device, and an end is an end.

use e2e::{
    signed::Tenant,
    visitor::{PAGE, Visitor, begin_session, from_page},
    world::World,
};
use serde_json::{Value, json};

async fn signed(world: &World, tenant: &Tenant, path: &str, body: Value) -> Value {
    let request =
        tenant.request(&reqwest::Client::new(), reqwest::Method::POST, &world.relay_url(path), body.to_string());
    let answer: Value = request.send().await.expect("an answer").json().await.expect("an envelope");
    assert_eq!(answer["success"], true, "{answer}");
    answer["data"].clone()
}

async fn mint(world: &World, tenant: &Tenant, visitor: &str) -> String {
    let minted = signed(world, tenant, "mint/visitor-token", json!({"visitor_user_id": visitor})).await;
    minted["token"].as_str().expect("a token").to_owned()
}

async fn page(world: &World, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("http://{}/api/v1/{path}", world.relay)).bearer_auth(token);
    let answer = from_page(request.json(body), PAGE).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("an envelope"))
}

fn token(data: &Value) -> String {
    data["visitor_token"].as_str().expect("a token").to_owned()
}

async fn welcome(world: &World, token: &str) -> (Visitor, Value) {
    let mut visitor = Visitor::connect(world.relay, token).await;
    let welcome = visitor.hear("welcome").await;
    (visitor, welcome)
}

async fn say(visitor: &mut Visitor, text: &str) {
    visitor.ask(text).await;
    while visitor.hear_any().await["type"] != "ack" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn one_visitor_has_one_conversation_on_every_device_until_it_is_revoked() {
    let world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;
    let anonymous = token(&begin_session(world.relay, &tenant).await);
    let (mut visitor, before) = welcome(&world, &anonymous).await;
    say(&mut visitor, "Where is my order?").await;

    // The visitor signs in on the laptop.
    let identity = json!({"identity_token": mint(&world, &tenant, "ada").await, "name": "Ada"});
    let (status, answer) = page(&world, "identify/visitor", &anonymous, &identity).await;
    assert_eq!(status, 201, "{answer}");
    let laptop = token(&answer["data"]);
    // It has returned: the session of before is over everywhere.
    let late = json!({"type": "message", "client_id": uuid::Uuid::new_v4(), "content": "late"});
    visitor.try_send(&late).await;
    assert_eq!(visitor.closed().await, 4401);
    assert_eq!(Visitor::connect(world.relay, &anonymous).await.closed().await, 4401);
    assert_eq!(page(&world, "refresh/visitor-token", &anonymous, &json!({})).await.0, 401);
    // A caller who lost the answer asks again and gets the same session.
    let (status, again) = page(&world, "identify/visitor", &anonymous, &identity).await;
    assert_eq!((status, &again["data"]["session_id"]), (201, &answer["data"]["session_id"]));

    let (mut on_laptop, found) = welcome(&world, &laptop).await;
    assert_eq!(found["conversation_id"], before["conversation_id"]);
    assert_eq!(found["history"][0]["content"], "Where is my order?");
    assert!(!found.to_string().contains("late"));

    // And on the phone, whose widget begins as a stranger.
    let stranger = token(&begin_session(world.relay, &tenant).await);
    let _strangers = welcome(&world, &stranger).await;
    let identity = json!({"identity_token": mint(&world, &tenant, "ada").await});
    let (status, answer) = page(&world, "identify/visitor", &stranger, &identity).await;
    assert_eq!(status, 201, "{answer}");
    let phone = token(&answer["data"]);
    let (mut on_phone, found) = welcome(&world, &phone).await;
    assert_eq!(found["conversation_id"], before["conversation_id"]);
    say(&mut on_phone, "It is blue.").await;
    while on_laptop.hear("message").await["message"]["content"] != "It is blue." {}
    // The token is refreshed as any other.
    let (status, refreshed) = page(&world, "refresh/visitor-token", &phone, &json!({})).await;
    assert_eq!(status, 200, "{refreshed}");
    let refreshed = token(&refreshed["data"]);
    let (mut newer, _) = welcome(&world, &refreshed).await;

    // Somebody else on the laptop finds nothing of it.
    let other = json!({"identity_token": mint(&world, &tenant, "ben").await});
    let (status, answer) = page(&world, "identify/visitor", &laptop, &other).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(on_laptop.closed().await, 4401);
    let (mut bens, found) = welcome(&world, &token(&answer["data"])).await;
    assert_eq!((&found["conversation_id"], &found["history"]), (&json!(null), &json!([])));

    // The tenant's backend signs the visitor out everywhere.
    let old = mint(&world, &tenant, "ada").await;
    signed(&world, &tenant, "revoke/visitor", json!({"visitor_user_id": "ada"})).await;
    on_phone.try_send(&late).await;
    assert_eq!([on_phone.closed().await, newer.closed().await], [4401, 4401]);
    for token in [&phone, &refreshed] {
        assert_eq!(Visitor::connect(world.relay, token).await.closed().await, 4401);
        let (status, refused) = page(&world, "refresh/visitor-token", token, &json!({})).await;
        assert_eq!((status, &refused["error_code"]), (401, &json!("invalid_visitor_token")));
        let (status, _) = page(&world, "send/visitor-frame", token, &json!({"type": "typing"})).await;
        assert_eq!(status, 401);
    }
    let fresh = token(&begin_session(world.relay, &tenant).await);
    let (status, refused) = page(&world, "identify/visitor", &fresh, &json!({"identity_token": old})).await;
    assert_eq!((status, &refused["error_code"]), (401, &json!("invalid_identity_token")));
    say(&mut bens, "I am still here.").await;

    // A leaked secret may have minted whatever was minted.
    let path = format!("/rotate/tenant-secret?tenant_id={}&revoke_issued=true", tenant.id);
    assert_eq!(world.operator().call("POST", &path, None).await.0, 200);
    assert_eq!(bens.closed().await, 4401);
    let (mut kept, _) = welcome(&world, &fresh).await;
    say(&mut kept, "Nobody vouched for me.").await;
}
