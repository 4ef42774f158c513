//! The chat backend by itself: whom it believes, whom it shows what, and how its bot answers.

use chat_backend::Store;
use http::Method;
use serde_json::{Value, json};
use service::{
    edge::{ClientAddresses, Edge},
    serve::{self, Bounds},
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio_util::sync::CancellationToken;
use wire::{
    TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, WINDOW_MS},
    time::now_unix_ms,
};

const SECRET: &str = "a-relay-secret-for-tests";
/// The first is one that the relay does not sign with yet.
const SECRETS: &str = "the-next-relay-secret-for-tests,a-relay-secret-for-tests";

struct Backend {
    base: String,
    client: reqwest::Client,
    stopping: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Backend {
    async fn start() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(demo_knowledge: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("chat.db").display());
        let store = Store::open(&url).await.expect("it opens");
        let stopping = CancellationToken::new();
        let edge = Edge {
            server: "test",
            metrics: HttpServerMetrics::new(&Metrics::default()),
            access_log: false,
            clients: ClientAddresses::default(),
        };
        let mut backend = chat_backend::Backend::new(store, stopping.clone());
        if demo_knowledge {
            backend = backend.with_demo_knowledge().await.expect("it opens");
        }
        let router = edge.wrap(chat_backend::router(backend, &SECRETS.parse().expect("secrets")));
        let listener = serve::bind("listen", ([127, 0, 0, 1], 0).into()).await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve::serve(listener, router, Bounds::default(), stopping.clone()));
        Self { base, client: reqwest::Client::new(), stopping, _directory: directory }
    }

    fn headers(tenant: &str, method: &Method, path: &str, body: &[u8], timestamp: i64) -> Vec<(&'static str, String)> {
        let timestamp = timestamp.to_string();
        let call = RelayedCall {
            timestamp: &timestamp,
            method: method.as_str(),
            path_and_query: path,
            tenant_id: tenant,
            actor: "tenant",
        };
        let signature = RelayKey::new(SECRET.as_bytes()).sign(&call, &BodyDigest::of(body)).to_hex();
        vec![
            ("x-relay-tenant-id", tenant.to_owned()),
            ("x-relay-timestamp", timestamp),
            ("x-relay-actor", "tenant".to_owned()),
            ("x-relay-signature", signature),
        ]
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        headers: Vec<(&'static str, String)>,
    ) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_vec());
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.expect("an answer");
        let (status, answer) = (answer.status().as_u16(), answer.json().await.expect("JSON"));
        e2e::times::check_times(&answer);
        (status, answer)
    }

    async fn call(&self, tenant: TenantId, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let headers = Self::headers(&tenant.to_string(), &method, path, &body, now_unix_ms());
        self.send(method, path, &body, headers).await
    }

    async fn post(&self, tenant: TenantId, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(tenant, Method::POST, path, Some(body)).await;
        assert_eq!(status, 201, "{answer}");
        answer["data"].clone()
    }

    async fn get(&self, tenant: TenantId, path: &str) -> Value {
        let (status, answer) = self.call(tenant, Method::GET, path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    }

    async fn conversation(&self, tenant: TenantId) -> String {
        self.conversation_about(tenant, json!({})).await
    }

    async fn conversation_about(&self, tenant: TenantId, metadata: Value) -> String {
        let body = json!({"visitor_user_id": "u", "locale": "en", "metadata": metadata});
        self.post(tenant, "/create/conversation", body).await["id"].as_str().expect("an id").to_owned()
    }

    async fn say(&self, tenant: TenantId, conversation: &str, content: &str) -> Vec<Value> {
        let path = format!("/add/message?conversation_id={conversation}");
        self.post(tenant, &path, json!({"role": "visitor", "content": content})).await;
        let messages = self.get(tenant, &format!("/fetch/messages?conversation_id={conversation}")).await;
        messages["items"].as_array().expect("a list").clone()
    }
}

