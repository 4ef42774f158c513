//! Operators' sockets: who gets one, by a token or a ticket, and what closes it before a change is acknowledged. PROTOCOL.md, section 8.5.

use std::time::Duration;

use e2e::{
    signed::Tenant,
    visitor::{Said, Visitor},
};
use proto::directory::v1::TenantStatus;
use serde_json::{Value, json};
use service::ApiError;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;
use wire::ErrorCode;

use crate::fakes::{BackendSocket, Fixture, another, operator_token, visitor_token};

async fn ticket(fixture: &Fixture, token: &str) -> String {
    let url = format!("http://{}/api/v1/operator/create/socket-ticket", fixture.relay);
    let made = fixture.client.post(url).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.expect("JSON");
    made["data"]["ticket"].as_str().expect("a ticket").to_owned()
}

/// An operator's socket and the backend's end of it, both past their greetings.
async fn talk(fixture: &mut Fixture, tenant: &Tenant, operator: Uuid, claims: &Value) -> (Visitor, BackendSocket) {
    let token = operator_token(tenant, operator, claims);
    let mut page = Visitor::connect_operator(fixture.relay, "", Some(&token)).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    let hello = backend.hear().await.expect("hello");
    let expected = json!({
        "type": "hello", "operator_id": operator, "display_name": "Ada", "avatar_url": null, "routing_keys": ["sales"],
    });
    assert_eq!((&hello, backend.actor.as_str()), (&expected, &*format!("operator:{operator}")));
    backend.say(&json!({"type": "welcome", "counts": {}})).await;
    page.hear("welcome").await;
    (page, backend)
}

