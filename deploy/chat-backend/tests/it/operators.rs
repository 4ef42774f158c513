//! People who answer: the queues, a claim and what follows it, what colleagues and visitors see, and what the tenant hears.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use wire::{TenantId, operator::ActingOperator, time::now_unix_ms};

use crate::support::Backend;

/// An operator, as the relay tells of it.
#[derive(Clone)]
struct Operator {
    id: String,
    told: ActingOperator,
}

fn operator(id: &str, routing_keys: &[&str]) -> Operator {
    let routing_keys = routing_keys.iter().map(|key| (*key).to_owned()).collect();
    let told = ActingOperator { display_name: id.to_uppercase(), avatar_url: None, routing_keys };
    Operator { id: id.to_owned(), told }
}

async fn call(
    backend: &Backend,
    tenant: TenantId,
    who: &Operator,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("/operator/{path}{separator}relay_operator={}", who.told.to_parameter());
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let actor = format!("operator:{}", who.id);
    let headers = Backend::headers_as(&actor, &tenant.to_string(), &method, &path, &body, now_unix_ms());
    backend.send(method, &path, &body, headers).await
}

async fn get(backend: &Backend, tenant: TenantId, who: &Operator, path: &str) -> Value {
    let (status, answer) = call(backend, tenant, who, Method::GET, path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer["data"].clone()
}

/// Does something with a conversation: the status, and the conversation or the failure.
async fn wish(backend: &Backend, tenant: TenantId, who: &Operator, verb: &str, conversation: &str) -> (u16, Value) {
    let path = format!("{verb}/conversation?conversation_id={conversation}");
    call(backend, tenant, who, Method::POST, &path, Some(json!({}))).await
}

async fn done(backend: &Backend, tenant: TenantId, who: &Operator, verb: &str, conversation: &str) -> Value {
    let (status, answer) = wish(backend, tenant, who, verb, conversation).await;
    assert_eq!(status, 200, "{verb}: {answer}");
    answer["data"].clone()
}

async fn refused(backend: &Backend, tenant: TenantId, who: &Operator, verb: &str, conversation: &str) -> (u16, String) {
    let (status, answer) = wish(backend, tenant, who, verb, conversation).await;
    (status, answer["error_code"].as_str().unwrap_or_default().to_owned())
}

async fn answer(backend: &Backend, tenant: TenantId, who: &Operator, conversation: &str, body: Value) -> (u16, Value) {
    let path = format!("add/message?conversation_id={conversation}");
    call(backend, tenant, who, Method::POST, &path, Some(body)).await
}

/// A conversation in which the bot did not know an answer.
async fn waiting(backend: &Backend, tenant: TenantId, routing_key: Option<&str>) -> String {
    let metadata = routing_key.map_or(json!({}), |key| json!({"routing_key": key}));
    let conversation = backend.conversation_about(tenant, metadata).await;
    backend.say(tenant, &conversation, "Do you sell zeppelins?").await;
    conversation
}

async fn ids(backend: &Backend, tenant: TenantId, who: &Operator, queue: &str) -> Vec<String> {
    let page = get(backend, tenant, who, &format!("fetch/conversations?queue={queue}")).await;
    let items = page["items"].as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_conversation_goes_from_the_queue_to_an_operator_and_on() {
    let backend = Backend::start().await;
    let (tenant, ada, ben) = (TenantId::generate(), operator("ada", &[]), operator("ben", &[]));
    let conversation = waiting(&backend, tenant, None).await;
    let status = async || backend.get(tenant, "/fetch/tickets").await["items"][0]["status"].clone();

    let page = get(&backend, tenant, &ada, "fetch/conversations").await;
    let item = &page["items"][0];
    assert_eq!((&item["id"], &item["handling"], &item["unread"]), (&json!(conversation), &json!("waiting"), &json!(1)));
    assert_eq!((&item["waiting_reason"], &item["operator"]), (&json!("low_confidence"), &Value::Null));
    assert_eq!(page["counts"], json!({"waiting": 1, "mine": 0, "assigned": 0, "resolved": 0, "all": 1}));

    let claimed = done(&backend, tenant, &ada, "claim", &conversation).await;
    assert_eq!((&claimed["handling"], &claimed["operator"]["operator_id"]), (&json!("assigned"), &json!("ada")));
    done(&backend, tenant, &ada, "claim", &conversation).await;
    let (code, lost) = wish(&backend, tenant, &ben, "claim", &conversation).await;
    assert_eq!((code, &lost["error_code"]), (409, &json!("already_claimed")));
    assert_eq!(lost["operator"], json!({"operator_id": "ada", "display_name": "ADA"}));
    assert_eq!(status().await, "assigned");

    let (code, _) = answer(&backend, tenant, &ada, &conversation, json!({"content": "I am Ada."})).await;
    assert_eq!(code, 201);
    let (code, other) = answer(&backend, tenant, &ben, &conversation, json!({"content": "I am Ben."})).await;
    assert_eq!((code, &other["error_code"]), (409, &json!("not_assigned")));
    let silent = backend.say(tenant, &conversation, "Let me talk to a human").await;
    assert_eq!(silent.last().expect("a message")["role"], "visitor", "the bot is silent");

    for verb in ["release", "hand-back", "resolve"] {
        assert_eq!(
            refused(&backend, tenant, &ben, verb, &conversation).await,
            (409, "already_claimed".to_owned()),
            "{verb}"
        );
    }
    let released = done(&backend, tenant, &ada, "release", &conversation).await;
    assert_eq!((&released["handling"], &released["waiting_reason"]), (&json!("waiting"), &json!("released")));
    assert_eq!(status().await, "open");
    assert_eq!(refused(&backend, tenant, &ada, "release", &conversation).await, (409, "not_assigned".to_owned()));
    let after_release = backend.say(tenant, &conversation, "Hello?").await;
    assert_eq!(after_release.last().expect("a message")["content"], "Hello?", "the bot stays silent after a release");

    done(&backend, tenant, &ben, "claim", &conversation).await;
    done(&backend, tenant, &ben, "hand-back", &conversation).await;
    assert_eq!(status().await, "waiting_on_user");
    let answered = backend.say(tenant, &conversation, "Hello").await;
    assert_eq!(answered.last().expect("a message")["role"], "bot", "the bot answers again");

    done(&backend, tenant, &ada, "claim", &conversation).await;
    let resolved = done(&backend, tenant, &ada, "resolve", &conversation).await;
    assert_eq!((&resolved["handling"], &resolved["operator"]), (&json!("resolved"), &Value::Null));
    assert_eq!(status().await, "resolved");
    assert_eq!(
        refused(&backend, tenant, &ben, "claim", &conversation).await,
        (409, "conversation_resolved".to_owned())
    );
    assert_eq!(done(&backend, tenant, &ben, "reopen", &conversation).await["operator"]["operator_id"], "ben");
    assert_eq!(status().await, "assigned");
    done(&backend, tenant, &ben, "resolve", &conversation).await;
    let again = backend.say(tenant, &conversation, "Hello").await;
    assert_eq!(again.last().expect("a message")["role"], "bot", "a visitor's message begins it again");
    assert_eq!(status().await, "reopened");
    let tickets = backend.get(tenant, "/fetch/tickets").await;
    assert_eq!(tickets["items"].as_array().expect("a list").len(), 1, "one ticket all along");
    assert_eq!(
        refused(&backend, tenant, &ada, "reopen", &conversation).await,
        (409, "conversation_not_resolved".to_owned())
    );
}

#[tokio::test]
async fn operators_see_the_queues_of_their_keys_and_nothing_else() {
    let backend = Backend::start().await;
    let (tenant, everybody) = (TenantId::generate(), operator("ada", &[]));
    let (sales, both) = (operator("sam", &["sales"]), operator("bo", &["sales", "support"]));
    let of_sales = waiting(&backend, tenant, Some("sales")).await;
    let of_support = waiting(&backend, tenant, Some("support")).await;
    let of_nobody = waiting(&backend, tenant, None).await;
    assert_eq!(ids(&backend, tenant, &everybody, "waiting").await, [&*of_sales, &*of_support, &*of_nobody]);
    assert_eq!(ids(&backend, tenant, &sales, "waiting").await, [&*of_sales]);
    assert_eq!(ids(&backend, tenant, &both, "all").await, [&*of_support, &*of_sales]);
    let narrowed = get(&backend, tenant, &both, "fetch/conversations?queue=all&routing_key=support").await;
    assert_eq!(narrowed["items"].as_array().expect("a list").len(), 1);
    assert_eq!(narrowed["counts"]["all"], 2);

    for hidden in [&of_support, &of_nobody] {
        let missing = (404, "conversation_not_found".to_owned());
        for verb in ["claim", "release", "hand-back", "resolve", "reopen", "tag", "snooze", "assign"] {
            let verb_path = format!("{verb}/conversation?conversation_id={hidden}");
            let body = match verb {
                "tag" => json!({"tags": []}),
                "assign" => json!({"operator_id": "bo"}),
                _ => json!({}),
            };
            let path = match verb {
                "assign" => format!("{verb_path}&relay_assignee={}", everybody.told.to_parameter()),
                _ => verb_path,
            };
            let (status, answer) = call(&backend, tenant, &sales, Method::POST, &path, Some(body)).await;
            assert_eq!((status, answer["error_code"].as_str().unwrap_or_default().to_owned()), missing, "{verb}");
        }
        for path in ["fetch/conversation", "fetch/messages"] {
            let path = format!("{path}?conversation_id={hidden}");
            let (status, _) = call(&backend, tenant, &sales, Method::GET, &path, None).await;
            assert_eq!(status, 404, "{path}");
        }
        for internal in [true, false] {
            let said = answer(&backend, tenant, &sales, hidden, json!({"content": "hi", "internal": internal})).await;
            assert_eq!(said.0, 404);
        }
        let newest = backend.get(tenant, &format!("/fetch/messages?conversation_id={hidden}")).await;
        let newest = newest["items"][0]["id"].as_str().expect("an id").to_owned();
        let path = format!("read/conversation?conversation_id={hidden}&message_id={newest}");
        assert_eq!(call(&backend, tenant, &sales, Method::POST, &path, None).await.0, 404);
    }
    let other = TenantId::generate();
    assert_eq!(wish(&backend, other, &everybody, "claim", &of_sales).await.0, 404, "another tenant's");
    assert_eq!(ids(&backend, other, &everybody, "all").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_note_is_for_colleagues_and_a_message_for_the_visitor() {
    let backend = Backend::start().await;
    let (tenant, ada, ben) = (TenantId::generate(), operator("ada", &[]), operator("ben", &[]));
    let conversation = waiting(&backend, tenant, None).await;
    let (status, note) =
        answer(&backend, tenant, &ben, &conversation, json!({"content": "VIP, be kind", "internal": true})).await;
    assert_eq!((status, &note["data"]["internal"], &note["data"]["operator_name"]), (201, &json!(true), &json!("BEN")));
    done(&backend, tenant, &ada, "claim", &conversation).await;
    let client_id = "0190381b-2400-7000-8000-000000000001";
    let body = json!({"content": "Hello, I am Ada.", "client_id": client_id});
    let first = answer(&backend, tenant, &ada, &conversation, body.clone()).await.1;
    let again = answer(&backend, tenant, &ada, &conversation, body.clone()).await.1;
    assert_eq!(first["data"]["id"], again["data"]["id"], "sent twice, written once");
    let stranger = operator("sue", &["support"]);
    let guessed = answer(&backend, tenant, &stranger, &conversation, body).await;
    assert_eq!(guessed.0, 404, "who may not see the conversation learns nothing of it: {}", guessed.1);

    let entries = get(&backend, tenant, &ben, &format!("fetch/messages?conversation_id={conversation}")).await;
    let shown: Vec<_> = entries["items"].as_array().expect("a list").iter().collect();
    let roles: Vec<_> = shown.iter().map(|entry| (entry["role"].as_str(), entry["internal"] == true)).collect();
    assert_eq!(
        roles,
        [(Some("visitor"), false), (Some("system"), false), (Some("agent"), true), (Some("agent"), false)]
    );
    assert!(shown.windows(2).all(|pair| pair[0]["id"].as_str() < pair[1]["id"].as_str()));
    let page = format!("fetch/messages?conversation_id={conversation}&limit=2");
    let newest = get(&backend, tenant, &ben, &page).await;
    assert_eq!((newest["items"].as_array().expect("a list").len(), &newest["complete"]), (2, &json!(false)));
    let before = newest["items"][0]["id"].as_str().expect("an id");
    let rest = get(&backend, tenant, &ben, &format!("{page}&before={before}")).await;
    assert_eq!((rest["items"].as_array().expect("a list").len(), &rest["complete"]), (2, &json!(true)));

    let seen = backend.get(tenant, &format!("/fetch/messages?conversation_id={conversation}")).await.to_string();
    assert!(seen.contains("I am Ada") && !seen.contains("VIP"), "{seen}");
    let wrong = json!({"content": "x", "internal": true, "client_id": client_id, "attachments": [
        {"type": "image", "mime": "image/png", "size": 1, "url": "https://a.example/x.png"}]});
    let (status, answered) = answer(&backend, tenant, &ada, &conversation, wrong).await;
    assert_eq!((status, answered["errors"].as_array().map(Vec::len)), (422, Some(2)));
}

#[tokio::test]
async fn an_inbox_finds_puts_aside_tags_and_counts_what_is_unread() {
    let backend = Backend::start().await;
    let (tenant, ada, ben) = (TenantId::generate(), operator("ada", &[]), operator("ben", &[]));
    let first = waiting(&backend, tenant, None).await;
    let second = waiting(&backend, tenant, None).await;
    backend.say(tenant, &second, "My order is 100% late_today").await;

    let found = async |text: &str| {
        let page = get(&backend, tenant, &ada, &format!("fetch/conversations?queue=all&q={text}")).await;
        page["items"].as_array().expect("a list").len()
    };
    assert_eq!([found("zeppelin").await, found("LATE%5Ftoday").await, found("100%25").await], [2, 1, 1]);
    assert_eq!([found("%25").await, found("_").await, found("nothing").await], [1, 1, 0], "no patterns");

    let put = async |verb: &str, body: Value| {
        let path = format!("{verb}/conversation?conversation_id={first}");
        call(&backend, tenant, &ada, Method::POST, &path, Some(body)).await
    };
    assert_eq!(put("tag", json!({"tags": ["refund", "vip"]})).await.1["data"]["tags"], json!(["refund", "vip"]));
    assert_eq!(found("refund").await, 1);
    assert_eq!(put("tag", json!({})).await.0, 422);

    let later = wire::time::WireTime::from_unix_ms(now_unix_ms() + 1500).to_string();
    assert_eq!(put("snooze", json!({"until": later})).await.0, 200);
    assert_eq!(ids(&backend, tenant, &ada, "waiting").await, [&*second]);
    assert_eq!(ids(&backend, tenant, &ada, "all").await.len(), 2, "it is not gone");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while ids(&backend, tenant, &ada, "waiting").await.len() < 2 {
        assert!(std::time::Instant::now() < deadline, "it comes back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let far = wire::time::WireTime::from_unix_ms(now_unix_ms() + 3_600_000).to_string();
    assert_eq!(put("snooze", json!({"until": far})).await.0, 200);
    backend.say(tenant, &first, "Are you there?").await;
    assert_eq!(ids(&backend, tenant, &ada, "waiting").await.len(), 2, "its visitor has written");
    for wrong in
        [json!({"until": "2020-01-01T00:00:00Z"}), json!({"until": "2099-01-01T00:00:00Z"}), json!({"until": 1})]
    {
        assert_eq!(put("snooze", wrong).await.0, 422);
    }

    let unread = async |who: &Operator| {
        let page = get(&backend, tenant, who, "fetch/conversations?queue=all").await;
        let items = page["items"].as_array().expect("a list").clone();
        items.iter().find(|item| item["id"] == first).expect("it is there")["unread"].as_u64()
    };
    assert_eq!((unread(&ada).await, unread(&ben).await), (Some(2), Some(2)));
    let messages = backend.get(tenant, &format!("/fetch/messages?conversation_id={first}")).await;
    let newest = messages["items"].as_array().expect("a list").last().expect("a message")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("read/conversation?conversation_id={first}&message_id={newest}");
    assert_eq!(call(&backend, tenant, &ada, Method::POST, &path, None).await.0, 200);
    assert_eq!((unread(&ada).await, unread(&ben).await), (Some(0), Some(2)));
    let path = format!("read/conversation?conversation_id={first}&message_id=none");
    assert_eq!(call(&backend, tenant, &ada, Method::POST, &path, None).await.0, 404);

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("fetch/conversations?queue=all&limit=1{cursor}");
        let page = get(&backend, tenant, &ada, &path).await;
        seen.extend(page["items"].as_array().expect("a list").iter().map(|item| item["id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [json!(first), json!(second)], "the newest message first, each once");
    for wrong in ["queue=none", "cursor=x", "limit=0", "limit=101"] {
        let (status, _) =
            call(&backend, tenant, &ada, Method::GET, &format!("fetch/conversations?{wrong}"), None).await;
        assert_eq!(status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn canned_replies_are_the_tenants() {
    let backend = Backend::start().await;
    let (tenant, ada) = (TenantId::generate(), operator("ada", &[]));
    let put = async |shortcut: &str, content: &str| {
        let body = json!({"shortcut": shortcut, "content": content});
        call(&backend, tenant, &ada, Method::POST, "canned-replies", Some(body)).await
    };
    assert_eq!(put("hi", "Hello {{visitor_name}}!").await.0, 201);
    let (_, written) = put("bye", "Goodbye.").await;
    assert_eq!(put("hi", "Hi!").await.0, 201);
    let all =
        async |tenant| get(&backend, tenant, &ada, "canned-replies").await["items"].as_array().expect("a list").clone();
    let shown: Vec<_> =
        all(tenant).await.iter().map(|reply| (reply["shortcut"].clone(), reply["content"].clone())).collect();
    assert_eq!(shown, [(json!("bye"), json!("Goodbye.")), (json!("hi"), json!("Hi!"))]);
    assert!(all(TenantId::generate()).await.is_empty(), "another tenant's");
    for (shortcut, content) in [("a b", "x"), ("", "x"), ("a", "")] {
        assert_eq!(put(shortcut, content).await.0, 422, "{shortcut:?}");
    }
    let path = format!("canned-replies?id={}", written["data"]["id"].as_str().expect("an id"));
    assert_eq!(call(&backend, tenant, &ada, Method::DELETE, &path, None).await.0, 200);
    assert_eq!(
        call(&backend, tenant, &ada, Method::DELETE, &path, None).await.1["error_code"],
        "canned_reply_not_found"
    );
    assert_eq!(all(tenant).await.len(), 1);
}

#[tokio::test]
async fn a_colleague_is_given_what_the_colleague_sees() {
    let backend = Backend::start().await;
    let (tenant, ada, ben) = (TenantId::generate(), operator("ada", &[]), operator("ben", &[]));
    let sam = operator("sam", &["support"]);
    let conversation = waiting(&backend, tenant, Some("sales")).await;
    let assign = async |by: &Operator, to: &Operator| {
        let path =
            format!("assign/conversation?conversation_id={conversation}&relay_assignee={}", to.told.to_parameter());
        let (status, answer) =
            call(&backend, tenant, by, Method::POST, &path, Some(json!({"operator_id": to.id}))).await;
        (
            status,
            answer["data"]["operator"]["operator_id"].as_str().unwrap_or_default().to_owned(),
            answer["error_code"].clone(),
        )
    };
    assert_eq!(assign(&ada, &ben).await, (200, "ben".to_owned(), Value::Null));
    assert_eq!(assign(&ada, &ada).await, (409, String::new(), json!("already_claimed")), "only ben gives it away");
    assert_eq!(assign(&ben, &ada).await, (200, "ada".to_owned(), Value::Null));
    assert_eq!(assign(&ada, &sam).await, (422, String::new(), json!("validation_failed")));
    let path = format!("assign/conversation?conversation_id={conversation}");
    let (status, _) = call(&backend, tenant, &ada, Method::POST, &path, Some(json!({"operator_id": "ben"}))).await;
    assert_eq!(status, 422, "the relay says who it is");
}

#[tokio::test]
async fn nobody_but_an_operator_calls_the_inbox() {
    let backend = Backend::start().await;
    let (tenant, ada) = (TenantId::generate(), operator("ada", &[]));
    let conversation = waiting(&backend, tenant, None).await;
    for (method, path) in
        [(Method::GET, "fetch/conversations?queue=all"), (Method::POST, "claim/conversation?conversation_id=")]
    {
        let path = if method == Method::POST { format!("{path}{conversation}") } else { path.to_owned() };
        let told = format!("/operator/{path}&relay_operator={}", ada.told.to_parameter());
        for actor in ["tenant", "backend", "visitor:vs_00000000000000000000000000000000", "operator:"] {
            let headers = Backend::headers_as(actor, &tenant.to_string(), &method, &told, b"", now_unix_ms());
            let (status, answer) = backend.send(method.clone(), &told, b"", headers).await;
            assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!("X-Relay-Actor")), "{actor}");
        }
        let untold = format!("/operator/{path}");
        let headers = Backend::headers_as("operator:ada", &tenant.to_string(), &method, &untold, b"", now_unix_ms());
        let (status, answer) = backend.send(method, &untold, b"", headers).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!("relay_operator")));
    }
}

#[tokio::test]
async fn what_the_tenant_keeps_for_people_the_bot_hands_over() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    for (title, category, body) in [
        ("Refunds", "restricted", "Refund disputes and chargebacks."),
        ("Delivery", "general", "Delivery takes three days."),
    ] {
        let document = json!({"title": title, "body": body, "category": category, "language": "en"});
        backend.post(tenant, "/ingest/knowledge", document).await;
    }
    let conversation = backend.conversation(tenant).await;
    let answered = backend.say(tenant, &conversation, "How long does delivery take?").await;
    assert_eq!(answered[1]["content"], "Delivery takes three days.");
    let handed_over = backend.say(tenant, &conversation, "I have a refund dispute").await;
    assert_eq!(handed_over.last().expect("a message")["role"], "system");
    let read =
        get(&backend, tenant, &operator("ada", &[]), &format!("fetch/conversation?conversation_id={conversation}"))
            .await;
    assert_eq!((&read["handling"], &read["waiting_reason"]), (&json!("waiting"), &json!("restricted_topic")));
    let again = backend.say(tenant, &conversation, "How long does delivery take?").await;
    assert_eq!(again.last().expect("a message")["role"], "bot", "the bot goes on answering what it may");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_operators_one_wins_and_the_others_learn_who() {
    let backend = Arc::new(Backend::start().await);
    let tenant = TenantId::generate();
    for _ in 0..5 {
        let conversation = waiting(&backend, tenant, None).await;
        let claims = (0..50).map(|index| {
            let (backend, conversation) = (Arc::clone(&backend), conversation.clone());
            tokio::spawn(async move {
                wish(&backend, tenant, &operator(&format!("op{index}"), &[]), "claim", &conversation).await
            })
        });
        let claims: Vec<_> =
            futures_util::future::join_all(claims).await.into_iter().map(|claim| claim.expect("no panic")).collect();
        let winners: Vec<_> = claims.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(winners.len(), 1, "{claims:?}");
        let winner = &winners[0].1["data"]["operator"]["operator_id"];
        for (status, answer) in claims.iter().filter(|(status, _)| *status != 200) {
            assert_eq!((*status, &answer["operator"]["operator_id"]), (409, winner), "{answer}");
        }
    }
}

/// How many races there are: all of them in the long run, a tenth in the gate.
fn races() -> u32 {
    if std::env::var_os("E2E_LONG").is_some() { 500 } else { 50 }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_claim_is_acknowledged_no_bot_speaks_and_what_it_composed_is_a_draft() {
    let backend = Backend::start_slow(Duration::from_millis(12)).await;
    let (tenant, ada) = (TenantId::generate(), operator("ada", &[]));
    let document = json!({"title": "Delivery", "body": "Delivery takes three days.", "language": "en"});
    backend.post(tenant, "/ingest/knowledge", document).await;
    let (mut drafts, mut answers) = (0, 0);
    for race in 0..races() {
        let conversation = backend.conversation(tenant).await;
        let path = format!("/add/message?conversation_id={conversation}");
        let asking = backend.post(tenant, &path, json!({"content": "How long does delivery take?"}));
        let claiming = async {
            tokio::time::sleep(Duration::from_micros(u64::from(race % 50) * 500)).await;
            done(&backend, tenant, &ada, "claim", &conversation).await
        };
        let (_, claimed) = tokio::join!(asking, claiming);
        let entries = get(&backend, tenant, &ada, &format!("fetch/messages?conversation_id={conversation}")).await;
        let entries = entries["items"].as_array().expect("a list").clone();
        let at_claim = claimed["last_entry_id"].as_str().expect("an id");
        let late = entries.iter().filter(|entry| entry["role"] == "bot" && entry["id"].as_str() > Some(at_claim));
        assert_eq!(late.count(), 0, "{entries:?} after {at_claim}");
        assert!(entries.windows(2).all(|pair| pair[0]["id"].as_str() < pair[1]["id"].as_str()), "{entries:?}");
        let opened = get(&backend, tenant, &ada, &format!("fetch/conversation?conversation_id={conversation}")).await;
        let answered = entries.iter().any(|entry| entry["role"] == "bot");
        if at_claim.is_empty() {
            // The claim came before the question, so the bot had nothing to compose.
            assert!(!answered && opened["draft"].is_null(), "{entries:?} {opened}");
            continue;
        }
        assert_ne!(answered, opened["draft"].is_object(), "it was said, or it is a draft: {entries:?} {opened}");
        if answered {
            answers += 1;
        } else {
            assert_eq!(opened["draft"]["content"], "Delivery takes three days.");
            assert_eq!(opened["draft"]["citations"][0]["title"], "Delivery");
            drafts += 1;
            answer(&backend, tenant, &ada, &conversation, json!({"content": "Three days."})).await;
            let opened =
                get(&backend, tenant, &ada, &format!("fetch/conversation?conversation_id={conversation}")).await;
            assert_eq!(opened["draft"], Value::Null, "it was used");
        }
    }
    assert!(drafts > 0 && answers > 0, "both were seen: {drafts} drafts, {answers} answers");
}