#[tokio::test]
async fn nothing_is_believed_that_the_relay_did_not_sign() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate().to_string();
    let (post, path, body) = (Method::POST, "/create/conversation", br#"{"visitor_user_id":"u"}"#);
    let good = || Backend::headers(&tenant, &post, path, body, now_unix_ms());
    assert_eq!(backend.send(post.clone(), path, body, good()).await.0, 201);

    let mut attempts: Vec<Vec<(&'static str, String)>> = vec![
        Vec::new(),
        Backend::headers(&tenant, &Method::PUT, path, body, now_unix_ms()),
        Backend::headers(&tenant, &post, "/create/other", body, now_unix_ms()),
        Backend::headers(&tenant, &post, path, b"tampered", now_unix_ms()),
        Backend::headers(&tenant, &post, path, body, now_unix_ms() - WINDOW_MS - 5_000),
        Backend::headers(&tenant, &post, path, body, now_unix_ms() + WINDOW_MS + 5_000),
    ];
    for index in 0..4 {
        let mut without = good();
        without.remove(index);
        attempts.push(without);
        let mut twice = good();
        twice.push(good()[index].clone());
        attempts.push(twice);
        let mut other = good();
        other[index].1 = match index {
            0 => TenantId::generate().to_string(),
            1 => (now_unix_ms() + 1).to_string(),
            2 => "operator:forged".to_owned(),
            _ => "0".repeat(64),
        };
        attempts.push(other);
    }
    for headers in attempts {
        let (status, answer) = backend.send(post.clone(), path, body, headers.clone()).await;
        assert_eq!((status, &answer["error_code"]), (401, &json!("invalid_relay_signature")), "{headers:?}");
    }
    let answer = backend.client.post(format!("{}{path}", backend.base)).send().await.expect("an answer");
    assert_eq!(answer.headers()["x-relay-refused"], "signature", "the gateway makes a 502 of it");
    let listed = backend.get(tenant.parse().expect("an id"), "/fetch/conversations").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn each_tenant_sees_only_its_own() {
    let backend = Backend::start().await;
    let (one, other) = (TenantId::generate(), TenantId::generate());
    let conversation = backend.conversation(one).await;
    backend
        .post(
            one,
            "/ingest/knowledge",
            json!({"title": "Refunds", "body": "Refunds take five days.", "language": "en"}),
        )
        .await;
    backend.say(one, &conversation, "something unheard of").await;
    let ticket = backend.get(one, "/fetch/tickets").await["items"][0]["id"].as_str().expect("an id").to_owned();

    for path in [
        format!("/fetch/conversation?conversation_id={conversation}"),
        format!("/fetch/messages?conversation_id={conversation}"),
        format!("/fetch/ticket?ticket_id={ticket}"),
    ] {
        assert_eq!(backend.call(one, Method::GET, &path, None).await.0, 200, "{path}");
        assert_eq!(backend.call(other, Method::GET, &path, None).await.0, 404, "{path}");
    }
    let (status, _) = backend
        .call(
            other,
            Method::POST,
            &format!("/add/message?conversation_id={conversation}"),
            Some(json!({"content": "hi"})),
        )
        .await;
    assert_eq!(status, 404);
    for path in ["/fetch/conversations", "/fetch/tickets", "/fetch/conversations?visitor_user_id=u"] {
        assert_eq!(backend.get(other, path).await["items"], json!([]), "{path}");
    }
    let theirs = backend.conversation(other).await;
    let messages = backend.say(other, &theirs, "How long do refunds take?").await;
    assert_eq!(messages[1]["role"], "system", "another tenant's knowledge answers nobody else: {messages:?}");
}

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

/// The role and content of a conversation's newest message, and how many there are.
fn newest(messages: &[Value]) -> (usize, &str, &str) {
    let newest = messages.last().expect("a message");
    (messages.len(), newest["role"].as_str().expect("a role"), newest["content"].as_str().expect("text"))
}

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

    // Who asks for a person at once, or writes by the contact form, hears no bot either.
    let at_once = backend.conversation(tenant).await;
    backend.say(tenant, &at_once, "Let me talk to a human").await;
    let contact = json!({"customer_email": "a@b.c", "customer_name": "N", "subject": "S", "message": "M"});
    let opened = backend.post(tenant, "/create/contact-ticket", contact).await;
    for conversation in [&at_once, opened["conversation_id"].as_str().expect("an id")] {
        assert_eq!(newest(&backend.say(tenant, conversation, "Where is my order?").await).1, "visitor");
    }
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
async fn bad_input_is_named() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    let add = format!("/add/message?conversation_id={conversation}");
    for (path, body, field) in [
        ("/create/conversation", json!({}), "visitor_user_id"),
        ("/create/conversation", json!({"visitor_user_id": "u", "channel": "smoke"}), "channel"),
        ("/create/conversation", json!({"visitor_user_id": "u", "metadata": {"x": "y".repeat(20_000)}}), "metadata"),
        (add.as_str(), json!({"content": " "}), "content"),
        (add.as_str(), json!({"content": "x".repeat(8_001)}), "content"),
        (add.as_str(), json!({"content": "x", "role": "king"}), "role"),
        (add.as_str(), json!({"content": "x", "attachments": ["x"]}), "attachments"),
        ("/add/message", json!({"content": "x"}), "conversation_id"),
        ("/ingest/knowledge", json!({"title": "t"}), "body"),
        ("/create/contact-ticket", json!({"customer_email": "a@b.c"}), "customer_name"),
    ] {
        let (status, answer) = backend.call(tenant, Method::POST, path, Some(body)).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{path}: {answer}");
    }
    for (path, field) in [
        ("/fetch/conversation", "conversation_id"),
        ("/fetch/tickets?status=lost", "status"),
        ("/fetch/messages?limit=0&conversation_id=x", "limit"),
        ("/fetch/ticket", "ticket_id"),
    ] {
        let (status, answer) = backend.call(tenant, Method::GET, path, None).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{path}");
    }
}

