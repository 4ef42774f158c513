//! What the bot answers, and what it answers from.

use serde_json::json;
use wire::TenantId;

use crate::support::{Backend, newest};

#[tokio::test]
async fn the_bot_answers_from_what_was_ingested_and_cites_it() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let document = backend
        .post(tenant, "/ingest/knowledge", json!({"title": "Orders", "body": "Track your order from the link in your e-mail.\n\nRefunds take five days.", "language": "en", "tags": ["a"]}))
        .await;
    assert_eq!(
        (&document["version"], &document["status"], &document["tags"]),
        (&json!(1), &json!("published"), &json!(["a"]))
    );
    let conversation = backend.conversation(tenant).await;
    let messages = backend.say(tenant, &conversation, "Where is my order?").await;
    let answer = &messages[1];
    assert_eq!(
        (&answer["role"], &answer["content"]),
        (&json!("bot"), &json!("Track your order from the link in your e-mail."))
    );
    assert_eq!(
        (&answer["citations"][0]["document_id"], &answer["citations"][0]["document_version"]),
        (&document["id"], &json!(1))
    );
    assert!(answer["confidence"].as_f64().is_some_and(|confidence| (0.5..=1.0).contains(&confidence)));

    let next = backend
        .post(
            tenant,
            "/ingest/knowledge",
            json!({"title": "Orders", "body": "Orders are tracked by phone.", "language": "en"}),
        )
        .await;
    assert_eq!((&next["id"], &next["version"]), (&document["id"], &json!(2)));
    let messages = backend.say(tenant, &conversation, "Where is my order?").await;
    let answer = messages.last().expect("an answer");
    assert_eq!(
        (&answer["content"], &answer["citations"][0]["document_version"]),
        (&json!("Orders are tracked by phone."), &json!(2))
    );

    let messages = backend.say(tenant, &conversation, "hello").await;
    assert_eq!(messages.last().expect("a greeting")["content"], "Hello! What can I do for you?");
}

#[tokio::test]
async fn the_demos_articles_answer_only_on_local_pages_for_a_tenant_that_has_none() {
    let backend = Backend::start_with(true).await;
    let (new, taught) = (TenantId::generate(), TenantId::generate());
    let local = json!({"origin": "http://localhost:7811"});
    for origin in ["http://localhost:7811", "http://127.0.0.1:8000", "http://[::1]:7811"] {
        let conversation = backend.conversation_about(new, json!({"origin": origin})).await;
        let messages = backend.say(new, &conversation, "Where is my order?").await;
        let (_, role, content) = newest(&messages);
        assert!(role == "bot" && content.contains("This shop is a demo"), "{origin}: {messages:?}");
        assert_eq!(messages[1]["citations"][0]["title"], "Orders");
    }
    for (ticket, elsewhere) in [
        json!({"origin": "https://shop.demo.com"}),
        json!({"origin": "http://localhost.evil.example"}),
        json!({"origin": "app://localhost"}),
        json!({"origin": 7811}),
        json!({}),
    ]
    .into_iter()
    .enumerate()
    {
        let conversation = backend.conversation_about(new, elsewhere.clone()).await;
        let messages = backend.say(new, &conversation, "Where is my order?").await;
        let told = format!("A person will answer you. Your ticket: TCK-{:06}.", ticket + 1);
        assert_eq!(newest(&messages), (2, "system", told.as_str()), "{elsewhere}");
    }

    let parrots = json!({"title": "Parrots", "body": "Parrots eat seeds.", "language": "en"});
    backend.post(taught, "/ingest/knowledge", parrots).await;
    let conversation = backend.conversation_about(taught, local).await;
    let messages = backend.say(taught, &conversation, "Where is my order?").await;
    assert_eq!(newest(&messages), (2, "system", "A person will answer you. Your ticket: TCK-000001."));
}

#[tokio::test]
async fn hostile_words_are_only_words() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    backend
        .post(tenant, "/ingest/knowledge", json!({"title": "T", "body": "plain text about parcels", "language": "en"}))
        .await;
    for hostile in [
        "\"",
        "parcels\" OR tenant:\"x",
        "'; DROP TABLE message; --",
        "NEAR(parcels",
        "*",
        "parcels AND",
        "\u{200b}",
        &"é".repeat(8000),
    ] {
        let conversation = backend.conversation(tenant).await;
        let messages = backend.say(tenant, &conversation, hostile).await;
        assert_eq!((messages.len() >= 2, &messages[0]["content"]), (true, &json!(hostile)), "{hostile}");
    }
}

#[tokio::test]
async fn upper_and_lower_case_and_accents_do_not_count_in_any_script() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    for (title, body) in [("Доставка", "Доставка занимает три дня."), ("Été", "L'ÉTÉ, la boutique ferme à midi.")]
    {
        let document = json!({"title": title, "body": body, "language": "fr"});
        backend.post(tenant, "/ingest/knowledge", document).await;
        for question in [title.to_lowercase(), title.to_uppercase()] {
            let conversation = backend.conversation(tenant).await;
            let messages = backend.say(tenant, &conversation, &question).await;
            assert_eq!(messages[1]["content"], body, "{question}");
        }
    }
}
