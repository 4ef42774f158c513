//! The store's contract: events, their numbers, and the order in which they are delivered.

use std::time::Duration;

use admin_service::{
    event::{EventState, PublishedEvent, Usage},
    store::{
        AttemptRecord, AttemptResult, Claim, EventFilter, EventStore as _, EventsAfter, NextStep, OutboxStore as _,
        Publication, PublishError, Recorded, Replayed,
    },
};
use jiff::Timestamp;
use serde_json::json;

use super::*;

const PERIOD: Duration = Duration::from_secs(30);

async fn with_callback(store: &SeaStore, name: &str) -> Tenant {
    let tenant = create(store, name).await;
    let settings =
        TenantSettings { callback_url_base: Some("https://hooks.example.com".to_owned()), ..tenant.settings.clone() };
    let audit = audit(tenant.id, Action::UpdateTenant);
    store.apply_update(tenant.id, tenant.revision, &settings, audit).await.expect("written")
}

fn event(tenant: &Tenant, id: &str, conversation: Option<&str>) -> PublishedEvent {
    let value = json!({
        "event_id": id, "event_type": "message_received", "occurred_at": "2026-11-26T10:00:00Z",
        "conversation_id": conversation,
    });
    PublishedEvent::read(tenant.id, value.as_object().expect("an object").clone()).expect("an event")
}

async fn publish(store: &SeaStore, tenant: &Tenant, events: &[(&str, Option<&str>)]) -> Vec<u64> {
    let events = events.iter().map(|(id, conversation)| event(tenant, id, *conversation)).collect();
    let publication = Publication { tenant_id: tenant.id, events, usage: Vec::new(), admin_key: None };
    store.publish(publication).await.expect("published")
}

/// Claims the tenant's outbox, if it can be claimed.
async fn claim_alone(store: &SeaStore, tenant: &Tenant) -> Option<Claim> {
    let claims = store.claim(1000, PERIOD).await.expect("claims");
    claims.into_iter().find(|claim| claim.tenant_id == tenant.id)
}

/// Claims the tenant's outbox, if it can be claimed. Restarts it if the claim says so, as workers do.
async fn claim(store: &SeaStore, tenant: &Tenant) -> Option<Claim> {
    let claim = claim_alone(store, tenant).await?;
    if claim.is_restarted {
        assert!(store.restart(claim, now()).await.expect("restarted"));
    }
    Some(claim)
}

/// The ids of what is due, sorted: nothing is promised across conversations.
async fn due(store: &SeaStore, tenant: &Tenant) -> Vec<String> {
    let due = store.due(tenant.id, 100).await.expect("reads");
    let mut ids: Vec<_> = due.into_iter().map(|event| event.event_id).collect();
    ids.sort_unstable();
    ids
}

fn result(seq: u64, next: NextStep) -> AttemptResult {
    let attempt = AttemptRecord {
        started_at: now(),
        latency: Duration::from_millis(12),
        status: Some(200),
        reason: "delivered".to_owned(),
        answer: "ok".to_owned(),
    };
    let has_failed = Some(!matches!(next, NextStep::Finished(EventState::Delivered)));
    AttemptResult { seq, attempt, next, has_failed }
}

const DELIVERED: NextStep = NextStep::Finished(EventState::Delivered);

fn later() -> NextStep {
    NextStep::Again(now() + Duration::from_secs(3600))
}

async fn states(store: &SeaStore, tenant: &Tenant) -> Vec<&'static str> {
    match store.events_after(tenant.id, Some(0), 100).await.expect("reads") {
        EventsAfter::Events { items, .. } => items.into_iter().map(|event| event.state.as_str()).collect(),
        expired @ EventsAfter::Expired { .. } => panic!("{expired:?}"),
    }
}

