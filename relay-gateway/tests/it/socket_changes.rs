//! What a change does to the sockets that are open, and how frames are judged where the gateway hears of no changes.

use std::time::{Duration, Instant};

use e2e::visitor::Said;
use proto::directory::v1::TenantStatus;
use serde_json::json;
use service::ApiError;
use tokio_tungstenite::tungstenite::Message;
use wire::ErrorCode;

use crate::fakes::{Fixture, another, connect, talk};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_has_closed_what_it_forbids_when_it_is_acknowledged() {
    let mut fixture = Fixture::leased().await;
    let other = another(&fixture);
    let (mut unconcerned, mut its_backend) = talk(&mut fixture, &other, &json!({})).await;
    for what in ["suspended", "rotated", "origin removed"] {
        let tenant = another(&fixture);
        let mut talks = Vec::new();
        for _ in 0..5 {
            talks.push(talk(&mut fixture, &tenant, &json!({})).await);
        }
        match what {
            "suspended" => fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into()),
            "rotated" => fixture.admin.widget_access(&tenant, |access| access.widgets.clear()),
            _ => fixture
                .admin
                .widget_access(&tenant, |access| access.allowed_origins = vec!["https://new.example".to_owned()]),
        }
        fixture.admin.push_change(Some(&tenant)).await;
        for (mut visitor, mut backend) in talks {
            // The gateway has acknowledged the change, so this must not reach the browser.
            let _ = backend.takes(Message::text("{\"type\":\"late\"}"), Duration::from_secs(1)).await;
            assert!(matches!(visitor.next().await, Said::Closed(4403, _)), "{what}");
        }
    }
    its_backend.say(&json!({"type": "still", "here": true})).await;
    unconcerned.hear("still").await;
    fixture.admin.push_change(None).await;
    its_backend.say(&json!({"type": "again", "here": true})).await;
    unconcerned.hear("again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_races_a_new_socket_closes_it_too() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let held = fixture.admin.hold_lookups().await;
    // It has its slot, and waits for what is known of its tenant: read before the change, answered after.
    let mut visitor = connect(&fixture, &tenant, &json!({})).await;
    while fixture.admin.lookups() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    let admin = fixture.admin.clone();
    let changing = tokio::spawn(async move { admin.push_change(Some(&tenant)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!changing.is_finished(), "the socket is not judged yet");
    drop(held);
    changing.await.expect("acknowledged");
    assert_eq!(visitor.closed().await, 4403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_look_reaches_the_widgets_that_are_open() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    fixture.admin.push_change(Some(&tenant)).await;
    fixture.admin.widget_access(&tenant, |access| {
        let look = json!({"bot_id": "b1", "customization": {"theme_color": "#FF0000"}});
        access.widgets.values_mut().for_each(|widget| widget.config_json = look.to_string());
    });
    fixture.admin.push_change(Some(&tenant)).await;
    let told = visitor.hear("config").await;
    assert_eq!(told["widget_config"]["customization"]["theme_color"], "#FF0000", "told once, and of what is new");
    backend.say(&json!({"type": "next"})).await;
    visitor.hear("next").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lease_every_frame_is_judged_and_waits_where_it_cannot_be() {
    let mut fixture = Fixture::start().await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    let before = fixture.admin.lookups();
    visitor.ask("judged").await;
    backend.hear().await.expect("a frame");
    assert_eq!(fixture.admin.lookups(), before + 1);

    fixture.admin.break_method("GetTenant", ApiError::new(ErrorCode::StoreUnavailable, "away"));
    let client_id = visitor.ask("not yet").await;
    let told = visitor.hear("error").await;
    assert_eq!((&told["error_code"], &told["client_id"]), (&json!("directory_unavailable"), &json!(client_id)));
    assert_eq!(told["retry_after_seconds"], 1);
    fixture.admin.mend();
    visitor.ask("now").await;
    assert_eq!(backend.hear().await.expect("a frame")["content"], "now");

    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    visitor.ask("too late").await;
    assert_eq!(visitor.closed().await, 4403);
    assert_eq!(backend.hear().await, None, "what is said after a suspension reaches nobody");

    let other = another(&fixture);
    let (mut visitor, mut backend) = talk(&mut fixture, &other, &json!({})).await;
    fixture.admin.set(&other, |state| state.status = TenantStatus::Suspended.into());
    backend.say(&json!({"type": "message"})).await;
    assert!(matches!(visitor.next().await, Said::Closed(4403, _)), "nor does what the backend says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_cannot_be_judged_in_time_is_closed_and_holds_up_nothing() {
    let mut fixture = Fixture::leased().await;
    let (tenant, other) = (fixture.tenant.clone(), another(&fixture));
    let (mut visitor, _backend) = talk(&mut fixture, &tenant, &json!({})).await;
    let (mut unconcerned, mut its_backend) = talk(&mut fixture, &other, &json!({})).await;
    let held = fixture.admin.hold_lookups().await;
    let begun = Instant::now();
    fixture.admin.push_change(Some(&tenant)).await;
    assert!(begun.elapsed() < Duration::from_millis(2500), "acknowledged after {:?}", begun.elapsed());
    assert_eq!(visitor.closed().await, 1013, "it may be forbidden, and may come back");
    drop(held);
    its_backend.say(&json!({"type": "still", "here": true})).await;
    unconcerned.hear("still").await;
}
