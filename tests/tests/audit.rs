//! Who was it: what the log says of each call, and the command that verifies the logs, beside a running service.

use e2e::{
    process::{Process, binary},
    signed::Tenant,
    visitor::{PAGE, begin_session, from_page},
    world::{World, admin_environment},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// The access line of the call with this request id.
fn line(process: &Process, request_id: &str) -> Value {
    let found = process.wait_for_line(|line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        (entry["target"] == "access" && entry["request_id"] == request_id).then_some(entry)
    });
    found.unwrap_or_else(|| panic!("no line for {request_id}; the log:\n{}", process.log()))
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_else(|| panic!("{field} in {line}"))
}

#[tokio::test]
async fn refusals_and_answers_say_whose_call_it_was() {
    let world = World::start(&[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1/32")]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Named"})).await;
    let client = Client::new();
    let wrong = Tenant { secret: "sk_wrong".to_owned(), ..tenant.clone() };
    for (signer, id, status) in [(&tenant, "right", StatusCode::CREATED), (&wrong, "wrong", StatusCode::UNAUTHORIZED)] {
        let request = signer.request(
            &client,
            Method::POST,
            &world.relay_url("create/conversation"),
            r#"{"visitor_user_id":"u"}"#,
        );
        let request = request.header("x-request-id", id).header("x-forwarded-for", "198.51.100.7");
        assert_eq!(request.send().await.expect("an answer").status(), status);
        let line = line(&world.gateway, id);
        assert_eq!((text(&line, "client"), text(&line, "tenant_id")), ("198.51.100.7", tenant.id.as_str()), "{line}");
    }
    // A visitor names the tenant in the body.
    let body = json!({"tenant_id": tenant.id, "widget_public_key": "pk_wrong", "origin": "https://a.example"});
    let url = format!("http://{}/api/v1/create/visitor-session", world.relay);
    let asked =
        client.post(&url).header("x-request-id", "visitor").header("x-forwarded-for", "2001:db8::9").json(&body);
    assert!(asked.send().await.expect("an answer").status().is_client_error());
    let visitor = line(&world.gateway, "visitor");
    assert_eq!((text(&visitor, "client"), text(&visitor, "tenant_id")), ("2001:db8::9", tenant.id.as_str()));
    // What the query says stands only where nothing better is known.
    let other = world.operator().provision(json!({"tenant_name": "Other"})).await;
    let asked = client.post(format!("{url}?tenant_id={}", other.id)).header("x-request-id", "contradicted").json(&body);
    assert!(asked.send().await.expect("an answer").status().is_client_error());
    assert_eq!(text(&line(&world.gateway, "contradicted"), "tenant_id"), tenant.id.as_str());
    let asked = client.post(format!("{url}?tenant_id={}", other.id)).header("x-request-id", "named").body("no JSON");
    assert!(asked.send().await.expect("an answer").status().is_client_error());
    assert_eq!(text(&line(&world.gateway, "named"), "tenant_id"), other.id.as_str());
    // An operator names it in the URL, and a stranger nobody.
    let fetch = format!("http://{}/api/v1/fetch/tenant?tenant_id={}", world.rest, tenant.id);
    client
        .get(&fetch)
        .header("x-admin-key", "wrong")
        .header("x-request-id", "operator")
        .send()
        .await
        .expect("an answer");
    let operator = line(&world.admin, "operator");
    assert_eq!((text(&operator, "client"), text(&operator, "tenant_id")), ("127.0.0.1", tenant.id.as_str()));
    let nowhere = format!("http://{}/nowhere?tenant_id=%3Cscript%3E", world.relay);
    client.get(nowhere).header("x-request-id", "nowhere").send().await.expect("an answer");
    let nowhere = line(&world.gateway, "nowhere");
    assert!(nowhere["tenant_id"].is_null() && text(&nowhere, "client") == "127.0.0.1", "{nowhere}");
}