#[tokio::test]
async fn pages_go_on_where_they_ended() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    let add = format!("/add/message?conversation_id={conversation}");
    for index in 0..5 {
        backend.post(tenant, &add, json!({"role": "agent", "content": format!("m{index}")})).await;
    }
    let page = backend.get(tenant, &format!("/fetch/messages?conversation_id={conversation}&limit=2")).await;
    let last = page["items"][1]["id"].as_str().expect("an id");
    let rest = backend.get(tenant, &format!("/fetch/messages?conversation_id={conversation}&after={last}")).await;
    let texts: Vec<_> =
        rest["items"].as_array().expect("a list").iter().map(|message| message["content"].clone()).collect();
    assert_eq!(texts, ["m2", "m3", "m4"]);
}

#[tokio::test]
async fn a_socket_is_for_a_visitor_who_shakes_hands() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let (status, answer) = backend.call(tenant, Method::GET, "/ws/visitor", None).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (422, &json!("X-Relay-Actor")),
        "a tenant's call is no visitor's"
    );
    let unsigned = backend.send(Method::GET, "/ws/visitor", b"", Vec::new()).await;
    assert_eq!((unsigned.0, &unsigned.1["error_code"]), (401, &json!("invalid_relay_signature")));
}

#[test]
fn the_contract_for_backends_says_what_is_sent() {
    let document = serde_json::to_value(chat_backend::openapi()).expect("serializes");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 10);
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let headers = operation["parameters"]
                .as_array()
                .expect("parameters")
                .iter()
                .filter(|parameter| parameter["in"] == "header")
                .count();
            assert_eq!(headers, 4, "{method} {path}");
            if method == "post" {
                let reference =
                    operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().expect(path);
                let schema = &document["components"]["schemas"][reference.rsplit('/').next().expect("a name")];
                assert!(schema["properties"].is_object() && schema["required"].is_array(), "{path}: {schema}");
            }
        }
    }
}

#[test]
fn the_contract_for_backends_is_the_golden_one() {
    let document = chat_backend::openapi().to_pretty_json().expect("serializes");
    e2e::openapi::assert_golden(env!("CARGO_MANIFEST_DIR"), "chat-backend", &document);
}
