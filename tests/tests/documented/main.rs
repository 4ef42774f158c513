//! What gateways and the reference backend answer is what their OpenAPI documents say, for well-formed calls and for wrong ones.

mod caller;
mod inbox;

use e2e::{
    visitor::{PAGE, begin_session},
    world::World,
};
use reqwest::Method;
use serde_json::{Value, json};

use caller::Caller;

fn long(length: usize) -> String {
    "x".repeat(length)
}

/// `base` with one field replaced, or left out where the value is none.
fn with(base: &Value, field: &str, value: Option<Value>) -> Value {
    let mut body = base.clone();
    match value {
        Some(value) => body[field] = value,
        None => drop(body.as_object_mut().expect("an object").remove(field)),
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_answers_is_what_is_documented() {
    // Many sessions are begun here, and many calls refused.
    let world = World::start(&[("GATEWAY_SESSIONS_PER_MIN", "1000"), ("GATEWAY_UNVERIFIED_PER_MIN", "10000")]).await;
    let operator = world.operator();
    let tenant = operator.provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;
    let mut calls = Caller::new(&world, &tenant, include_str!("../../../relay-gateway/openapi.json"));

    let session = json!({"tenant_id": tenant.id, "widget_public_key": tenant.widget_public_key, "origin": PAGE});
    let begin = "/api/v1/create/visitor-session";
    for (field, values) in [
        ("tenant_id", vec![None, Some(json!("x")), Some(json!("019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f"))]),
        ("widget_public_key", vec![None, Some(json!("pk_x")), Some(json!(format!("pk_{}", long(32))))]),
        ("origin", vec![None, Some(json!("nowhere")), Some(json!("https://other.example"))]),
        ("locale", vec![Some(json!("en")), Some(Value::Null), Some(json!(long(36))), Some(json!(1))]),
        ("mode", vec![Some(json!("human")), Some(Value::Null), Some(json!("robot"))]),
        ("routing_key", vec![Some(json!("sales")), Some(Value::Null), Some(json!(long(101)))]),
        ("metadata", vec![Some(json!({"page": "/"})), Some(Value::Null), Some(json!([]))]),
    ] {
        for value in values {
            calls.page("POST", begin, "", None, Some(with(&session, field, value))).await;
        }
    }
    let begun = calls.page("POST", begin, "", None, Some(session)).await;
    let token = begun["visitor_token"].as_str().expect("a token").to_owned();
    let page = "/api/v1/fetch/widget-config";
    let key = format!("?tenant_id={}&widget_public_key={}", tenant.id, tenant.widget_public_key);
    for query in [&*key, &format!("{key}&locale=en"), "", "?tenant_id=x&widget_public_key=y"] {
        calls.page("GET", page, query, None, None).await;
    }
    calls.page("GET", page, &format!("?tenant_id={}&widget_public_key=pk_{}", tenant.id, long(32)), None, None).await;
    let body = Some(json!({"visitor_user_id": "u"}));
    let minted = calls.signed("POST", "mint/visitor-token", "/api/v1/relay/mint/visitor-token", "", body).await;
    let known = json!({"identity_token": minted["token"], "name": "Ada", "email": "ada@example.com"});
    let known = calls.page("POST", "/api/v1/identify/visitor", "", Some(&token), Some(known)).await;
    let token = known["visitor_token"].as_str().expect("a token").to_owned();
    let typing = json!({"type": "typing"});
    for token in [None, Some("nonsense"), Some(&*token)] {
        calls.page("POST", "/api/v1/send/visitor-frame", "", token, Some(typing.clone())).await;
        for query in ["", "?after=&wait_s=0&status=bot", "?wait_s=26"] {
            calls.page("GET", "/api/v1/poll/visitor-frames", query, token, None).await;
        }
        for identity in [None, Some(json!("a.b.c")), Some(json!(7))] {
            let said = with(&json!({"name": "Ada"}), "identity_token", identity);
            calls.page("POST", "/api/v1/identify/visitor", "", token, Some(said)).await;
        }
        for path in ["/api/v1/refresh/visitor-token", "/api/v1/end/visitor-session"] {
            calls.page("POST", path, "", token, None).await;
        }
    }

    let (profile, visitor) =
        (json!({"email": "ann@example.com", "display_name": "Ann"}), json!({"visitor_user_id": "u"}));
    let form = json!({"customer_email": "a@b.co", "customer_name": "A", "subject": "S", "message": "M"});
    for (name, base, field, values) in [
        ("provision/operator", &profile, "email", vec![None, Some(json!("x")), Some(json!("bob@example.com"))]),
        ("provision/operator", &profile, "display_name", vec![None, Some(json!("")), Some(json!(long(201)))]),
        ("provision/operator", &profile, "routing_keys", vec![Some(json!(["a"])), Some(Value::Null), Some(json!("a"))]),
        (
            "provision/operator",
            &profile,
            "avatar_url",
            vec![Some(json!("https://a.example/a.png")), Some(Value::Null), Some(json!(1))],
        ),
        ("fetch/operator-token", &json!({"email": "ann@example.com"}), "email", vec![None, Some(json!(1))]),
        (
            "fetch/operator-token",
            &json!({"email": "ann@example.com"}),
            "email",
            vec![Some(json!("nobody@example.com"))],
        ),
        ("mint/visitor-token", &visitor, "visitor_user_id", vec![None, Some(json!("")), Some(json!(long(256)))]),
        ("mint/visitor-token", &visitor, "ttl_seconds", vec![Some(json!(60)), Some(json!(59)), Some(json!(86_401))]),
        ("mint/visitor-token", &visitor, "visitor_email_hash", vec![Some(json!("sha256:00")), Some(json!(""))]),
        ("revoke/visitor", &visitor, "visitor_user_id", vec![None, Some(json!(""))]),
        ("create/contact-ticket", &form, "customer_email", vec![None, Some(json!(long(255)))]),
        ("create/contact-ticket", &form, "message", vec![None, Some(json!("")), Some(json!(long(8001)))]),
        ("create/contact-ticket", &form, "metadata", vec![Some(json!({})), Some(json!(1))]),
    ] {
        let path = format!("/api/v1/relay/{name}");
        calls.signed("POST", name, &path, "", Some(base.clone())).await;
        for value in values {
            calls.signed("POST", name, &path, "", Some(with(base, field, value))).await;
        }
    }
    let info = "/api/v1/relay/fetch/tenant-info";
    calls.signed("GET", "fetch/tenant-info", info, "", None).await;
    // What the chat backend answers is its own document's.
    let forwarded = "/api/v1/relay/{rest}";
    calls.signed("GET", "fetch/conversations", forwarded, "", None).await;
    let url = format!("http://{}/api/v1/relay/create/conversation", calls.relay);
    let request = tenant.request(&calls.client, Method::POST, &url, visitor.to_string());
    calls.send("POST", forwarded, request, None).await;

    // Without a signature, and while the tenant is suspended.
    for (method, path, documented) in [
        ("GET", info, info),
        ("GET", "/api/v1/relay/fetch/conversations", forwarded),
        ("POST", "/api/v1/relay/create/conversation", forwarded),
    ] {
        let url = format!("http://{}{path}", calls.relay);
        let request = calls.client.request(method.parse().expect("a method"), url);
        calls.send(method, documented, request, None).await;
    }
    let (status, suspended) = operator.call("POST", &format!("/suspend/tenant?tenant_id={}", tenant.id), None).await;
    assert_eq!(status, 200, "{suspended}");
    calls.signed("GET", "fetch/tenant-info", info, "", None).await;
    calls.signed("POST", "mint/visitor-token", "/api/v1/relay/mint/visitor-token", "", Some(visitor)).await;
    calls.page("GET", page, &key, None, None).await;
    calls.page("POST", "/api/v1/refresh/visitor-token", "", Some(&token), None).await;
    // The first six take or answer no JSON. Each has its own tests; those of events are the gateway's.
    calls.comparison.finish(&[
        "/api/v1/upload/attachment",
        "/api/v1/attachments/*",
        "/api/v1/ws/*",
        "/widget.js",
        "/api/v1/widget/*",
        "/inbox",
        "/api/v1/relay/fetch/events",
        "/api/v1/relay/fetch/event",
        "/api/v1/relay/replay/event",
        "/api/v1/relay/replay/events",
        "/api/v1/relay/send/test-event",
        "/api/v1/relay/start/endpoint",
        // `inbox.rs` calls these.
        "/api/v1/operator/*",
        "/api/v1/relay/revoke/operator",
        "/api/v1/relay/fetch/operators",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_reference_backend_answers_is_what_is_documented() {
    let world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;
    let mut calls = Caller::new(&world, &tenant, include_str!("../../../deploy/chat-backend/openapi.json"));
    let unknown = "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f";

    let knowledge =
        json!({"title": "Orders", "body": "Track your order from the link in your e-mail.", "language": "en"});
    let conversation = json!({"visitor_user_id": "u"});
    let form = json!({"customer_email": "a@b.co", "customer_name": "A", "subject": "S", "message": "M"});
    for (name, base, field, values) in [
        ("ingest/knowledge", &knowledge, "title", vec![None, Some(json!("")), Some(json!(1))]),
        ("ingest/knowledge", &knowledge, "body", vec![None, Some(json!(""))]),
        ("create/conversation", &conversation, "visitor_user_id", vec![None, Some(json!("")), Some(json!(long(256)))]),
        ("create/conversation", &conversation, "channel", vec![Some(json!("voice")), Some(json!(1))]),
        ("create/conversation", &conversation, "visitor_email", vec![Some(json!("a@b.co")), Some(json!(long(255)))]),
        ("create/contact-ticket", &form, "subject", vec![Some(json!("Other"))]),
    ] {
        let path = format!("/{name}");
        calls.signed("POST", name, &path, "", Some(base.clone())).await;
        for value in values {
            calls.signed("POST", name, &path, "", Some(with(base, field, value))).await;
        }
    }
    let begun = calls.signed("POST", "create/conversation", "/create/conversation", "", Some(conversation)).await;
    let named = format!("?conversation_id={}", begun["id"].as_str().expect("an id"));
    for (query, content) in [
        (&*named, json!("Where is my order?")),
        (&named, json!("Do you repair zeppelins?")),
        (&named, json!("")),
        (&named, json!(long(8001))),
        (&format!("?conversation_id={unknown}"), json!("Hello?")),
        ("", json!("Hello?")),
    ] {
        let role = if content == "" { "agent" } else { "visitor" };
        let body = json!({"content": content, "role": role});
        // Only what a body has wrong is the body's schema's.
        let is_told = !query.is_empty();
        let url = format!("http://{}/api/v1/relay/add/message{query}", calls.relay);
        let request = calls.tenant.request(&calls.client, Method::POST, &url, body.to_string());
        calls.send("POST", "/add/message", request, is_told.then_some(&body)).await;
    }
    begin_session(world.relay, &tenant).await;
    let tickets = calls.signed("GET", "fetch/tickets", "/fetch/tickets", "", None).await;
    let ticket = format!("?ticket_id={}", tickets["items"][0]["id"].as_str().expect("a ticket"));
    for (name, queries) in [
        ("fetch/tickets", vec!["?limit=1", "?limit=0", "?status=open", "?offset=-1"]),
        ("fetch/ticket", vec![&*ticket, "", "?ticket_id=x"]),
        ("fetch/conversations", vec!["", "?limit=1", "?limit=0", "?visitor_user_id=u"]),
        ("fetch/conversation", vec![&*named, "", "?conversation_id=x"]),
        ("fetch/messages", vec![&*named, "", "?conversation_id=x"]),
    ] {
        for query in queries {
            calls.signed("GET", name, &format!("/{name}"), query, None).await;
        }
    }
    // What the relay itself checks of a contact form never reaches the backend: this one comes past the relay.
    let url = format!("http://{}/create/contact-ticket", world.backend_address);
    let unsigned = calls.client.post(url).json(&form);
    calls.send("POST", "/create/contact-ticket", unsigned, None).await;
    let files = ["/upload/attachment", "/fetch/attachment", "/delete/attachment"];
    calls.comparison.finish(&[&["/ws/*", "/operator/*"], &files[..]].concat());
}