pub(super) async fn events_are_numbered_without_gaps_and_taken_once(store: &SeaStore) {
    let tenant = with_callback(store, "Numbered").await;
    assert_eq!(publish(store, &tenant, &[("a", Some("c")), ("b", None)]).await, [1, 2]);
    assert_eq!(publish(store, &tenant, &[("b", None), ("c", Some("c")), ("c", Some("c"))]).await, [2, 3, 3]);
    let reused = Publication {
        tenant_id: tenant.id,
        events: vec![event(&tenant, "d", None), event(&tenant, "a", Some("another"))],
        usage: Vec::new(),
        admin_key: None,
    };
    assert!(matches!(store.publish(reused).await, Err(PublishError::Reused(id)) if id == "a"));
    assert_eq!(states(store, &tenant).await, ["pending"; 3], "nothing of a refused publication is written");
    let usage = Usage { message_id: "m1".to_owned(), created_at: now() };
    for _ in 0..2 {
        let counted = Publication {
            tenant_id: tenant.id,
            events: Vec::new(),
            usage: vec![usage.clone(), usage.clone()],
            admin_key: None,
        };
        store.publish(counted).await.expect("counted once");
    }
    let unknown =
        Publication { tenant_id: TenantId::generate(), events: Vec::new(), usage: vec![usage], admin_key: None };
    let refused = store.publish(unknown).await;
    assert!(matches!(refused, Err(PublishError::Store(StoreError::NotFound(Missing::Tenant)))), "{refused:?}");

    // Publications at the same time leave no gap either.
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, tenant) = (store.clone(), tenant.clone());
            tokio::spawn(async move {
                for index in 0..5 {
                    publish(&store, &tenant, &[(&format!("w{writer}-{index}"), Some("w"))]).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let EventsAfter::Events { items: all, .. } = store.events_after(tenant.id, Some(0), 500).await.expect("reads")
    else {
        panic!("nothing was removed");
    };
    assert_eq!(all.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=43).collect::<Vec<_>>());
}

pub(super) async fn a_conversation_is_delivered_in_its_order(store: &SeaStore) {
    let tenant = with_callback(store, "Ordered").await;
    publish(store, &tenant, &[("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b")), ("n", None)]).await;
    let held = claim(store, &tenant).await.expect("claimed");
    assert_eq!(claim(store, &tenant).await, None, "an outbox is claimed once");
    assert_eq!(due(store, &tenant).await, ["a1", "b1", "n"]);
    // While an event is tried again, later events of its conversation wait, and nobody else's.
    let written = store.record(held, &[result(1, later()), result(3, DELIVERED)], PERIOD).await.expect("written");
    assert!(matches!(written, Recorded::Written { failing: None, is_restarted: false }), "one of both was taken");
    publish(store, &tenant, &[("a3", Some("a")), ("b2", Some("b"))]).await;
    assert_eq!(due(store, &tenant).await, ["b2", "n"]);
    // A parked one holds up nothing.
    let parked = NextStep::Finished(EventState::Parked);
    store.record(held, &[result(1, parked)], PERIOD).await.expect("written");
    assert_eq!(due(store, &tenant).await, ["a2", "b2", "n"]);
    store.record(held, &[result(2, DELIVERED), result(4, DELIVERED)], PERIOD).await.expect("written");
    assert_eq!(due(store, &tenant).await, ["a3", "b2"]);
    assert_eq!(states(store, &tenant).await, ["parked", "delivered", "delivered", "delivered", "pending", "pending"]);
    let (first, attempts) = store.event(tenant.id, "a1").await.expect("found");
    assert_eq!((first.attempts, attempts.len(), attempts[1].status), (2, 2, Some(200)));
    store.release(held).await.expect("released");
    assert!(claim(store, &tenant).await.is_some(), "what is due is claimed again");
}

pub(super) async fn results_of_an_earlier_claim_are_refused(store: &SeaStore) {
    let tenant = with_callback(store, "Fenced").await;
    publish(store, &tenant, &[("a", None)]).await;
    let earlier = store.claim(1000, Duration::ZERO).await.expect("claims");
    let earlier = earlier.into_iter().find(|claim| claim.tenant_id == tenant.id).expect("claimed");
    let later = claim(store, &tenant).await.expect("a claim whose time is over is given to another worker");
    assert!(later.token > earlier.token);
    let refused = store.record(earlier, &[result(1, DELIVERED)], PERIOD).await.expect("answered");
    assert_eq!((refused, states(store, &tenant).await), (Recorded::ClaimLost, vec!["pending"]));
    store.release(earlier).await.expect("nothing to release");
    assert_eq!(claim(store, &tenant).await, None);
    store.record(later, &[result(1, DELIVERED)], PERIOD).await.expect("written");
    assert_eq!(states(store, &tenant).await, ["delivered"]);
}

