//! The operator lane: whose calls go to the chat backend, as whom, and from when on they do not. PROTOCOL.md, section 8.

use e2e::signed::Tenant;
use http::{Method, StatusCode, header};
use proto::directory::v1::TenantStatus;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use service::ApiError;
use uuid::Uuid;
use wire::{ErrorCode, operator::ActingOperator};

use crate::fakes::{Fixture, ok, operator_token, refusal, visitor_token};

fn call(fixture: &Fixture, method: Method, path: &str, token: &str) -> RequestBuilder {
    fixture.client.request(method, format!("http://{}/api/v1/operator/{path}", fixture.relay)).bearer_auth(token)
}

fn get(fixture: &Fixture, path: &str, token: &str) -> RequestBuilder {
    call(fixture, Method::GET, path, token)
}

/// A gateway under lease whose tenant has one operator.
async fn with_operator() -> (Fixture, Tenant, Uuid) {
    let fixture = Fixture::leased().await;
    let (tenant, operator) = (fixture.tenant.clone(), Uuid::now_v7());
    fixture.admin.member(&tenant, operator, |_| {});
    fixture.backend.answers(|_| ok("{\"data\":1}"));
    (fixture, tenant, operator)
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_backend_as_its_operator_and_without_the_token() {
    let (fixture, tenant, operator) = with_operator().await;
    let token = operator_token(&tenant, operator, &json!({}));
    let sent = call(&fixture, Method::POST, "add/message?conversation_id=c1&x=%2F", &token)
        .header("x-relay-actor", "tenant")
        .header(header::COOKIE, "session=1")
        .body(r#"{"content":"hi"}"#);
    assert_eq!(status(sent).await, StatusCode::OK);
    let arrived = fixture.backend.last();
    assert_eq!((arrived.method.as_str(), &*arrived.body), ("POST", br#"{"content":"hi"}"#.as_slice()));
    assert_eq!(arrived.headers["x-relay-actor"], format!("operator:{operator}"));
    assert_eq!(arrived.headers["x-relay-tenant-id"], tenant.id.as_str());
    for kept_back in [header::AUTHORIZATION, header::COOKIE] {
        assert!(!arrived.headers.contains_key(&kept_back), "{kept_back}");
    }
    let (path, acting) = arrived.path_and_query.split_once("&relay_operator=").expect("who acts");
    assert_eq!(path, "/operator/add/message?conversation_id=c1&x=%2F");
    let acting: ActingOperator = acting.parse().expect("an operator");
    assert_eq!((acting.display_name.as_str(), &acting.routing_keys[..]), ("Ada", &["sales".to_owned()][..]));

    let forged = get(&fixture, "fetch/conversations?relay_operator=e30", &token);
    assert_eq!(refusal(forged).await, (422, "validation_failed".to_owned()));
    for outside in ["../fetch/messages", "%2e%2e/fetch/messages", "..%2ffetch/messages"] {
        let url = format!("http://{}/api/v1/operator/{outside}", fixture.relay);
        let sent = fixture.client.get(url).bearer_auth(&token);
        assert_eq!(status(sent).await, StatusCode::NOT_FOUND, "{outside}");
    }
    assert_eq!(fixture.backend.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operators_token_opens_the_lane() {
    let (fixture, tenant, operator) = with_operator().await;
    let (stranger, tenant_of_nobody) = (Uuid::now_v7(), crate::fakes::tenant());
    let ended = json!({"exp": 1_700_000_000});
    for (token, why) in [
        ("nonsense".to_owned(), "no token"),
        (visitor_token(&tenant, &json!({})), "a visitor's"),
        (operator_token(&tenant, operator, &ended), "ended"),
        (operator_token(&tenant, operator, &json!({"aud": "chat-widget"})), "for something else"),
        (operator_token(&tenant, operator, &json!({"sub": "op-1"})), "no operator's id"),
        (operator_token(&tenant, stranger, &json!({})), "an operator the tenant does not have"),
        (operator_token(&tenant_of_nobody, operator, &json!({})), "of a tenant that does not exist"),
    ] {
        for path in ["fetch/me", "fetch/conversations"] {
            let answer = get(&fixture, path, &token);
            assert_eq!(refusal(answer).await, (401, "invalid_operator_token".to_owned()), "{why}");
        }
    }
    let url = format!("http://{}/api/v1/operator/fetch/me", fixture.relay);
    let without = fixture.client.get(&url);
    assert_eq!(refusal(without).await.0, 401);
    let good = operator_token(&tenant, operator, &json!({}));
    let twice = fixture.client.get(&url).bearer_auth(&good).bearer_auth(&good);
    assert_eq!(refusal(twice).await.0, 401);
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_or_revoked_membership_ends_older_tokens_before_it_is_acknowledged() {
    let (fixture, tenant, operator) = with_operator().await;
    let old = operator_token(&tenant, operator, &json!({}));
    assert_eq!(status(get(&fixture, "fetch/conversations", &old)).await, StatusCode::OK);
    assert_eq!(status(get(&fixture, "fetch/conversations", &old)).await, StatusCode::OK);
    let asked = || fixture.admin.calls().iter().filter(|call| *call == "GetOperator").count();
    assert_eq!(asked(), 1, "what is known is kept");
    fixture.admin.set(&tenant, |state| state.sessions_ended = 3);
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(status(get(&fixture, "fetch/conversations", &old)).await, StatusCode::OK);
    assert_eq!(asked(), 1, "another change of the tenant leaves it");

    fixture.admin.member(&tenant, operator, |member| member.version = 1);
    fixture.admin.push_change(Some(&tenant)).await;
    let refused = get(&fixture, "fetch/conversations", &old);
    assert_eq!(refusal(refused).await, (401, "operator_token_superseded".to_owned()));
    let new = operator_token(&tenant, operator, &json!({"membership_version": 1}));
    assert_eq!(status(get(&fixture, "fetch/conversations", &new)).await, StatusCode::OK);

    fixture.admin.member(&tenant, operator, |member| (member.version, member.is_revoked) = (2, true));
    fixture.admin.push_change(Some(&tenant)).await;
    for (token, why) in
        [(new, "its token"), (operator_token(&tenant, operator, &json!({"membership_version": 2})), "any")]
    {
        let refused = get(&fixture, "fetch/me", &token);
        assert_eq!(refusal(refused).await, (401, "operator_token_superseded".to_owned()), "{why}");
    }
    assert_eq!(fixture.backend.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_and_the_end_of_all_tokens_reach_operators() {
    let (fixture, tenant, operator) = with_operator().await;
    let token = operator_token(&tenant, operator, &json!({}));
    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(&tenant)).await;
    let refused = get(&fixture, "fetch/conversations", &token);
    assert_eq!(refusal(refused).await, (403, "tenant_suspended".to_owned()));
    fixture.admin.set(&tenant, |state| {
        state.status = TenantStatus::Active.into();
        state.token_generation = 1;
    });
    fixture.admin.push_change(Some(&tenant)).await;
    let refused = get(&fixture, "fetch/conversations", &token);
    assert_eq!(refusal(refused).await, (401, "operator_token_superseded".to_owned()));
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_admin_service_no_operator_is_let_in_and_none_is_called_invalid() {
    let fixture = Fixture::start().await;
    let (tenant, operator) = (fixture.tenant.clone(), Uuid::now_v7());
    fixture.admin.member(&tenant, operator, |_| {});
    fixture.backend.answers(|_| ok("{}"));
    let token = operator_token(&tenant, operator, &json!({}));
    assert_eq!(status(get(&fixture, "fetch/conversations", &token)).await, StatusCode::OK);
    let colleague = Uuid::now_v7();
    fixture.admin.member(&tenant, colleague, |_| {});
    let unknown_yet = operator_token(&tenant, colleague, &json!({}));
    for (method, token) in [("GetTenant", &token), ("GetOperator", &unknown_yet)] {
        fixture.admin.break_method(method, ApiError::new(ErrorCode::StoreUnavailable, "away"));
        let refused = get(&fixture, "fetch/conversations", token);
        assert_eq!(refusal(refused).await, (503, "directory_unavailable".to_owned()), "{method}");
        fixture.admin.mend();
    }
    assert_eq!(fixture.backend.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_answers_who_it_is_and_another_token_itself() {
    let (fixture, tenant, operator) = with_operator().await;
    let token = operator_token(&tenant, operator, &json!({"auth_time": 1_790_000_000, "tenant_generation": 0}));
    let me: Value = get(&fixture, "fetch/me", &token).send().await.expect("an answer").json().await.expect("JSON");
    let expected = json!({
        "operator_id": operator, "tenant_id": tenant.id, "email": "ada@acme.com", "display_name": "Ada", "avatar_url": null,
        "routing_keys": ["sales"], "token_expires_at": me["data"]["token_expires_at"],
    });
    assert_eq!(me["data"], expected);
    let colleagues: Value =
        get(&fixture, "fetch/operators", &token).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(colleagues["data"]["next_cursor"], "next");
    let last = get(&fixture, "fetch/operators?cursor=next", &token);
    let last: Value = last.send().await.expect("an answer").json().await.expect("JSON");
    let colleague = &last["data"]["items"][0];
    assert_eq!((&last["data"]["next_cursor"], &colleague["display_name"]), (&Value::Null, &json!("Ada")), "{last}");
    assert!(colleague.get("email").is_none(), "no call of an inbox needs it");
    let refreshed = call(&fixture, Method::POST, "refresh/token", &token).send().await.expect("an answer");
    let refreshed: Value = refreshed.json().await.expect("JSON");
    assert_eq!(refreshed["data"]["operator_token"], format!("{operator} 0 0 1790000000"));
    let wrong = get(&fixture, "refresh/token", &token).send().await.expect("an answer");
    assert_eq!(
        (wrong.status(), &wrong.headers()[header::ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().expect("a value"))
    );
    let traced = call(&fixture, Method::TRACE, "fetch/conversations", &token);
    assert_eq!(status(traced).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_calls_no_more_often_than_it_may() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_OPERATOR_CALLS_PER_MIN", "3")]).await;
    let (tenant, busy, other) = (fixture.tenant.clone(), Uuid::now_v7(), Uuid::now_v7());
    for operator in [busy, other] {
        fixture.admin.member(&tenant, operator, |_| {});
    }
    let token = operator_token(&tenant, busy, &json!({}));
    for _ in 0..3 {
        assert_eq!(status(get(&fixture, "fetch/me", &token)).await, StatusCode::OK);
    }
    let refused = || get(&fixture, "fetch/me", &token);
    assert!(refused().send().await.expect("an answer").headers().contains_key(header::RETRY_AFTER));
    assert_eq!(refusal(refused()).await, (429, "rate_limited".to_owned()));
    let other = operator_token(&tenant, other, &json!({}));
    assert_eq!(status(get(&fixture, "fetch/me", &other)).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_tenants_who_take_them() {
    let (fixture, tenant, operator) = with_operator().await;
    let token = operator_token(&tenant, operator, &json!({}));
    let file = json!({"type": "image", "mime": "image/png", "size": 3, "url": "https://cdn.example.com/a.png"});
    let message = json!({"content": "see", "attachments": [file]}).to_string();
    let send = || call(&fixture, Method::POST, "add/message?conversation_id=c", &token).body(message.clone());
    assert_eq!(status(send()).await, StatusCode::OK);
    fixture.admin.set(&tenant, |state| state.file_upload_enabled = Some(false));
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(refusal(send()).await, (403, "feature_disabled".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_lists_and_revokes_its_operators() {
    let fixture = Fixture::leased().await;
    let post = |body: Value| fixture.post("revoke/operator", &body.to_string());
    let read =
        async |request: RequestBuilder| request.send().await.expect("an answer").json::<Value>().await.expect("JSON");
    let revoked = read(post(json!({"email": "ada@acme.com"}))).await;
    assert_eq!(revoked["data"]["email"], "ada@acme.com");
    assert!(revoked["data"]["revoked_at"].is_string(), "{revoked}");
    let by_id = read(post(json!({"operator_id": "op-7"}))).await;
    assert_eq!(by_id["data"]["email"], "op-7@acme.com");
    assert_eq!(refusal(post(json!({"email": "nobody@acme.com"}))).await, (404, "operator_not_found".to_owned()));
    for wrong in [json!({}), json!({"email": "a@b.c", "operator_id": "op-1"}), json!({"email": 1})] {
        assert_eq!(refusal(post(wrong.clone())).await.0, 422, "{wrong}");
    }
    let slow = Fixture::leased_with(600_000, &[("GATEWAY_CALL_DEADLINE_MS", "1000")]).await;
    slow.admin.is_slow.store(true, std::sync::atomic::Ordering::SeqCst);
    for (path, body) in [
        ("revoke/operator", json!({"email": "ada@acme.com"})),
        ("provision/operator", json!({"email": "ada@acme.com", "display_name": "Ada"})),
    ] {
        let answer = slow.post(path, &body.to_string());
        assert_eq!(refusal(answer).await, (503, "change_propagating".to_owned()), "{path}");
    }
    let list = async |query: &str| {
        let answer = fixture.signed(Method::GET, &format!("fetch/operators{query}"), "").send().await;
        answer.expect("an answer").json::<Value>().await.expect("JSON")["data"].clone()
    };
    let first = list("").await;
    assert_eq!((&first["items"][0]["email"], &first["next_cursor"]), (&json!("100.@acme.com"), &json!("next")));
    assert_eq!((&first["active"], &first["seats"]), (&json!(1), &json!(3)));
    let last = list("?limit=9999&cursor=next").await;
    assert_eq!((&last["items"][0]["email"], &last["next_cursor"]), (&json!("500.next@acme.com"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_its_own_files_runs_in_the_inbox() {
    let fixture = Fixture::start().await;
    let of = |path: &str| fixture.client.get(format!("http://{}/{path}", fixture.relay)).send();
    for (path, kind) in [
        ("inbox", "text/html; charset=utf-8"),
        ("inbox/inbox.js", "text/javascript; charset=utf-8"),
        ("inbox/inbox.css", "text/css; charset=utf-8"),
    ] {
        let answer = of(path).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let headers = answer.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(
            (&headers[header::CONTENT_TYPE], &headers[header::CACHE_CONTROL]),
            (&kind.parse().expect("a value"), &"no-cache".parse().expect("a value"))
        );
        assert!(headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none(), "{path}");
        let known = fixture
            .client
            .get(format!("http://{}/{path}", fixture.relay))
            .header(header::IF_NONE_MATCH, &headers[header::ETAG]);
        assert_eq!(known.send().await.expect("an answer").status(), StatusCode::NOT_MODIFIED, "{path}");
    }
    let page = of("inbox/").await.expect("an answer");
    assert_eq!((page.status(), page.url().path()), (StatusCode::OK, "/inbox"), "a slash at the end leads to the page");
}
