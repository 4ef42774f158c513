//! What operators are answered is what the documents say, through the gateway and on to the reference backend. No operator reaches what
//! is another tenant's, by any operation.

use e2e::{signed::Tenant, visitor::PAGE, world::World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::caller::Caller;

/// Makes an operator of a tenant, and answers its id and its token.
async fn operator(calls: &mut Caller, email: &str, routing_keys: &[&str]) -> (String, String) {
    let profile = json!({"email": email, "display_name": email, "routing_keys": routing_keys});
    let made = calls.signed("POST", "provision/operator", "/api/v1/relay/provision/operator", "", Some(profile)).await;
    let issue = json!({"email": email});
    let path = "/api/v1/relay/fetch/operator-token";
    let issued = calls.signed("POST", "fetch/operator-token", path, "", Some(issue)).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&made["operator_id"]), text(&issued["operator_token"]))
}

/// A conversation of a tenant that waits for a person.
async fn waiting(calls: &Caller, tenant: &Tenant) -> String {
    let post = async |path: &str, body: Value| {
        let url = format!("http://{}/api/v1/relay/{path}", calls.relay);
        let sent = tenant.request(&calls.client, Method::POST, &url, body.to_string());
        sent.send().await.expect("an answer").json::<Value>().await.expect("JSON")["data"].clone()
    };
    let begun = post("create/conversation", json!({"visitor_user_id": "u", "locale": "en"})).await;
    let id = begun["id"].as_str().expect("an id").to_owned();
    post(&format!("add/message?conversation_id={id}"), json!({"content": "Do you repair zeppelins?"})).await;
    id
}

/// Calls the operator lane, and holds the answer against the document of `calls`.
async fn call(
    calls: &mut Caller,
    token: &str,
    (method, path): (&str, &str),
    query: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let url = format!("http://{}/api/v1/operator/{path}{query}", calls.relay);
    let mut request = calls.client.request(method.parse().expect("a method"), url).bearer_auth(token);
    if let Some(body) = &body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let answered: Value = answer.json().await.expect("JSON");
    // Only what a body has wrong is the body's schema's.
    let told = body.as_ref().filter(|_| status != 422 || answered["errors"][0]["field"] != "conversation_id");
    calls.comparison.note(method, &format!("/operator/{path}"), told, status, &answered);
    (status, answered)
}