pub(super) async fn what_is_held_is_due_at_once_when_it_is_freed(store: &SeaStore) {
    let tenant = with_callback(store, "Held").await;
    publish(store, &tenant, &[("a1", Some("a")), ("a2", Some("a")), ("b1", Some("b"))]).await;
    let held = claim(store, &tenant).await.expect("claimed");
    let written = store.record(held, &[result(1, later())], PERIOD).await.expect("written");
    let Recorded::Written { failing: Some(failing), is_restarted: false } = written else { panic!("{written:?}") };
    assert_eq!(failing.attempts, 1);
    store.release(held).await.expect("released");
    let suspending = audit(tenant.id, Action::SuspendTenant);
    let suspended = store.set_status(tenant.id, TenantStatus::Suspended, suspending).await.expect("set");
    assert_eq!((states(store, &tenant).await, claim(store, &tenant).await), (vec!["held"; 3], None));
    // What the tenant was when the attempt began is over: the endpoint may be another one.
    let late = store.stop_endpoint(tenant.id, tenant.revision, audit(tenant.id, Action::EndpointStopped)).await;
    assert!(matches!(late, Err(StoreError::Conflict)), "{late:?}");
    let stopped = audit(tenant.id, Action::EndpointStopped);
    store.stop_endpoint(tenant.id, suspended.revision, stopped).await.expect("stopped");
    let active = audit(tenant.id, Action::ReactivateTenant);
    store.set_status(tenant.id, TenantStatus::Active, active).await.expect("set");
    assert_eq!(claim(store, &tenant).await, None, "its endpoint is stopped");
    let started = store.start_endpoint(tenant.id, audit(tenant.id, Action::StartEndpoint)).await.expect("started");
    assert_eq!(started.endpoint_stopped_at, None);
    let freed = claim(store, &tenant).await.expect("claimed");
    assert!(freed.is_restarted);
    assert_eq!(due(store, &tenant).await, ["a1", "b1"]);
    store.release(freed).await.expect("released");

    // Another callback starts a stopped endpoint, too.
    let stopped = audit(tenant.id, Action::EndpointStopped);
    let stopped = store.stop_endpoint(tenant.id, started.revision, stopped).await.expect("stopped");
    let settings =
        TenantSettings { callback_url_base: Some("https://other.example.com".to_owned()), ..stopped.settings.clone() };
    let moved = audit(tenant.id, Action::UpdateTenant);
    let moved = store.apply_update(tenant.id, stopped.revision, &settings, moved).await.expect("written");
    assert_eq!(moved.endpoint_stopped_at, None);
    assert!(claim(store, &tenant).await.is_some_and(|claim| claim.is_restarted));
}

pub(super) async fn what_is_freed_during_a_claim_is_due_at_once_too(store: &SeaStore) {
    let tenant = with_callback(store, "Freed").await;
    publish(store, &tenant, &[("a", Some("a")), ("b", Some("b"))]).await;
    let held = claim(store, &tenant).await.expect("claimed");
    store.record(held, &[result(1, later())], PERIOD).await.expect("written");
    for (status, action) in
        [(TenantStatus::Suspended, Action::SuspendTenant), (TenantStatus::Active, Action::ReactivateTenant)]
    {
        store.set_status(tenant.id, status, audit(tenant.id, action)).await.expect("set");
    }
    // The worker that still has the outbox hears of it with its next result.
    let written = store.record(held, &[result(2, DELIVERED)], PERIOD).await.expect("written");
    assert!(matches!(written, Recorded::Written { is_restarted: true, .. }), "{written:?}");
    store.release(held).await.expect("released");
    let next = claim(store, &tenant).await.expect("what is to be restarted stays due");
    assert!(next.is_restarted);
    assert_eq!(due(store, &tenant).await, ["a"]);
}

pub(super) async fn a_pending_event_is_replayed_in_its_order(store: &SeaStore) {
    let tenant = with_callback(store, "Replayed").await;
    publish(store, &tenant, &[("a1", Some("a")), ("a2", Some("a"))]).await;
    let held = claim(store, &tenant).await.expect("claimed");
    store.record(held, &[result(1, later())], PERIOD).await.expect("written");
    store.replay(tenant.id, "a2", None, now()).await.expect("replayed");
    assert_eq!(due(store, &tenant).await, Vec::<String>::new(), "it waits for the one before it");
    store.replay(tenant.id, "a1", None, now()).await.expect("replayed");
    assert_eq!(due(store, &tenant).await, ["a1"]);
    store.record(held, &[result(1, DELIVERED)], PERIOD).await.expect("written");
    assert_eq!(due(store, &tenant).await, ["a2"]);
}

pub(super) async fn a_page_of_large_events_fits_into_a_message(store: &SeaStore) {
    let tenant = create(store, "Large").await;
    let large = |id: u32| {
        let value = json!({
            "event_id": format!("e{id}"), "event_type": "message_received", "occurred_at": "2026-11-26T10:00:00Z",
            "extra": {"a": "x".repeat(16_000)},
        });
        PublishedEvent::read(tenant.id, value.as_object().expect("an object").clone()).expect("an event")
    };
    for batch in 0..4 {
        let events = (0..50).map(|id| large(batch * 50 + id)).collect();
        let publication = Publication { tenant_id: tenant.id, events, usage: Vec::new(), admin_key: None };
        store.publish(publication).await.expect("published");
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.events_after(tenant.id, after, 500).await.expect("reads");
        let EventsAfter::Events { items, next } = page else { panic!("{page:?}") };
        assert!(items.iter().map(|event| event.body.len()).sum::<usize>() < 3 * 1024 * 1024);
        if items.is_empty() {
            break;
        }
        seen.extend(items.iter().map(|event| event.seq));
        after = Some(next);
    }
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
}