#[tokio::test]
async fn the_log_filter_decides_over_access_lines() {
    for (filter, has_line) in [
        ("info", true),
        ("info,access=off", false),
        ("info,access=warn", false),
        ("off,relay_gateway=info", false),
        ("off,relay_gateway=info,access=info", true),
    ] {
        let mut world = World::start(&[("GATEWAY_LOG_FILTER", filter)]).await;
        let address = world.relay;
        reqwest::Client::new()
            .get(format!("http://{address}/nowhere"))
            .header("x-request-id", "filtered")
            .send()
            .await
            .expect("an answer");
        // A gateway that ends writes the lines that it has gathered.
        world.gateway.terminate();
        world.gateway.wait();
        let log = world.gateway.log();
        assert_eq!(log.contains(r#""request_id":"filtered""#), has_line, "{filter}: {log}");
    }
}

#[tokio::test]
async fn a_verified_token_says_whose_call_it_was_and_no_query_contradicts_it() {
    let world = World::start(&[]).await;
    let operator = world.operator();
    let tenant = operator.provision(json!({"tenant_name": "Named", "allowed_origins": [PAGE]})).await;
    let other = operator.provision(json!({"tenant_name": "Other"})).await;
    let client = Client::new();
    let session = begin_session(world.relay, &tenant).await;
    let token = session["visitor_token"].as_str().expect("a token");
    let body = json!({"visitor_user_id": "u"}).to_string();
    let minted = tenant.request(&client, Method::POST, &world.relay_url("mint/visitor-token"), body);
    let minted: Value = minted.send().await.expect("an answer").json().await.expect("an envelope");
    let minted = minted["data"]["token"].as_str().unwrap_or_else(|| panic!("a token in {minted}"));

    // In this order: the last ends the session.
    for (id, path, token, status) in [
        ("refreshed", "refresh/visitor-token", token, StatusCode::OK),
        // Refused before the tenant is looked up.
        ("minted", "refresh/visitor-token", minted, StatusCode::UNAUTHORIZED),
        ("ended", "end/visitor-session", token, StatusCode::OK),
    ] {
        for (suffix, query) in [("", String::new()), ("-contradicted", format!("?tenant_id={}", other.id))] {
            let id = format!("{id}{suffix}");
            let call = client.post(format!("http://{}/api/v1/{path}{query}", world.relay)).bearer_auth(token);
            let call = from_page(call, PAGE).header("x-request-id", &id);
            assert_eq!(call.send().await.expect("an answer").status(), status, "{id}");
            let line = line(&world.gateway, &id);
            assert_eq!(text(&line, "tenant_id"), tenant.id.as_str(), "{line}");
        }
    }

    let url = format!("http://{}/api/v1/ws/widget?token={token}&tenant_id={}", world.relay, other.id);
    let call = client.get(url).header("x-request-id", "socket").header("origin", PAGE);
    let call = call.header("connection", "Upgrade").header("upgrade", "websocket");
    let call = call.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(call.send().await.expect("an answer").status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(text(&line(&world.gateway, "socket"), "tenant_id"), tenant.id.as_str());
}

#[tokio::test]
async fn the_logs_are_verified_beside_a_running_service() {
    let mut world = World::start(&[]).await;
    world.operator().provision(json!({"tenant_name": "Verified"})).await;
    let url = format!("sqlite://{}?mode=rwc", world.data().join("admin.db").display());
    let verify = |args: &[&str]| {
        let mut command = std::process::Command::new(binary("admin-service"));
        command.arg("verify-audit").args(args).env_clear().envs(admin_environment(&url));
        let output = command.output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, printed) = verify(&[]);
    assert!(code == Some(0) && printed.contains("audit_log: intact; 1 rows verified"), "{printed}");
    let head = printed.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a head").to_owned();
    assert_eq!(verify(&["--expect-head", &head]).0, Some(0));
    let (code, printed) = verify(&[&format!("--expect-head=9{head}")]);
    assert!(code == Some(1) && printed.contains("the tail is missing"), "{printed}");
    for (wrong, told) in [
        (&["--expect-head", "1:ab"][..], "64 hexadecimal digits"),
        (&["--expect-head"], "needs a head"),
        (&["--unknown"], "--unknown"),
    ] {
        let (code, printed) = verify(wrong);
        assert!(code == Some(64) && printed.contains(told), "{wrong:?}: {code:?} {printed}");
    }
    let (code, printed) = verify(&["--help"]);
    assert!(code == Some(0) && printed.contains("--expect-access-head"), "{printed}");
    // The service says how far its logs have come when it starts, and every hour.
    world.crash_admin();
    let told = world.admin.wait_for_line(|line| line.contains(&head).then(|| line.to_owned()));
    assert!(told.is_some_and(|line| line.contains("audit_log")), "{}", world.admin.log());
}
