//! How a conversation goes from the bot to a person, and its ticket with it.

use serde_json::json;
use wire::TenantId;

use crate::support::{Backend, newest};

#[tokio::test]
async fn what_the_bot_does_not_know_becomes_a_persons_ticket() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    let messages = backend.say(tenant, &conversation, "Do you sell zeppelins?").await;
    assert_eq!(messages[1]["content"], "A person will answer you. Your ticket: TCK-000001.");
    let read = backend.get(tenant, &format!("/fetch/conversation?conversation_id={conversation}")).await;
    assert_eq!(read["handling"], "waiting");
    let tickets = backend.get(tenant, "/fetch/tickets?status=open").await;
    let ticket = &tickets["items"][0];
    assert_eq!(
        (&ticket["ticket_number"], &ticket["tags"], &ticket["conversation_id"]),
        (&json!("TCK-000001"), &json!(["escalation", "low_confidence"]), &json!(conversation))
    );

    let messages = backend.say(tenant, &conversation, "Hello?").await;
    assert_eq!(messages.len(), 3, "while a person is awaited the bot is silent");
    backend
        .post(
            tenant,
            &format!("/add/message?conversation_id={conversation}"),
            json!({"role": "agent", "content": "Hi, I am Ann."}),
        )
        .await;
    let read = backend.get(tenant, &format!("/fetch/conversation?conversation_id={conversation}")).await;
    assert_eq!(read["handling"], "assigned");

    let other = backend.conversation(tenant).await;
    let messages = backend.say(tenant, &other, "Let me talk to a human").await;
    assert_eq!(messages[1]["content"], "A person will answer you. Your ticket: TCK-000002.");
    assert_eq!(backend.get(tenant, "/fetch/tickets").await["items"][0]["tags"], json!(["escalation", "user_request"]));
    let contact =
        json!({"customer_email": "a@b.c", "customer_name": "N", "subject": "S", "message": "M", "company": "C"});
    let opened = backend.post(tenant, "/create/contact-ticket", contact).await;
    assert_eq!(
        (&opened["status"], &opened["ticket_number"], &opened["tenant_id"]),
        (&json!("waiting"), &json!("TCK-000003"), &json!(tenant))
    );
}

const ORDERS: &str = "Track your order from the link in your e-mail.";

#[tokio::test]
async fn after_a_hand_over_the_bot_answers_what_it_knows_until_a_person_is_wanted_or_there() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let handling = async |conversation: &str| {
        let path = format!("/fetch/conversation?conversation_id={conversation}");
        backend.get(tenant, &path).await["handling"].as_str().expect("text").to_owned()
    };
    let orders = json!({"title": "Orders", "body": ORDERS, "language": "en"});
    let taken_over = backend.conversation(tenant).await;
    let mut waiting = [backend.conversation(tenant).await, taken_over.clone()];
    for conversation in &waiting {
        // Two at once: one ticket.
        let question = "Where is my order?";
        let both = futures_util::future::join(
            backend.say(tenant, conversation, question),
            backend.say(tenant, conversation, question),
        );
        both.await;
        assert_eq!(handling(conversation).await, "waiting");
    }
    assert_eq!(backend.get(tenant, "/fetch/tickets").await["items"].as_array().map(Vec::len), Some(2));

    backend.post(tenant, "/ingest/knowledge", orders).await;
    for conversation in &waiting {
        let messages = backend.say(tenant, conversation, "Where is my order?").await;
        assert_eq!(newest(&messages), (5, "bot", ORDERS), "what it has learnt meanwhile");
        assert_eq!(messages[4]["citations"][0]["title"], "Orders");
        for unknown in ["Do you sell zeppelins?", "Thanks!"] {
            assert_eq!(newest(&backend.say(tenant, conversation, unknown).await).1, "visitor", "{unknown}");
        }
        assert_eq!(handling(conversation).await, "waiting");
    }
    assert_eq!(backend.get(tenant, "/fetch/tickets").await["items"].as_array().map(Vec::len), Some(2));

    // One asks for a person: the request is heard, and from then on the bot is silent.
    let asks = &mut waiting[0];
    let messages = backend.say(tenant, asks, "Let me talk to a human").await;
    assert_eq!(newest(&messages), (9, "system", "A person will answer you. Your ticket: TCK-000001."));
    assert_eq!(newest(&backend.say(tenant, asks, "Where is my order?").await).1, "visitor");
    assert_eq!(newest(&backend.say(tenant, asks, "Let me talk to a human").await).1, "visitor");
    assert_eq!(backend.get(tenant, "/fetch/tickets").await["items"].as_array().map(Vec::len), Some(2));

    // To the other a person comes.
    let path = format!("/add/message?conversation_id={taken_over}");
    backend.post(tenant, &path, json!({"role": "agent", "content": "Hi, I am Ann."})).await;
    assert_eq!(newest(&backend.say(tenant, &taken_over, "Where is my order?").await).1, "visitor");
    assert_eq!(handling(&taken_over).await, "assigned");
    let open = backend.get(tenant, "/fetch/tickets?status=open").await;
    assert_eq!(open["items"].as_array().map(Vec::len), Some(1), "the ticket is assigned with its conversation: {open}");

    // A visitor who asks for a person at once, or writes by the contact form, gets no more answers from the bot either.
    let at_once = backend.conversation(tenant).await;
    backend.say(tenant, &at_once, "Let me talk to a human").await;
    let contact = json!({"customer_email": "a@b.c", "customer_name": "N", "subject": "S", "message": "M"});
    let opened = backend.post(tenant, "/create/contact-ticket", contact).await;
    for conversation in [&at_once, opened["conversation_id"].as_str().expect("an id")] {
        assert_eq!(newest(&backend.say(tenant, conversation, "Where is my order?").await).1, "visitor");
    }
}

#[tokio::test]
async fn ticket_numbers_have_no_gaps_and_no_doubles_under_load() {
    let backend = std::sync::Arc::new(Backend::start().await);
    let tenant = TenantId::generate();
    let opened = (0..20).map(|index| {
        let backend = std::sync::Arc::clone(&backend);
        tokio::spawn(async move {
            let contact =
                json!({"customer_email": format!("{index}@b.c"), "customer_name": "N", "subject": "S", "message": "M"});
            backend.post(tenant, "/create/contact-ticket", contact).await["ticket_number"]
                .as_str()
                .expect("text")
                .to_owned()
        })
    });
    let mut numbers = Vec::new();
    for number in opened.collect::<Vec<_>>() {
        numbers.push(number.await.expect("no panic"));
    }
    numbers.sort();
    let expected: Vec<_> = (1..=20).map(|number| format!("TCK-{number:06}")).collect();
    assert_eq!(numbers, expected);
}