pub(super) async fn events_without_a_callback_are_kept_and_can_be_replayed(store: &SeaStore) {
    let tenant = create(store, "Without callback").await;
    publish(store, &tenant, &[("a", Some("c")), ("b", Some("c"))]).await;
    assert_eq!((states(store, &tenant).await, claim(store, &tenant).await), (vec!["no_endpoint"; 2], None));
    let all = Replayed {
        tenant_id: tenant.id,
        state: EventState::NoEndpoint,
        since: Timestamp::UNIX_EPOCH,
        until: now(),
        after: 0,
        admin_key: None,
    };
    assert_eq!(store.replay_all(&all, 1, now()).await.expect("replayed"), [1]);
    assert_eq!(store.replay_all(&Replayed { after: 1, ..all }, 9, now()).await.expect("replayed"), [2]);
    let held = claim(store, &tenant).await.expect("claimed");
    assert_eq!(due(store, &tenant).await, ["a", "b"], "replays are outside the order");
    store.give_up(held).await.expect("given up");
    for (status, action) in
        [(TenantStatus::Suspended, Action::SuspendTenant), (TenantStatus::Active, Action::ReactivateTenant)]
    {
        store.set_status(tenant.id, status, audit(tenant.id, action)).await.expect("set");
    }
    let freed = claim_alone(store, &tenant).await.expect("claimed");
    assert!(freed.is_restarted);
    store.give_up(freed).await.expect("given up");
    assert_eq!(claim(store, &tenant).await, None, "an outbox without a callback is not claimed again and again");
    let now_with = with_callback(store, "With callback").await;
    publish(store, &now_with, &[("a", None)]).await;
    let pending = claim(store, &now_with).await.expect("claimed");
    store.give_up(pending).await.expect("nothing to give up");
    assert_eq!(states(store, &now_with).await, ["pending"], "the tenant has a callback");
    assert_eq!(states(store, &tenant).await, ["no_endpoint"; 2]);
    let unknown = store.replay(tenant.id, "x", None, now()).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(Missing::Event))), "{unknown:?}");
    let filter = EventFilter { tenant_id: Some(tenant.id), state: Some(EventState::NoEndpoint), ..Default::default() };
    let page = store.events(filter.clone(), None, 1).await.expect("reads");
    assert_eq!((page.items[0].1.seq, page.next.is_some()), (2, true), "newest first");
    let rest = store.events(filter, page.next, 10).await.expect("reads");
    assert_eq!((rest.items.len(), rest.items[0].1.seq, rest.next), (1, 1, None));
}

pub(super) async fn old_events_are_removed_from_the_oldest_on_and_none_that_is_pending(store: &SeaStore) {
    let tenant = with_callback(store, "Pruned").await;
    publish(store, &tenant, &[("a", None), ("b", None), ("c", None)]).await;
    let held = claim(store, &tenant).await.expect("claimed");
    store.record(held, &[result(1, DELIVERED), result(3, DELIVERED)], PERIOD).await.expect("written");
    let month = Duration::from_hours(24 * 30);
    let soon = now() + Duration::from_secs(10);
    while store.prune(month, soon).await.expect("pruned") {}
    assert_eq!(states(store, &tenant).await.len(), 3, "they are kept for a month");
    let then = now() + month + Duration::from_secs(10);
    while store.prune(month, then).await.expect("pruned") {}
    let expired = store.events_after(tenant.id, Some(0), 10).await.expect("reads");
    assert_eq!(expired, EventsAfter::Expired { first_seq: 2 });
    for after in [None, Some(1)] {
        let kept = store.events_after(tenant.id, after, 10).await.expect("reads");
        let EventsAfter::Events { items, next } = kept else { panic!("{kept:?}") };
        assert_eq!((items.len(), next), (2, 3), "from the oldest that is kept");
    }
    store.record(held, &[result(2, DELIVERED)], PERIOD).await.expect("written");
    let day_after = then + Duration::from_hours(25);
    while store.prune(month, day_after).await.expect("pruned") {}
    assert_eq!(store.events_after(tenant.id, Some(0), 10).await.expect("reads"), EventsAfter::Expired { first_seq: 4 });
    for after in [None, Some(3)] {
        let nothing = EventsAfter::Events { items: Vec::new(), next: 3 };
        assert_eq!(store.events_after(tenant.id, after, 10).await.expect("reads"), nothing);
    }
    assert_eq!(publish(store, &tenant, &[("d", None)]).await, [4], "numbers go on");
}
