//! The visitor lane over HTTP: who is let in, who may read the answer, and what is refused.

use e2e::{
    signed::Tenant,
    visitor::{PAGE, from_page},
};
use http::{Method, header};
use proto::directory::v1::TenantStatus;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use service::ApiError;
use wire::{ErrorCode, TenantId};

use crate::fakes::{Fixture, refusal};

fn url(fixture: &Fixture, path: &str) -> String {
    format!("http://{}/api/v1/{path}", fixture.relay)
}

fn body(tenant: &Tenant) -> Value {
    json!({"tenant_id": tenant.id, "widget_public_key": tenant.widget_public_key, "origin": PAGE})
}

fn create(fixture: &Fixture, body: &Value) -> RequestBuilder {
    fixture.client.post(url(fixture, "create/visitor-session")).json(body)
}

fn config(fixture: &Fixture, tenant: &Tenant) -> RequestBuilder {
    let query = [("tenant_id", &tenant.id), ("widget_public_key", &tenant.widget_public_key)];
    fixture.client.get(url(fixture, "fetch/widget-config")).query(&query)
}

fn times(fixture: &Fixture, method: &str) -> usize {
    fixture.admin.calls().iter().filter(|call| *call == method).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_allowed_begins_a_session_and_may_read_the_answer() {
    let fixture = Fixture::leased().await;
    let answer = from_page(create(&fixture, &body(&fixture.tenant)), PAGE).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let headers = answer.headers();
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
    assert_eq!(headers[header::VARY], "origin");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    let answer: Value = answer.json().await.expect("an envelope");
    let data = &answer["data"];
    assert_eq!((&data["session_id"], &data["expires_at"]), (&json!("vs_1"), &json!("2027-01-15T08:00:00.000Z")));
    assert_eq!(data["visitor_token"], format!("{PAGE}|fr|bot||{{}}"), "the documented defaults");
    let look = &data["widget_config"];
    assert_eq!(look["customization"]["theme_color"], "#2563EB");
    assert_eq!((&look["locale"], &look["is_online"], &look["bot_id"]), (&json!("fr"), &json!(true), &json!("b1")));

    let mut all = body(&fixture.tenant);
    for (field, value) in [
        ("locale", json!("en")),
        ("mode", json!("human")),
        ("routing_key", json!("vip")),
        ("metadata", json!({"a": 1})),
    ] {
        all[field] = value;
    }
    // No browser: what an app says of itself is all there is.
    let answer: Value = create(&fixture, &all).send().await.expect("an answer").json().await.expect("an envelope");
    assert_eq!(answer["data"]["visitor_token"], format!("{PAGE}|en|human|vip|{{\"a\":1}}"));

    let config = from_page(config(&fixture, &fixture.tenant).query(&[("locale", "ar")]), PAGE);
    let answer = config.send().await.expect("an answer");
    assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
    let answer: Value = answer.json().await.expect("an envelope");
    assert_eq!((&answer["data"]["locale"], &answer["data"]["bot_id"]), (&json!("ar"), &json!("b1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_not_allowed_begins_no_session() {
    let fixture = Fixture::leased().await;
    let tenant = &fixture.tenant;
    let with = |field: &str, value: Value| {
        let mut body = body(tenant);
        body[field] = value;
        body
    };
    let suspended = crate::fakes::tenant();
    fixture.admin.set(&suspended, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.widget_access(&suspended, |_| {});
    let elsewhere = "https://evil.example";
    let post = |body: Value, origin: &'static str| from_page(create(&fixture, &body), origin);
    for (what, request, expected, readable) in [
        ("a page that is not allowed", post(body(tenant), elsewhere), (403, "origin_not_allowed"), false),
        (
            "its own origin in the body too",
            post(with("origin", json!(elsewhere)), elsewhere),
            (403, "origin_not_allowed"),
            false,
        ),
        (
            "a page that says it is another",
            post(body(tenant), "https://evil.shop.demo.com"),
            (403, "origin_not_allowed"),
            false,
        ),
        ("another scheme", post(body(tenant), "http://shop.demo.com"), (403, "origin_not_allowed"), false),
        ("another port", post(body(tenant), "https://shop.demo.com:444"), (403, "origin_not_allowed"), false),
        ("a sandboxed frame", post(body(tenant), "null"), (403, "origin_not_allowed"), false),
        (
            "a user in the origin",
            post(body(tenant), "https://shop.demo.com@evil.example"),
            (403, "origin_not_allowed"),
            false,
        ),
        ("two origins", from_page(post(body(tenant), PAGE), elsewhere), (403, "origin_not_allowed"), false),
        (
            "an allowed page that says it is another",
            post(with("origin", json!(elsewhere)), PAGE),
            (403, "origin_not_allowed"),
            true,
        ),
        (
            "no browser, an origin that is not allowed",
            create(&fixture, &with("origin", json!(elsewhere))),
            (403, "origin_not_allowed"),
            false,
        ),
        ("a wrong key", post(with("widget_public_key", json!("pk_wrong")), PAGE), (401, "invalid_widget_key"), true),
        (
            "a wrong key, to a page that is not allowed",
            post(with("widget_public_key", json!("pk_wrong")), elsewhere),
            (403, "origin_not_allowed"),
            false,
        ),
        (
            "no such tenant",
            post(with("tenant_id", json!(TenantId::generate())), PAGE),
            (401, "invalid_widget_key"),
            false,
        ),
        (
            "another tenant's key",
            post(
                {
                    let mut b = body(&suspended);
                    b["widget_public_key"] = json!("pk_x");
                    b
                },
                PAGE,
            ),
            (401, "invalid_widget_key"),
            true,
        ),
        ("a suspended tenant", post(body(&suspended), PAGE), (403, "tenant_suspended"), true),
        ("a tenant that is no UUID", post(with("tenant_id", json!("t")), PAGE), (422, "validation_failed"), false),
        (
            "an origin with a path",
            post(with("origin", json!("https://shop.demo.com/")), PAGE),
            (422, "validation_failed"),
            false,
        ),
        ("no origin", post(with("origin", Value::Null), PAGE), (422, "validation_failed"), false),
        ("a mode there is not", post(with("mode", json!("cat")), PAGE), (422, "validation_failed"), false),
        ("metadata that is no object", post(with("metadata", json!([1])), PAGE), (422, "validation_failed"), false),
        ("metadata with a NUL", post(with("metadata", json!({"a": "\0"})), PAGE), (422, "validation_failed"), false),
        (
            "metadata beyond 4 KiB",
            post(with("metadata", json!({"a": "x".repeat(5000)})), PAGE),
            (422, "validation_failed"),
            false,
        ),
        ("a locale beyond any", post(with("locale", json!("x".repeat(36))), PAGE), (422, "validation_failed"), false),
        (
            "no JSON",
            from_page(fixture.client.post(url(&fixture, "create/visitor-session")).body("{"), PAGE),
            (400, "malformed_json"),
            false,
        ),
        (
            "a body beyond the limit",
            post(with("metadata", json!({"a": "x".repeat(2_000_000)})), PAGE),
            (413, "body_too_large"),
            false,
        ),
        (
            "another method",
            fixture.client.put(url(&fixture, "create/visitor-session")),
            (405, "method_not_allowed"),
            false,
        ),
    ] {
        let sent = request.try_clone().expect("a request that can be sent twice").send().await.expect("an answer");
        let headers = sent.headers();
        assert_eq!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), readable, "{what}: {headers:?}");
        assert_eq!(refusal(request).await, (expected.0, expected.1.to_owned()), "{what}");
    }
    assert_eq!(times(&fixture, "OpenSession"), 0);
    let (missing, wrong) = (config(&fixture, tenant), from_page(config(&fixture, tenant), elsewhere));
    assert!(missing.send().await.expect("an answer").status().is_success(), "no browser says where it is");
    assert_eq!(refusal(wrong).await, (403, "origin_not_allowed".to_owned()));
    let no_key = fixture.client.get(url(&fixture, "fetch/widget-config"));
    assert_eq!(refusal(no_key).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_domains_stand_instead_of_the_tenants_origins() {
    let fixture = Fixture::leased().await;
    fixture.admin.widget_access(&fixture.tenant, |access| {
        let widget = access.widgets.values_mut().next().expect("a key");
        widget.allowed_domains = vec!["example.com".to_owned(), "*.example.org".to_owned()];
    });
    let begin = |origin: &'static str| {
        let mut body = body(&fixture.tenant);
        body["origin"] = json!(origin);
        from_page(create(&fixture, &body), origin)
    };
    for allowed in ["https://example.com", "http://example.com:8080", "https://a.b.example.org"] {
        assert_eq!(begin(allowed).send().await.expect("an answer").status(), 201, "{allowed}");
    }
    for refused in [PAGE, "https://a.example.com", "https://example.org", "app://example.com"] {
        assert_eq!(refusal(begin(refused)).await, (403, "origin_not_allowed".to_owned()), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_from_the_tenants_own_origins() {
    let fixture = Fixture::leased().await;
    let preflight = |query: String, origin: &str| {
        let url = url(&fixture, &format!("create/visitor-session{query}"));
        from_page(fixture.client.request(Method::OPTIONS, url), origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type")
    };
    let tenant = &fixture.tenant;
    let named = format!("?tenant_id={}&widget_public_key={}", tenant.id, tenant.widget_public_key);
    let only_tenant = format!("?tenant_id={}", tenant.id);
    let unknown = format!("?tenant_id={}", TenantId::generate());
    for (query, origin, allowed) in [
        (&named, PAGE, true),
        (&only_tenant, PAGE, true),
        (&named, "https://evil.example", false),
        (&only_tenant, "https://evil.example", false),
        (&unknown, PAGE, false),
        (&named, "null", false),
        // Nobody can say whose page it is: what it may read is judged with the call.
        (&String::new(), "https://evil.example", true),
        (&String::new(), "null", false),
    ] {
        let answer = preflight(query.clone(), origin).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
        let headers = answer.headers();
        let told = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|told| told.to_str().expect("text"));
        assert_eq!(told, allowed.then_some(origin), "{query} {origin}");
        assert_eq!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS), allowed);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert_eq!(headers[header::VARY], "origin");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_are_kept_under_the_lease_and_dropped_with_their_tenant() {
    let fixture = Fixture::leased().await;
    let status = async || from_page(config(&fixture, &fixture.tenant), PAGE).send().await.expect("an answer").status();
    for _ in 0..3 {
        assert_eq!(status().await, 200);
    }
    assert_eq!((times(&fixture, "GetTenant"), times(&fixture, "GetWidget")), (1, 1));
    fixture.admin.widget_access(&fixture.tenant, |access| access.widgets.clear());
    fixture.admin.push_change(Some(&fixture.tenant)).await;
    assert_eq!(status().await, 401, "the key was revoked before the change was acknowledged");
    assert_eq!(status().await, 401);
    assert_eq!(times(&fixture, "GetWidget"), 3, "what opens nothing is not kept");

    fixture.admin.break_method("GetTenant", ApiError::new(ErrorCode::StoreUnavailable, "away"));
    fixture.admin.push_change(None).await;
    let refused = refusal(from_page(config(&fixture, &fixture.tenant), PAGE)).await;
    assert_eq!(refused, (503, "directory_unavailable".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_so_many_sessions_an_hour_and_an_address_begins_so_many_a_minute() {
    let fixture = Fixture::leased().await;
    fixture.admin.widget_access(&fixture.tenant, |access| {
        access.widgets.values_mut().for_each(|widget| widget.rate_limit_per_hour = 2);
    });
    let begin = || from_page(create(&fixture, &body(&fixture.tenant)), PAGE);
    for _ in 0..2 {
        assert_eq!(begin().send().await.expect("an answer").status(), 201);
    }
    let answer = begin().send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE, "the widget is told");
    let seconds: u64 = answer.headers()[header::RETRY_AFTER].to_str().expect("text").parse().expect("seconds");
    assert!((1000..=1801).contains(&seconds), "half an hour each: {seconds}");

    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_SESSIONS_PER_MIN", "2")]).await;
    let begin = || from_page(create(&fixture, &body(&fixture.tenant)), PAGE);
    let mut begun = 0;
    while begin().send().await.expect("an answer").status() == 201 {
        begun += 1;
    }
    assert_eq!(begun, 2, "a limit of two is two");
    assert_eq!(times(&fixture, "OpenSession"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_learns_why_it_was_refused_where_it_is_allowed() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "6")]).await;
    let query = [("tenant_id", &fixture.tenant.id), ("widget_public_key", &fixture.tenant.widget_public_key)];
    let named = |body: &'static str, origin: &str| {
        let request = fixture.client.post(url(&fixture, "create/visitor-session")).query(&query).body(body);
        from_page(request, origin).send()
    };
    let readable = |answer: &reqwest::Response| answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    for (body, status) in [("{", 400), ("{}", 422)] {
        let answer = named(body, PAGE).await.expect("an answer");
        assert_eq!((answer.status().as_u16(), readable(&answer)), (status, true), "{body}");
        let answer = named(body, "https://evil.example").await.expect("an answer");
        assert_eq!((answer.status().as_u16(), readable(&answer)), (status, false), "{body}");
    }
    fixture.admin.break_method("GetTenant", ApiError::new(ErrorCode::StoreUnavailable, "away"));
    fixture.admin.push_change(None).await;
    let answer = from_page(config(&fixture, &fixture.tenant), PAGE).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), readable(&answer)), (503, true));
    for _ in 0..3 {
        named("{", PAGE).await.expect("an answer");
    }
    let answer = named("{", PAGE).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), readable(&answer)), (429, true));
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_keeps_failing_is_refused_before_a_look_up() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "3")]).await;
    let wrong = || refusal(from_page(config(&fixture, &fixture.tenant), "https://evil.example"));
    for _ in 0..3 {
        assert_eq!(wrong().await.0, 403);
    }
    assert_eq!(wrong().await, (429, "rate_limited".to_owned()));
    let asked = fixture.admin.calls().len();
    assert_eq!(wrong().await.0, 429);
    assert_eq!(fixture.admin.calls().len(), asked);

    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "3")]).await;
    let invented = async || {
        let url = url(&fixture, &format!("create/visitor-session?tenant_id={}", TenantId::generate()));
        let preflight = from_page(fixture.client.request(Method::OPTIONS, url), PAGE);
        preflight.send().await.expect("an answer").status().as_u16()
    };
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(invented().await);
    }
    assert_eq!(answers, [204, 204, 204, 429, 429, 429], "preflights cost as much");
    assert_eq!(times(&fixture, "GetTenant"), 3);
}
