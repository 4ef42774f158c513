//! The leased cache from outside: what it saves, what it drops, and what it never does.

use std::time::Duration;

use proto::directory::v1::{TenantStatus, watch_request::Message};
use service::ApiError;
use wire::ErrorCode;

use crate::fakes::{Fixture, ok, refusal, tenant};

fn suspended() -> (u16, String) {
    (403, "tenant_suspended".to_owned())
}

/// A call with a body of its own, so that no two are one.
async fn status(fixture: &Fixture, body: &str) -> u16 {
    fixture.post("a", body).send().await.expect("an answer").status().as_u16()
}

fn held(fixture: &Fixture) -> bool {
    fixture.shown_metrics().contains("\ndirectory_lease_held 1\n")
}

/// Waits for a condition, for as long as the slowest machine needs.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_tenant_is_looked_up_once_and_again_when_it_has_changed() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    for call in 0..5 {
        assert_eq!(status(&fixture, &format!("{call}")).await, 200);
    }
    assert_eq!(fixture.admin.lookups(), 1);
    // Somebody else's change concerns nobody here; its own does; and a start-over concerns all.
    fixture.admin.push_change(Some(&tenant())).await;
    assert_eq!((status(&fixture, "5").await, fixture.admin.lookups()), (200, 1));
    fixture.admin.set(&fixture.tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(&fixture.tenant)).await;
    assert_eq!((refusal(fixture.post("a", "6")).await, fixture.admin.lookups()), (suspended(), 2));
    fixture.admin.set(&fixture.tenant, |state| state.status = TenantStatus::Active.into());
    fixture.admin.push_change(None).await;
    assert_eq!((status(&fixture, "7").await, fixture.admin.lookups()), (200, 3));
    let metrics = fixture.shown_metrics();
    for shown in [
        "directory_lookups_total{outcome=\"hit\"} 5",
        "directory_lookups_total{outcome=\"miss\"} 3",
        "\ndirectory_lease_held 1\n",
        "directory_lease_age_seconds 0.",
    ] {
        assert!(metrics.contains(shown), "{shown} in {metrics}");
    }
}

#[tokio::test]
async fn many_who_come_at_once_make_one_fetch() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let held = fixture.admin.hold_lookups().await;
    let calls: Vec<_> = (0..50).map(|call| tokio::spawn(fixture.post("a", &format!("{call}")).send())).collect();
    let merged = || fixture.shown_metrics().contains("directory_lookups_total{outcome=\"merged\"} 49");
    until(async || merged()).await;
    drop(held);
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
    assert_eq!(fixture.admin.lookups(), 1);
}

#[tokio::test]
async fn a_fetch_that_a_change_overtakes_is_made_again() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let held = fixture.admin.hold_lookups().await;
    let call = tokio::spawn(fixture.post("a", "1").send());
    until(async || fixture.admin.lookups() == 1).await;
    // What it read is old before it arrives, and the change is acknowledged although it is still on its way.
    fixture.admin.set(&fixture.tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(&fixture.tenant)).await;
    drop(held);
    assert_eq!(call.await.expect("no panic").expect("an answer").status(), 403);
    assert_eq!(fixture.admin.lookups(), 2);
    assert_eq!((refusal(fixture.post("a", "2")).await, fixture.admin.lookups()), (suspended(), 2));
    assert!(fixture.shown_metrics().contains("directory_repeats_total 1"));
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_take_the_others_fetch_along() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let held = fixture.admin.hold_lookups().await;
    let impatient = tokio::spawn(fixture.post("a", "1").send());
    until(async || fixture.admin.lookups() == 1).await;
    impatient.abort();
    assert!(impatient.await.expect_err("it left").is_cancelled());
    let patient = tokio::spawn(fixture.post("a", "2").send());
    until(async || fixture.shown_metrics().contains("directory_lookups_total{outcome=\"merged\"} 1")).await;
    drop(held);
    assert_eq!(patient.await.expect("no panic").expect("an answer").status(), 200);
    assert_eq!(fixture.admin.lookups(), 1);
}

#[tokio::test]
async fn unknown_tenants_are_kept_until_they_become_known() {
    let mut fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let newcomer = tenant();
    let known = std::mem::replace(&mut fixture.tenant, newcomer);
    for call in 0..3 {
        assert_eq!(status(&fixture, &format!("{call}")).await, 401);
    }
    assert_eq!(fixture.admin.lookups(), 1);
    fixture.admin.set(&fixture.tenant, |_| {});
    fixture.admin.push_change(Some(&fixture.tenant)).await;
    assert_eq!((status(&fixture, "3").await, fixture.admin.lookups()), (200, 2));
    fixture.tenant = known;
    assert_eq!((status(&fixture, "4").await, fixture.admin.lookups()), (200, 3));
}

