//! What the backend publishes to the admin service, and that nothing of it is lost, doubled or out of order.

use sea_orm::{ConnectionTrait as _, Database, Statement};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wire::{SessionId, TenantId};

use crate::{
    admin::{Admin, Answer},
    sockets::{Relay, golden},
    support::{Backend, TestDatabase},
};

/// A backend that publishes to an admin service, over a database of its own.
async fn publishing() -> (Backend, Admin, TestDatabase) {
    let (admin, place) = (Admin::start().await, TestDatabase::new());
    let backend = Backend::start_in(&place, Some(&admin.url)).await;
    (backend, admin, place)
}

/// The rows that are left in the outbox: their ids, and why they were refused.
async fn rows(place: &TestDatabase) -> Vec<(String, Option<String>)> {
    let database = Database::connect(&place.url).await.expect("it opens");
    let sql = "SELECT event_id, refused_reason FROM outbox ORDER BY id";
    let rows =
        database.query_all_raw(Statement::from_string(database.get_database_backend(), sql)).await.expect("rows");
    rows.iter()
        .map(|row| (row.try_get("", "event_id").expect("text"), row.try_get("", "refused_reason").expect("text")))
        .collect()
}

/// Waits until the outbox has so many rows.
async fn until_left(place: &TestDatabase, count: usize) -> Vec<(String, Option<String>)> {
    for _ in 0..400 {
        let left = rows(place).await;
        if left.len() == count {
            return left;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{:?} are left", rows(place).await);
}

async fn add(backend: &Backend, tenant: TenantId, conversation: &str, role: &str, content: &str) -> Value {
    let path = format!("/add/message?conversation_id={conversation}");
    backend.post(tenant, &path, json!({"role": role, "content": content})).await["id"].clone()
}

fn form() -> Value {
    json!({"customer_email": "a@b.c", "customer_name": "N", "subject": "S", "message": "M"})
}

#[tokio::test]
async fn each_step_from_the_bot_to_a_person_is_told() {
    let (backend, admin, place) = publishing().await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    let mut counted = vec![add(&backend, tenant, &conversation, "visitor", "Do you sell zeppelins?").await];
    counted.push(add(&backend, tenant, &conversation, "visitor", "Let me talk to a human").await);
    counted.push(add(&backend, tenant, &conversation, "agent", "Hi, I am Ann.").await);
    add(&backend, tenant, &conversation, "bot", "Beep.").await;
    counted.push(add(&backend, tenant, &conversation, "system", "The shop is closed.").await);
    counted.push(add(&backend, tenant, &conversation, "agent", "Bye.").await);

    let taken = admin.until(|taken| taken.usage.len() == 5).await;
    let messages: Vec<_> = taken.usage.iter().map(|(_, usage)| usage["message_id"].clone()).collect();
    assert_eq!(messages, counted);
    let expected = [
        "conversation_started",
        "message_received",
        "ticket_created",
        "escalation_triggered",
        "message_received",
        "escalation_triggered",
        "ticket_assigned",
    ];
    assert_eq!(taken.types(tenant), expected);
    let ticket = backend.get(tenant, "/fetch/tickets").await["items"][0].clone();
    for event in taken.of(tenant) {
        e2e::times::check_times(event);
        assert_eq!((&event["conversation_id"], &event["visitor_user_id"]), (&json!(conversation), &json!("u")));
        assert!(event["extra"].is_object() && event.get("content").is_none(), "{event}");
        let of_message = event["event_type"] == "message_received";
        assert_eq!(event["message_id"].is_string(), of_message, "{event}");
        let of_ticket = !of_message && event["event_type"] != "conversation_started";
        if of_ticket {
            assert_eq!(
                (&event["ticket_id"], &event["ticket_number"]),
                (&ticket["id"], &json!("TCK-000001")),
                "{event}"
            );
        }
        let of_escalation = of_ticket && event["event_type"] != "ticket_assigned";
        let escalation = if of_escalation { &ticket["escalation_id"] } else { &Value::Null };
        assert_eq!(&event["escalation_id"], escalation, "{event}");
    }
    let reasons: Vec<_> = taken.of(tenant).map(|event| event["escalation_reason"].clone()).collect();
    assert_eq!(json!(reasons), json!([null, null, "low_confidence", "low_confidence", null, "user_request", null]));
    until_left(&place, 0).await;
}

#[tokio::test]
async fn a_contact_form_is_an_escalation_that_says_where_it_comes_from() {
    let (backend, admin, _directory) = publishing().await;
    let tenant = TenantId::generate();
    let opened = backend.post(tenant, "/create/contact-ticket", form()).await;
    let taken = admin.until(|taken| taken.events.len() == 5).await;
    let expected =
        ["conversation_started", "message_received", "ticket_created", "escalation_triggered", "contact_submitted"];
    assert_eq!((taken.types(tenant), taken.usage.len()), (expected.to_vec(), 1));
    for event in taken.of(tenant) {
        assert_eq!(
            (&event["conversation_id"], &event["visitor_user_id"]),
            (&opened["conversation_id"], &json!("a@b.c"))
        );
    }
    let events: Vec<_> = taken.of(tenant).collect();
    for event in &events[2..4] {
        assert_eq!(
            (&event["escalation_reason"], &event["extra"]["source"]),
            (&json!("direct"), &json!("contact_form"))
        );
    }
    assert_eq!(events[4]["ticket_id"], opened["ticket_id"]);
}

#[tokio::test]
async fn the_first_message_of_a_visitor_who_wants_a_person_opens_a_ticket_and_a_repeated_message_tells_nothing() {
    let (backend, admin, _directory) = publishing().await;
    let tenant = TenantId::generate();
    let mut relay = Relay::connect(&backend, tenant, SessionId::generate()).await;
    relay.say(&golden("hello", "session")).await;
    assert_eq!(relay.hear().await["status"], "waiting");
    let first = json!({"type": "message", "client_id": "0199c0de-0000-7000-8000-000000000001", "content": "Hello?"});
    let mut second = first.clone();
    second["client_id"] = json!("0199c0de-0000-7000-8000-000000000002");
    for message in [&first, &first, &second, &first] {
        relay.say(message).await;
        assert_eq!(relay.hear().await["client_id"], message["client_id"]);
    }
    let taken = admin.until(|taken| taken.events.len() >= 5).await;
    let expected =
        ["conversation_started", "message_received", "ticket_created", "escalation_triggered", "message_received"];
    assert_eq!((taken.types(tenant), taken.usage.len()), (expected.to_vec(), 2));
    let reasons: Vec<_> = taken.of(tenant).map(|event| event["escalation_reason"].clone()).collect();
    assert_eq!(json!(reasons), json!([null, null, "direct", "direct", null]));
    assert_eq!(backend.get(tenant, "/fetch/tickets").await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_slow_admin_service_holds_up_no_call_and_gets_everything_in_order() {
    let (backend, admin, place) = publishing().await;
    let tenant = TenantId::generate();
    admin.hold();
    let mut numbers = Vec::new();
    for _ in 0..40 {
        let opened = backend.post(tenant, "/create/contact-ticket", form()).await;
        numbers.push(opened["ticket_number"].clone());
    }
    admin.resume();
    let taken = admin.until(|taken| taken.events.len() == 200 && taken.usage.len() == 40).await;
    let created: Vec<_> = taken
        .of(tenant)
        .filter(|event| event["event_type"] == "ticket_created")
        .map(|event| event["ticket_number"].clone())
        .collect();
    assert_eq!(created, numbers);
    assert!(taken.calls.len() <= 4, "what waits goes in batches: {} calls", taken.calls.len());
    until_left(&place, 0).await;
}

#[tokio::test]
async fn what_a_failing_admin_service_does_not_take_is_sent_until_it_does() {
    let (backend, admin, place) = publishing().await;
    let (tenant, other) = (TenantId::generate(), TenantId::generate());
    let mut answers = vec![
        Answer::Take,
        Answer::TakeUnheard,
        Answer::Refuse(404, "not_found"),
        Answer::Refuse(429, "rate_limited"),
        Answer::Refuse(401, "invalid_relay_signature"),
        Answer::Refuse(503, "store_unavailable"),
    ];
    admin.decide(move |_, _| answers.pop().unwrap_or(Answer::Take));
    let conversation = backend.conversation(tenant).await;
    for index in 0..6 {
        add(&backend, tenant, &conversation, "visitor", &format!("Zeppelin {index}")).await;
        backend.conversation(other).await;
    }
    let taken = admin.until(|taken| taken.events.len() == 15).await;
    let expected = ["conversation_started", "message_received", "ticket_created", "escalation_triggered"];
    assert_eq!(taken.types(tenant)[..4], expected);
    assert_eq!(taken.types(tenant)[4..], ["message_received"; 5]);
    let told: Vec<_> = taken.of(tenant).filter(|event| event["message_id"].is_string()).collect();
    assert!(told.is_sorted_by_key(|event| event["message_id"].as_str()), "{told:?}");
    until_left(&place, 0).await;
}

#[tokio::test]
async fn a_tenant_whose_events_fail_holds_up_no_other() {
    let (backend, admin, place) = publishing().await;
    let tenants = [TenantId::generate(), TenantId::generate(), TenantId::generate()];
    let failing = tenants[1];
    admin.decide(move |tenant, _| if tenant == failing { Answer::Refuse(503, "x") } else { Answer::Take });
    for tenant in tenants {
        backend.conversation(tenant).await;
    }
    let taken = admin.until(|taken| taken.events.len() == 2).await;
    assert!(taken.types(failing).is_empty());
    until_left(&place, 1).await;
}

#[tokio::test]
async fn a_row_that_is_refused_for_ever_stays_and_blocks_nothing() {
    let (backend, admin, place) = publishing().await;
    let tenant = TenantId::generate();
    admin.hold();
    let conversation = backend.conversation(tenant).await;
    add(&backend, tenant, &conversation, "visitor", "Do you sell zeppelins?").await;
    let is_bad = |body: &Value| {
        body["events"].as_array().expect("a list").iter().any(|event| event["event_type"] == "ticket_created")
    };
    admin.decide(move |_, body| if is_bad(body) { Answer::Refuse(422, "validation_failed") } else { Answer::Take });
    admin.resume();
    let taken = admin.until(|taken| taken.events.len() == 3 && taken.usage.len() == 1).await;
    assert_eq!(taken.types(tenant), ["conversation_started", "message_received", "escalation_triggered"]);
    let left = until_left(&place, 1).await;
    let reason = left[0].1.as_deref().expect("a reason");
    assert!(reason.contains("422 validation_failed"), "{reason}");

    admin.decide(|_, _| Answer::Take);
    let calls = admin.taken().calls.len();
    add(&backend, tenant, &conversation, "visitor", "Hello?").await;
    let taken = admin.until(|taken| taken.events.len() == 4 && taken.usage.len() == 2).await;
    assert!(taken.calls[calls..].iter().all(|(_, body)| !is_bad(body)), "it is not sent again");
    assert_eq!(until_left(&place, 1).await, left);
}

#[tokio::test]
async fn an_event_whose_answer_a_killed_backend_did_not_see_is_sent_again_under_its_id() {
    let (admin, place) = (Admin::start().await, TestDatabase::new());
    let tenant = TenantId::generate();
    admin.hold();
    let killed = Runtime::new().expect("a runtime");
    let (kept, url) = (place.clone(), admin.url.clone());
    let served = killed.spawn(async move {
        let backend = Backend::start_in(&kept, Some(&url)).await;
        backend.conversation(tenant).await;
        backend
    });
    let backend = served.await.expect("it serves");
    let sent = admin.until(|taken| !taken.calls.is_empty()).await.calls[0].1["events"].clone();
    killed.shutdown_background();
    drop(backend);
    admin.resume();

    let backend = Backend::start_in(&place, Some(&admin.url)).await;
    let taken = admin.until(|taken| taken.calls.len() == 2).await;
    assert_eq!(taken.calls[1].1["events"], sent, "the same event, under its id");
    until_left(&place, 0).await;
    backend.close().await;
    assert_eq!(admin.taken().types(tenant), ["conversation_started"]);
}

#[tokio::test]
async fn what_is_left_is_sent_before_the_backend_ends() {
    let (backend, admin, place) = publishing().await;
    let tenant = TenantId::generate();
    admin.decide(|_, _| Answer::Refuse(503, "store_unavailable"));
    backend.conversation(tenant).await;
    // After so many failures the next pause is longer than the last try waits.
    admin.until(|taken| taken.calls.len() >= 4).await;
    admin.decide(|_, _| Answer::Take);
    backend.close().await;
    assert_eq!((admin.taken().types(tenant), rows(&place).await), (vec!["conversation_started"], Vec::new()));
}

#[tokio::test]
async fn nothing_is_kept_for_an_admin_service_that_no_setting_names() {
    let place = TestDatabase::new();
    let backend = Backend::start_in(&place, None).await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    add(&backend, tenant, &conversation, "visitor", "Do you sell zeppelins?").await;
    backend.post(tenant, "/create/contact-ticket", form()).await;
    assert_eq!(rows(&place).await, Vec::new());
}