async fn closed(page: &mut Visitor) -> u16 {
    match page.next().await {
        Said::Closed(code, _) => code,
        Said::Frame(frame) => panic!("{frame}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_says_is_checked_and_written_anew() {
    let mut fixture = Fixture::leased().await;
    let (tenant, operator) = (fixture.tenant.clone(), Uuid::now_v7());
    fixture.admin.member(&tenant, operator, |_| {});
    let (mut page, mut backend) = talk(&mut fixture, &tenant, operator, &json!({})).await;
    let id = Uuid::new_v4().to_string();
    page.say(&json!({"type": "claim", "client_id": id, "conversation_id": "c1", "operator_id": "forged"})).await;
    let claim = json!({"type": "claim", "client_id": id, "conversation_id": "c1"});
    assert_eq!(backend.hear().await, Some(claim));
    page.say(&json!({"type": "shout", "client_id": id})).await;
    let refused = page.hear("error").await;
    assert_eq!((&refused["error_code"], &refused["client_id"]), (&json!("validation_failed"), &json!(id)));
    fixture.admin.set(&tenant, |state| state.file_upload_enabled = Some(false));
    fixture.admin.push_change(Some(&tenant)).await;
    let file = json!({"type": "image", "mime": "image/png", "size": 1, "url": "https://cdn.example.com/a.png"});
    let message =
        json!({"type": "message", "client_id": id, "conversation_id": "c1", "content": "see", "attachments": [file]});
    page.say(&message).await;
    assert_eq!(page.hear("error").await["error_code"], "feature_disabled");
    backend.say(&json!({"type": "counts", "counts": {"waiting": 1}})).await;
    assert_eq!(page.hear("counts").await["counts"]["waiting"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_socket_and_no_other_text_opens_any() {
    let mut fixture = Fixture::leased().await;
    let (tenant, operator) = (fixture.tenant.clone(), Uuid::now_v7());
    fixture.admin.member(&tenant, operator, |_| {});
    let token = operator_token(&tenant, operator, &json!({}));
    let query = format!("?ticket={}", ticket(&fixture, &token).await);
    let mut page = Visitor::connect_operator(fixture.relay, &query, None).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    assert_eq!(backend.hear().await.expect("hello")["operator_id"], json!(operator));
    backend.say(&json!({"type": "welcome"})).await;
    page.hear("welcome").await;
    let used = Visitor::connect_operator(fixture.relay, &query, None).await;
    let as_ticket = format!("?ticket={token}");
    let as_token = format!("?token={token}");
    for (mut refused, why) in [
        (used, "it was used"),
        (Visitor::connect_operator(fixture.relay, "?ticket=nonsense", None).await, "no ticket"),
        (Visitor::connect_operator(fixture.relay, "", None).await, "nothing"),
        (Visitor::connect_operator(fixture.relay, &as_ticket, None).await, "a token is no ticket"),
        (Visitor::connect_operator(fixture.relay, &as_token, None).await, "no token stands in a URL"),
        (
            Visitor::connect_operator(fixture.relay, "", Some(&visitor_token(&tenant, &json!({})))).await,
            "a visitor's token",
        ),
        (
            Visitor::connect_operator(fixture.relay, "", Some(&operator_token(&tenant, operator, &json!({"exp": 1}))))
                .await,
            "an ended token",
        ),
        (
            Visitor::connect_operator(fixture.relay, "", Some(&operator_token(&tenant, Uuid::now_v7(), &json!({}))))
                .await,
            "nobody's",
        ),
    ] {
        assert_eq!(closed(&mut refused).await, 4401, "{why}");
    }
    // And an operator's token opens no visitor's socket.
    let mut visitor = Visitor::connect(fixture.relay, &token).await;
    assert_eq!(closed(&mut visitor).await, 4401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_has_closed_what_it_forbids_when_it_is_acknowledged() {
    let mut fixture = Fixture::leased().await;
    let (tenant, other) = (fixture.tenant.clone(), another(&fixture));
    let (kept, stranger) = (Uuid::now_v7(), Uuid::now_v7());
    fixture.admin.member(&tenant, kept, |_| {});
    fixture.admin.member(&other, stranger, |_| {});
    let (mut colleague, mut colleagues_backend) = talk(&mut fixture, &tenant, kept, &json!({})).await;
    let (mut elsewhere, mut elsewheres_backend) = talk(&mut fixture, &other, stranger, &json!({})).await;
    for (what, code) in [("revoked", 4401), ("other keys", 4401)] {
        let operator = Uuid::now_v7();
        fixture.admin.member(&tenant, operator, |_| {});
        fixture.admin.push_change(Some(&tenant)).await;
        let (mut first, mut first_gone) = talk(&mut fixture, &tenant, operator, &json!({})).await;
        let (mut second, mut second_gone) = talk(&mut fixture, &tenant, operator, &json!({})).await;
        fixture.admin.member(&tenant, operator, |member| {
            member.version = 1;
            member.is_revoked = what == "revoked";
        });
        fixture.admin.push_change(Some(&tenant)).await;
        // It is acknowledged: nothing passes either way any more.
        let claim = json!({"type": "claim", "client_id": Uuid::new_v4(), "conversation_id": "late"});
        first.try_send(&claim).await;
        let _ = second_gone.takes(Message::text("{\"type\":\"late\"}"), Duration::from_secs(1)).await;
        assert_eq!(first_gone.hear().await, None, "{what}");
        assert_eq!([closed(&mut first).await, closed(&mut second).await], [code, code], "{what}");
    }
    colleagues_backend.say(&json!({"type": "still", "here": 1})).await;
    colleague.hear("still").await;
    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(closed(&mut colleague).await, 4403);
    elsewheres_backend.say(&json!({"type": "still", "here": 1})).await;
    elsewhere.hear("still").await;
    fixture.admin.set(&other, |state| state.token_generation = 1);
    fixture.admin.push_change(Some(&other)).await;
    assert_eq!(closed(&mut elsewhere).await, 4401, "the tenant ended all its tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lease_each_frame_is_judged() {
    let mut fixture = Fixture::start().await;
    let (tenant, operator) = (fixture.tenant.clone(), Uuid::now_v7());
    fixture.admin.member(&tenant, operator, |_| {});
    let (mut page, mut backend) = talk(&mut fixture, &tenant, operator, &json!({})).await;
    page.say(&json!({"type": "typing", "conversation_id": "c1"})).await;
    assert_eq!(backend.hear().await.expect("a frame")["type"], "typing");
    fixture.admin.break_method("GetTenant", ApiError::new(ErrorCode::StoreUnavailable, "away"));
    page.say(&json!({"type": "typing", "conversation_id": "c1"})).await;
    assert_eq!(page.hear("error").await["error_code"], "directory_unavailable");
    fixture.admin.mend();
    fixture.admin.member(&tenant, operator, |member| (member.version, member.is_revoked) = (1, true));
    page.say(&json!({"type": "typing", "conversation_id": "c1"})).await;
    assert_eq!(closed(&mut page).await, 4401);
}