/// A caller could tell tenants' ids from others by the time their refusals take, if one kind were asked for again and the other not.
#[tokio::test]
async fn an_unknown_tenant_is_asked_for_no_more_often_than_a_known_one() {
    let mut fixture = Fixture::leased().await;
    let stranger = tenant();
    let known = fixture.tenant.clone();
    let mut wrong = known.clone();
    wrong.secret = format!("sk_{}", "w".repeat(43));
    // Unknown ids were once kept for ten seconds. Nothing happens meanwhile that could be waited for.
    for pause in [Duration::ZERO, Duration::ZERO, Duration::from_millis(10_500)] {
        tokio::time::sleep(pause).await;
        for caller in [&wrong, &stranger] {
            fixture.tenant = caller.clone();
            assert_eq!(refusal(fixture.post("a", "1")).await, (401, "invalid_signature".to_owned()));
        }
        assert_eq!(fixture.admin.lookups(), 2, "each once, after {pause:?}");
    }
    // Ids that are invented push out no tenant.
    for _ in 0..50 {
        fixture.tenant = tenant();
        assert_eq!(status(&fixture, "1").await, 401);
    }
    fixture.tenant = wrong;
    assert_eq!((status(&fixture, "1").await, fixture.admin.lookups()), (401, 52));
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    fixture.admin.break_method("GetTenant", ApiError::new(ErrorCode::Internal, "broken on purpose"));
    assert_eq!(status(&fixture, "1").await, 503);
    fixture.admin.mend();
    assert_eq!(status(&fixture, "2").await, 200);
}

#[tokio::test]
async fn without_a_lease_every_call_is_looked_up_and_with_one_again_none() {
    let fixture = Fixture::leased_for(400).await;
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!((status(&fixture, "0").await, fixture.admin.lookups()), (200, 1));
    fixture.admin.lease(0);
    until(async || !held(&fixture)).await;
    // A change that nobody can tell the gateway of.
    fixture.admin.set(&fixture.tenant, |state| state.status = TenantStatus::Suspended.into());
    assert_eq!((refusal(fixture.post("a", "1")).await, fixture.admin.lookups()), (suspended(), 2));
    assert_eq!((refusal(fixture.post("a", "2")).await, fixture.admin.lookups()), (suspended(), 3));
    fixture.admin.break_method("GetTenant", ApiError::new(ErrorCode::Internal, "broken on purpose"));
    assert_eq!(refusal(fixture.post("a", "3")).await, (503, "directory_unavailable".to_owned()), "it never guesses");
    fixture.admin.mend();
    fixture.admin.set(&fixture.tenant, |state| state.status = TenantStatus::Active.into());
    fixture.admin.lease(600_000);
    until(async || held(&fixture)).await;
    assert_eq!(status(&fixture, "4").await, 200);
    let before = fixture.admin.lookups();
    assert_eq!((status(&fixture, "5").await, fixture.admin.lookups()), (200, before));
}

#[tokio::test]
async fn a_gateway_is_ready_from_its_first_lease_on() {
    let fixture = Fixture::start().await;
    let ready = async || {
        let url = format!("http://{}/readyz", fixture.relay);
        let answer = fixture.client.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let (code, reason) = ready().await;
    assert!(code == 503 && reason.contains("no lease"), "{reason}");
    fixture.admin.lease(400);
    until(async || ready().await.0 == 200).await;
    fixture.admin.lease(0);
    until(async || !held(&fixture)).await;
    assert_eq!(ready().await.0, 200, "an admin service that is away does not empty the load balancer");
    fixture.stopping.cancel();
    until(async || ready().await.0 == 503).await;
}

#[tokio::test]
async fn a_gateway_that_stops_gives_its_lease_up() {
    let fixture = Fixture::leased().await;
    let heard = fixture.admin.heard();
    assert!(matches!(heard.first(), Some(Message::Hello(hello)) if hello.gateway.len() == 16), "{heard:?}");
    fixture.stopping.cancel();
    let Fixture { admin, running, .. } = fixture;
    running.drained().await;
    admin.until_heard(|message| matches!(message, Message::GiveUp(_))).await;
}