/// Every operation on a conversation, with a body that it takes.
const ON_A_CONVERSATION: [(&str, &str, &str); 12] = [
    ("GET", "fetch/conversation", ""),
    ("GET", "fetch/messages", ""),
    ("POST", "claim/conversation", ""),
    ("POST", "snooze/conversation", r#"{"until": null}"#),
    ("POST", "tag/conversation", r#"{"tags": ["vip"]}"#),
    ("POST", "add/message", r#"{"content": "hello"}"#),
    ("POST", "read/conversation", ""),
    ("POST", "assign/conversation", r#"{"operator_id": "ASSIGNEE"}"#),
    ("POST", "release/conversation", ""),
    ("POST", "hand-back/conversation", ""),
    ("POST", "resolve/conversation", ""),
    ("POST", "reopen/conversation", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_are_answered_is_what_is_documented() {
    let world = World::start(&[("GATEWAY_UNVERIFIED_PER_MIN", "10000")]).await;
    let platform = world.operator();
    let settings = |name: &str| json!({"tenant_name": name, "allowed_origins": [PAGE]});
    let (tenant, other) = (platform.provision(settings("Shop")).await, platform.provision(settings("Other")).await);
    let mut gateway = Caller::new(&world, &tenant, include_str!("../../../relay-gateway/openapi.json"));
    let mut backend = Caller::new(&world, &tenant, include_str!("../../../deploy/chat-backend/openapi.json"));
    let (ada, token) = operator(&mut gateway, "ada@acme.com", &[]).await;
    let (_, bens) = operator(&mut gateway, "ben@acme.com", &["sales"]).await;
    let mut elsewhere = Caller::new(&world, &other, include_str!("../../../relay-gateway/openapi.json"));
    let (_, strangers) = operator(&mut elsewhere, "eve@other.com", &[]).await;

    let id = waiting(&backend, &tenant).await;
    let named = format!("?conversation_id={id}");
    let (_, page) = call(&mut backend, &token, ("GET", "fetch/conversations"), "?queue=waiting", None).await;
    assert_eq!((&page["data"]["items"][0]["id"], &page["data"]["counts"]["waiting"]), (&json!(id), &json!(1)));
    for wrong in ["?queue=none", "?limit=0", "?cursor=x"] {
        call(&mut backend, &token, ("GET", "fetch/conversations"), wrong, None).await;
    }

    let (_, entries) = call(&mut backend, &token, ("GET", "fetch/messages"), &named, None).await;
    let message = entries["data"]["items"][0]["id"].as_str().expect("an id").to_owned();
    let query_of = |path: &str, named: &str| match path {
        "read/conversation" => format!("{named}&message_id={message}"),
        _ => named.to_owned(),
    };
    let body_of =
        |text: &str| (!text.is_empty()).then(|| serde_json::from_str(&text.replace("ASSIGNEE", &ada)).expect("JSON"));
    // By no operation does an operator reach what is another tenant's, or in another queue.
    for (whose, token) in [("another tenant's", &strangers), ("another queue's", &bens)] {
        for (method, path, body) in ON_A_CONVERSATION {
            let (status, answer) =
                call(&mut backend, token, (method, path), &query_of(path, &named), body_of(body)).await;
            assert_eq!(status, 404, "{whose}, {path}: {answer}");
        }
        let (_, nothing) = call(&mut backend, token, ("GET", "fetch/conversations"), "?queue=all", None).await;
        assert_eq!(nothing["data"]["counts"]["all"], 0, "{whose}");
    }
    for (method, path, body) in ON_A_CONVERSATION {
        let (status, answer) = call(&mut backend, &token, (method, path), &query_of(path, &named), body_of(body)).await;
        // After it was released it is nobody's: it cannot be handed back, resolved or reopened.
        let is_nobodys = ["hand-back/conversation", "resolve/conversation", "reopen/conversation"].contains(&path);
        let expected = match path {
            _ if is_nobodys => 409,
            "add/message" => 201,
            _ => 200,
        };
        assert_eq!(status, expected, "{path}: {answer}");
    }
    for path in [
        "claim/conversation",
        "hand-back/conversation",
        "claim/conversation",
        "resolve/conversation",
        "reopen/conversation",
    ] {
        assert_eq!(call(&mut backend, &token, ("POST", path), &named, None).await.0, 200, "{path}");
    }
    for (method, path, body) in ON_A_CONVERSATION {
        call(&mut backend, &token, (method, path), "", body_of(body)).await;
    }
    for (path, wrong) in [
        ("snooze/conversation", json!({"until": 1})),
        ("tag/conversation", json!({"tags": 1})),
        ("tag/conversation", json!({})),
        ("add/message", json!({"content": ""})),
        ("add/message", json!({"content": "x".repeat(8001)})),
        ("add/message", json!({"content": "x", "internal": 1})),
    ] {
        assert_eq!(call(&mut backend, &token, ("POST", path), &named, Some(wrong)).await.0, 422, "{path}");
    }
    let note = json!({"content": "be kind", "internal": true});
    assert_eq!(call(&mut backend, &token, ("POST", "add/message"), &named, Some(note)).await.0, 201);

    let reply = json!({"shortcut": "hi", "content": "Hello {{visitor_name}}"});
    let (_, written) = call(&mut backend, &token, ("POST", "canned-replies"), "", Some(reply)).await;
    call(&mut backend, &token, ("POST", "canned-replies"), "", Some(json!({"shortcut": "a b", "content": "x"}))).await;
    call(&mut backend, &token, ("GET", "canned-replies"), "", None).await;
    // Past the relay, nobody is an operator.
    let url = format!("http://{}/operator/canned-replies", world.backend_address);
    let unsigned = backend.client.get(url);
    backend.send("GET", "/operator/canned-replies", unsigned, None).await;
    let (_, theirs) = call(&mut backend, &strangers, ("GET", "canned-replies"), "", None).await;
    assert_eq!(theirs["data"]["items"], json!([]), "another tenant's");
    let one = format!("?id={}", written["data"]["id"].as_str().expect("an id"));
    assert_eq!(call(&mut backend, &strangers, ("DELETE", "canned-replies"), &one, None).await.0, 404);
    assert_eq!(call(&mut backend, &token, ("DELETE", "canned-replies"), &one, None).await.0, 200);

    // What the gateway answers and refuses itself.
    for (method, path, documented) in [
        ("GET", "fetch/me", "/api/v1/operator/fetch/me"),
        ("GET", "fetch/operators", "/api/v1/operator/fetch/operators"),
        ("GET", "fetch/operators?cursor=x", "/api/v1/operator/fetch/operators"),
        ("POST", "refresh/token", "/api/v1/operator/refresh/token"),
        ("POST", "create/socket-ticket", "/api/v1/operator/create/socket-ticket"),
        ("GET", "fetch/conversations", "/api/v1/operator/{rest}"),
        ("POST", &*format!("claim/conversation{named}"), "/api/v1/operator/{rest}"),
    ] {
        for token in [&*token, "nonsense"] {
            let url = format!("http://{}/api/v1/operator/{path}", gateway.relay);
            let request = gateway.client.request(method.parse().expect("a method"), url).bearer_auth(token);
            gateway.send(method, documented, request, None).await;
        }
    }
    let list = "/api/v1/relay/fetch/operators";
    for query in ["", "?limit=1", "?limit=0", "?cursor=x"] {
        let listed = gateway.signed("GET", "fetch/operators", list, query, None).await;
        if query == "?limit=1" {
            let next = format!("?cursor={}", listed["next_cursor"].as_str().expect("more"));
            gateway.signed("GET", "fetch/operators", list, &next, None).await;
        }
    }
    let revoke = "/api/v1/relay/revoke/operator";
    for (body, is_told) in [
        (json!({"email": "nobody@acme.com"}), true),
        (json!({"email": 1}), true),
        (json!({"operator_id": ada}), true),
        // That one of two fields must be there is not said by the schema.
        (json!({}), false),
    ] {
        let url = format!("http://{}{revoke}", gateway.relay);
        let request = tenant.request(&gateway.client, Method::POST, &url, body.to_string());
        gateway.send("POST", revoke, request, is_told.then_some(&body)).await;
    }
    // From the moment that a change returns.
    let (_, bens_again) = operator(&mut gateway, "ben@acme.com", &["sales", "support"]).await;
    let asked = async |gateway: &mut Caller, token: &str| {
        let url = format!("http://{}/api/v1/operator/fetch/conversations", gateway.relay);
        let request = gateway.client.get(url).bearer_auth(token);
        let answer = request.try_clone().expect("no body").send().await.expect("an answer");
        let code = answer.json::<Value>().await.expect("JSON")["error_code"].clone();
        gateway.send("GET", "/api/v1/operator/{rest}", request, None).await;
        code
    };
    assert_eq!(asked(&mut gateway, &token).await, "operator_token_superseded", "revoked");
    assert_eq!(asked(&mut gateway, &bens).await, "operator_token_superseded", "of other routing keys");
    assert_eq!(asked(&mut gateway, &bens_again).await, Value::Null);
    let (status, suspended) = platform.call("POST", &format!("/suspend/tenant?tenant_id={}", tenant.id), None).await;
    assert_eq!(status, 200, "{suspended}");
    assert_eq!(asked(&mut gateway, &bens_again).await, "tenant_suspended");

    let others = [
        "/api/v1/create/*",
        "/api/v1/fetch/*",
        "/api/v1/refresh/*",
        "/api/v1/end/*",
        "/api/v1/identify/*",
        "/api/v1/send/*",
        "/api/v1/poll/*",
        "/api/v1/upload/*",
        "/api/v1/attachments/*",
        "/api/v1/operator/upload/attachment",
        "/api/v1/ws/*",
        "/widget.js",
        "/api/v1/widget/*",
        "/inbox",
    ];
    let signed = ["/api/v1/relay/*"];
    gateway.comparison.finish(&[&others[..], &signed].concat());
    let of_tenants = ["/create/*", "/fetch/*", "/add/*", "/ingest/*", "/ws/*", "/upload/*", "/delete/*"];
    backend.comparison.finish(&of_tenants);
}
