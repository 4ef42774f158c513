//! A key that signs visitors' tokens is rotated and retired while they talk: what it signed opens nothing on any gateway from the
//! moment its retirement returns.

use std::net::SocketAddr;

use e2e::{
    process::Process,
    visitor::{PAGE, Visitor, begin_session, from_page},
    world::{World, gateway_environment, until_ready},
};
use serde_json::{Value, json};

fn token(session: &Value) -> &str {
    session["visitor_token"].as_str().expect("a token")
}

async fn refresh(relay: SocketAddr, session: &Value) -> (u16, Value) {
    let call = reqwest::Client::new().post(format!("http://{relay}/api/v1/refresh/visitor-token"));
    let answer = from_page(call.bearer_auth(token(session)), PAGE).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("an envelope"))
}

/// Says something and waits until the chat backend has it.
async fn is_heard(visitor: &mut Visitor) {
    let client_id = visitor.ask("Still there?").await;
    while visitor.hear_any().await["client_id"] != client_id {}
}

async fn published(relay: SocketAddr) -> Vec<String> {
    let answer = reqwest::get(format!("http://{relay}/.well-known/jwks.json")).await.expect("an answer");
    let jwks: Value = answer.json().await.expect("JSON");
    let ids = jwks["keys"].as_array().expect("keys").iter().map(|key| key["kid"].as_str().expect("text"));
    // The key of webhooks signs no token.
    ids.filter(|id| !id.starts_with("wh_")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_keys_tokens_open_nothing_once_the_call_returns() {
    let world = World::start(&[]).await;
    let operator = world.operator();
    let other = Process::start("relay-gateway", &[], &gateway_environment(world.grpc, world.backend_address));
    let relays = [world.relay, other.address("gateway")];
    until_ready(relays[1]).await;
    let tenant = operator.provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;
    let [first] = published(relays[0]).await.try_into().expect("one key");

    let mut talking = Vec::new();
    for relay in relays {
        let session = begin_session(relay, &tenant).await;
        let mut visitor = Visitor::connect(relay, token(&session)).await;
        visitor.hear("welcome").await;
        talking.push((relay, session, visitor));
    }

    let (status, rotated) = operator.call("POST", "/rotate/signing-key?signs_after_seconds=0", None).await;
    assert_eq!(status, 200, "{rotated}");
    let second = rotated["data"]["signing_key_id"].as_str().expect("an id").to_owned();
    let spread = &rotated["data"]["propagation"];
    assert_eq!((&spread["gateways"], &spread["acknowledged"]), (&json!(2), &json!(2)), "{rotated}");
    let mut later = Vec::new();
    for (relay, session, visitor) in &mut talking {
        assert_eq!(published(*relay).await, [second.clone(), first.clone()]);
        // What the old key signed goes on: the socket, and its token, which is refreshed into one of the new key's.
        is_heard(visitor).await;
        let (status, refreshed) = refresh(*relay, session).await;
        assert_eq!(status, 200, "{refreshed}");
        let mut visitor = Visitor::connect(*relay, token(&refreshed["data"])).await;
        visitor.hear("welcome").await;
        later.push((*relay, refreshed["data"].clone(), visitor));
    }

    let path = format!("/retire/signing-key?signing_key_id={first}");
    let (status, retired) = operator.call("POST", &path, None).await;
    assert_eq!(status, 200, "{retired}");
    assert_eq!(retired["data"]["propagation"]["acknowledged"], 2, "{retired}");
    for (relay, session, mut visitor) in talking {
        let (status, refused) = refresh(relay, &session).await;
        assert_eq!((status, &refused["error_code"]), (401, &json!("invalid_visitor_token")));
        assert_eq!(visitor.closed().await, 4401);
        assert_eq!(Visitor::connect(relay, token(&session)).await.closed().await, 4401);
        assert_eq!(published(relay).await, std::slice::from_ref(&second));
    }
    // What the other key signed goes on, on the sockets that were open.
    for (relay, session, mut visitor) in later {
        is_heard(&mut visitor).await;
        assert_eq!(refresh(relay, &session).await.0, 200);
    }
}
