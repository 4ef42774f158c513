//! The REST facade's paths through the gateway: only where exposed, and then only passed through.

use axum::{Json, Router, extract::Request, response::IntoResponse as _, routing::any};
use http::Method;
use serde_json::{Value, json};

use crate::fakes::{Fixture, loopback, nobody, refusal};

#[tokio::test]
async fn exposed_admin_paths_are_passed_through_whole() {
    let (listener, address) = loopback().await;
    let facade = Router::new().fallback(any(|request: Request| async move {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Json(json!({"path": request.uri().to_string(), "method": request.method().as_str(), "key": header("x-admin-key"), "signed": header("x-relay-signature")}))
    }));
    tokio::spawn(async move { axum::serve(listener, facade).await });
    let fixture =
        Fixture::with(&[("GATEWAY_EXPOSE_ADMIN_API", "true"), ("GATEWAY_ADMIN_REST", &format!("http://{address}"))])
            .await;
    let base = format!("http://{}", fixture.relay);
    let request = fixture.client.post(format!("{base}/api/v1/update/tenant?tenant_id=x")).body("{}");
    let request = request.header("x-admin-key", "k").header("x-relay-signature", "forged");
    let answer = request.send().await.expect("an answer");
    let seen: Value = answer.json().await.expect("JSON");
    assert_eq!(
        seen,
        json!({"path": "/api/v1/update/tenant?tenant_id=x", "method": "POST", "key": "k", "signed": null})
    );
    // Every path that operators' or developers' keys open.
    let document: Value = serde_json::from_str(include_str!("../../../admin-service/openapi.json")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").keys().map(|path| path.replace("{id}", "an-id"));
    let paths: Vec<_> = paths.filter(|path| path.starts_with("/api/v1/")).collect();
    assert!(paths.len() > 25, "{paths:?}");
    for path in paths {
        let answer = fixture.client.get(format!("{base}{path}")).send().await.expect("an answer");
        assert_eq!(answer.json::<Value>().await.expect("JSON")["path"], path);
    }
    assert_eq!(
        refusal(fixture.client.get(format!("{base}/api/v1/fetch/secrets"))).await,
        (404, "not_found".to_owned())
    );
}

#[tokio::test]
async fn developers_paths_are_open_without_the_operators() {
    let (listener, address) = loopback().await;
    let facade = Router::new().fallback(any(|request: Request| async move {
        let key = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        match key {
            Some(key) => Json(json!({"path": request.uri().to_string(), "key": key})).into_response(),
            None => http::StatusCode::UNAUTHORIZED.into_response(),
        }
    }));
    tokio::spawn(async move { axum::serve(listener, facade).await });
    let rest = format!("http://{address}");
    let closed = ("GATEWAY_EXPOSE_ADMIN_API", "false");
    let fixture = Fixture::with(&[("GATEWAY_ADMIN_REST", &rest), ("GATEWAY_UNVERIFIED_PER_MIN", "2"), closed]).await;
    let call = |path: &str| fixture.client.get(format!("http://{}/api/v1/{path}", fixture.relay));
    let answer = call("widgets/keys?bot_id=b").bearer_auth("ak_x").send().await.expect("an answer");
    let seen: Value = answer.json().await.expect("JSON");
    assert_eq!(seen, json!({"path": "/api/v1/widgets/keys?bot_id=b", "key": "Bearer ak_x"}));
    assert_eq!(refusal(call("fetch/tenants")).await, (404, "not_found".to_owned()));
    // Keys are guessed no faster than signatures.
    for _ in 0..2 {
        assert_eq!(call("bots").send().await.expect("an answer").status(), 401);
    }
    assert_eq!(refusal(call("bots")).await, (429, "rate_limited".to_owned()));

    let closed = Fixture::with(&[("GATEWAY_ADMIN_REST", &rest), ("GATEWAY_EXPOSE_DEVELOPER_API", "false")]).await;
    let call = closed.client.get(format!("http://{}/api/v1/bots", closed.relay)).bearer_auth("ak_x");
    assert_eq!(refusal(call).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn on_a_laptop_the_admin_paths_are_open_to_what_no_proxy_passed_on() {
    let (listener, address) = loopback().await;
    let facade = Router::new().fallback(any(|| async { "passed through" }));
    tokio::spawn(async move { axum::serve(listener, facade).await });
    let rest = ("GATEWAY_ADMIN_REST", &*format!("http://{address}"));
    let answer = async |fixture: &Fixture, proxied: &str| {
        let mut call = fixture.client.get(format!("http://{}/api/v1/fetch/tenants", fixture.relay));
        if !proxied.is_empty() {
            call = call.header(proxied, "x");
        }
        let answer = call.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let laptop = Fixture::with(&[rest]).await;
    assert_eq!(answer(&laptop, "").await, (200, "passed through".to_owned()));
    for proxied in ["forwarded", "x-forwarded-for", "x-forwarded-proto"] {
        let (status, told) = answer(&laptop, proxied).await;
        assert!(status == 404 && told.contains("through a proxy") && told.contains("expose_admin_api"), "{told}");
    }
    let set = Fixture::with(&[rest, ("GATEWAY_EXPOSE_ADMIN_API", "true")]).await;
    assert_eq!(answer(&set, "x-forwarded-for").await.0, 200);
    for elsewhere in [
        ("GATEWAY_RELAY_URL", "https://relay.example.com"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8"),
        ("GATEWAY_EXPOSE_ADMIN_API", "false"),
    ] {
        let closed = Fixture::with(&[rest, elsewhere]).await;
        let (status, told) = answer(&closed, "").await;
        assert!(status == 404 && told.contains("own address") && told.contains("expose_admin_api"), "{told}");
    }
}

#[tokio::test]
async fn nothing_that_a_browser_opens_is_sniffed() {
    let fixture = Fixture::start().await;
    for path in [
        "widget.js",
        "api/v1/widget.js",
        "inbox",
        "inbox/inbox.js",
        "openapi.json",
        "healthz",
        "nothing",
        ".well-known/jwks.json",
    ] {
        let answer = fixture.client.get(format!("http://{}/{path}", fixture.relay)).send().await.expect("an answer");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn what_is_internal_is_passed_on_to_nobody() {
    let (listener, address) = loopback().await;
    let facade = Router::new().fallback(any(|| async { "passed through" }));
    tokio::spawn(async move { axum::serve(listener, facade).await });
    let rest = format!("http://{address}");
    let fixture = Fixture::with(&[("GATEWAY_EXPOSE_ADMIN_API", "true"), ("GATEWAY_ADMIN_REST", &rest)]).await;
    for path in ["internal/publish/events", "internal", "api/v1/internal/publish/events", "%69nternal/publish/events"] {
        for method in [Method::GET, Method::POST] {
            let call = fixture.client.request(method, format!("http://{}/{path}", fixture.relay)).body("{}");
            assert_eq!(refusal(call).await, (404, "not_found".to_owned()), "{path}");
        }
    }
    // A tenant's signature does not open it at the chat backend either, in whatever spelling. A call that arrives there is a surprise.
    for path in ["internal/publish/events", "Internal/publish/events", "%2569nternal/x", "/internal;v=1/x"] {
        assert_eq!(refusal(fixture.post(path, "{}")).await, (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test]
async fn an_absent_facade_is_503() {
    let (_kept, absent) = nobody();
    let absent = format!("http://{absent}");
    let fixture = Fixture::with(&[("GATEWAY_EXPOSE_ADMIN_API", "true"), ("GATEWAY_ADMIN_REST", &absent)]).await;
    let request = fixture.client.get(format!("http://{}/api/v1/fetch/tenants", fixture.relay));
    assert_eq!(refusal(request).await, (503, "directory_unavailable".to_owned()));
}

#[tokio::test]
async fn admin_keys_are_guessed_no_faster_than_signatures() {
    let (listener, address) = loopback().await;
    let facade = Router::new().fallback(any(|| async { http::StatusCode::UNAUTHORIZED }));
    tokio::spawn(async move { axum::serve(listener, facade).await });
    let fixture = Fixture::with(&[
        ("GATEWAY_EXPOSE_ADMIN_API", "true"),
        ("GATEWAY_ADMIN_REST", &format!("http://{address}")),
        ("GATEWAY_UNVERIFIED_PER_MIN", "3"),
    ])
    .await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let request = fixture.client.get(format!("http://{}/api/v1/fetch/tenants", fixture.relay));
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
}
