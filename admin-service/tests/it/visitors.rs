//! A widget's visitors over gRPC: what gateways ask for them, judged by what is committed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{signed::Tenant, visitor::PAGE};
use proto::{
    directory::v1::{GetWidgetRequest, tenant_directory_client::TenantDirectoryClient},
    visitors::v1::{
        AdmitVisitorRequest, EndSessionRequest, GetSessionRequest, ListEndedSessionsRequest, MintedToken,
        OpenSessionRequest, RefreshTokenRequest, SessionToken, end_session_request::Token,
        visitors_client::VisitorsClient,
    },
};
use serde_json::{Value, json};
use service::ApiError;
use tonic::{Request, Response, Status, transport::Channel};
use wire::{ErrorCode, TenantId};

use crate::{
    grpc::{bytes, channel, gateway},
    support::{Service, TestDatabase, postgres, sqlite},
};

pub(crate) fn opening(tenant: &Tenant) -> OpenSessionRequest {
    OpenSessionRequest {
        tenant_id: bytes(&tenant.id),
        widget_public_key: tenant.widget_public_key.clone(),
        origin: PAGE.to_owned(),
        locale: "en".to_owned(),
        metadata_json: json!({"page_url": "https://shop.demo.com/cart"}).to_string(),
        routing_key: Some("vip".to_owned()),
        mode: "human".to_owned(),
    }
}

pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> ErrorCode {
    ApiError::from_status(&answer.expect_err("refused")).expect("one of ours").code()
}

pub(crate) fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON")
}

struct Fixture {
    service: Service,
    tenant: Tenant,
    visitors: VisitorsClient<Channel>,
}

async fn fixture() -> Fixture {
    fixture_on(sqlite()).await
}

async fn fixture_on(database: TestDatabase) -> Fixture {
    let service = Service::start(database).await;
    let tenant = service.operator().provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;
    let visitors = VisitorsClient::new(channel(&service).await);
    Fixture { service, tenant, visitors }
}

#[tokio::test]
async fn a_session_is_begun_and_its_token_renewed() {
    let Fixture { service, tenant, mut visitors } = fixture().await;
    let opened = visitors.open_session(gateway(opening(&tenant))).await.expect("opened").into_inner();
    assert!(opened.session_id.starts_with("vs_") && opened.session_id.len() == 35, "{}", opened.session_id);
    assert!(!format!("{opened:?}").contains(&opened.token), "tokens are not for logs");
    let said = claims(&opened.token);
    assert_eq!(
        (&said["aud"], &said["sub"], &said["tenant_id"], &said["widget_key"], &said["origin"]),
        (
            &json!("chat-widget-session"),
            &json!(opened.session_id),
            &json!(tenant.id),
            &json!(tenant.widget_public_key),
            &json!(PAGE)
        )
    );
    assert_eq!(said["exp"].as_i64().expect("a time") - said["iat"].as_i64().expect("a time"), 3600);
    assert_eq!(opened.expires_at.expect("a time").seconds, said["exp"].as_i64().expect("a time"));

    let ask = |tenant_id: Vec<u8>, session_id: &str| GetSessionRequest {
        tenant_id,
        session_id: session_id.to_owned(),
        generation: None,
    };
    let session = visitors.get_session(gateway(ask(bytes(&tenant.id), &opened.session_id))).await.expect("there");
    let session = session.into_inner();
    assert_eq!((session.locale.as_str(), session.mode.as_str()), ("en", "human"));
    assert_eq!(session.routing_key.as_deref(), Some("vip"));
    assert_eq!(session.metadata_json, "{\"page_url\":\"https://shop.demo.com/cart\"}");

    let again = RefreshTokenRequest {
        tenant_id: bytes(&tenant.id),
        session_id: opened.session_id.clone(),
        widget_public_key: tenant.widget_public_key.clone(),
        origin: PAGE.to_owned(),
        generation: Some(0),
    };
    let refreshed = visitors.refresh_token(gateway(again.clone())).await.expect("refreshed").into_inner();
    let renewed = claims(&refreshed.token);
    assert_eq!((&renewed["sub"], &renewed["origin"]), (&said["sub"], &said["origin"]));
    assert_ne!(renewed["jti"], said["jti"]);

    let other = service.operator().provision(json!({"tenant_name": "Other", "allowed_origins": [PAGE]})).await;
    let foreign = refusal(visitors.get_session(gateway(ask(bytes(&other.id), &opened.session_id))).await);
    assert_eq!(foreign, ErrorCode::InvalidVisitorToken);
    for wrong in [
        RefreshTokenRequest { tenant_id: bytes(&other.id), ..again.clone() },
        RefreshTokenRequest { session_id: "vs_00000000000070008000000000000000".to_owned(), ..again.clone() },
        RefreshTokenRequest { session_id: "'; DROP TABLE visitor_session".to_owned(), ..again.clone() },
        RefreshTokenRequest { widget_public_key: other.widget_public_key.clone(), ..again.clone() },
        RefreshTokenRequest { origin: "https://evil.example".to_owned(), ..again.clone() },
    ] {
        assert_eq!(refusal(visitors.refresh_token(gateway(wrong)).await), ErrorCode::InvalidVisitorToken);
    }
    let unproven = visitors.open_session(Request::new(opening(&tenant))).await;
    assert_eq!(refusal(unproven), ErrorCode::InvalidServiceToken);
}

#[tokio::test]
async fn what_is_not_allowed_any_more_begins_and_renews_nothing() {
    let Fixture { service, tenant, mut visitors } = fixture().await;
    let operator = service.operator();
    let opened = visitors.open_session(gateway(opening(&tenant))).await.expect("opened").into_inner();
    let again = RefreshTokenRequest {
        tenant_id: bytes(&tenant.id),
        session_id: opened.session_id,
        widget_public_key: tenant.widget_public_key.clone(),
        origin: PAGE.to_owned(),
        generation: None,
    };
    let both = async |visitors: &mut VisitorsClient<Channel>| {
        let begun = refusal(visitors.open_session(gateway(opening(&tenant))).await);
        (begun, refusal(visitors.refresh_token(gateway(again.clone())).await))
    };
    let call = async |path: &str, body: Option<Value>| {
        let (status, answer) = operator.call("POST", &format!("{path}?tenant_id={}", tenant.id), body).await;
        assert_eq!(status, 200, "{answer}");
    };
    call("/suspend/tenant", None).await;
    assert_eq!(both(&mut visitors).await, (ErrorCode::TenantSuspended, ErrorCode::TenantSuspended));
    call("/reactivate/tenant", None).await;
    call("/update/tenant", Some(json!({"allowed_origins": ["https://elsewhere.example"]}))).await;
    assert_eq!(both(&mut visitors).await, (ErrorCode::OriginNotAllowed, ErrorCode::OriginNotAllowed));
    call("/update/tenant", Some(json!({"allowed_origins": [PAGE]}))).await;
    visitors.refresh_token(gateway(again.clone())).await.expect("allowed again");
    call("/rotate/widget-key", None).await;
    assert_eq!(both(&mut visitors).await, (ErrorCode::InvalidWidgetKey, ErrorCode::InvalidWidgetKey));

    for (what, wrong) in [
        ("no tenant", OpenSessionRequest { tenant_id: bytes(&TenantId::generate().to_string()), ..opening(&tenant) }),
        ("no key", OpenSessionRequest { widget_public_key: "pk_\0".to_owned(), ..opening(&tenant) }),
    ] {
        assert_eq!(refusal(visitors.open_session(gateway(wrong)).await), ErrorCode::InvalidWidgetKey, "{what}");
    }
    for wrong in [
        OpenSessionRequest { origin: "nowhere".to_owned(), ..opening(&tenant) },
        OpenSessionRequest { metadata_json: "[]".to_owned(), ..opening(&tenant) },
        OpenSessionRequest { mode: "cat".to_owned(), ..opening(&tenant) },
    ] {
        assert_eq!(refusal(visitors.open_session(gateway(wrong)).await), ErrorCode::ValidationFailed);
    }
}

#[tokio::test]
async fn a_door_says_who_is_let_in_and_how_the_widget_looks() {
    let Fixture { service, tenant, .. } = fixture().await;
    let mut directory = TenantDirectoryClient::new(channel(&service).await);
    let mut access = async |tenant_id: &str, key: &str| {
        let request = GetWidgetRequest { tenant_id: bytes(tenant_id), widget_public_key: key.to_owned() };
        directory.get_widget(gateway(request)).await.expect("an answer").into_inner()
    };
    let answer = access(&tenant.id, &tenant.widget_public_key).await;
    assert_eq!(answer.allowed_origins, [PAGE]);
    let widget = answer.widget.expect("a widget");
    assert_eq!((widget.rate_limit_per_hour, widget.allowed_domains.len()), (1000, 0));
    let config: Value = serde_json::from_str(&widget.config_json).expect("JSON");
    assert_eq!(config["customization"]["greeting_text"], "Hello! How can we help?");
    assert_eq!(config["branding"], json!({"display_name": null, "logo_url": null, "primary_color": null}));
    assert_eq!(config["file_upload_enabled"], true);

    let other = service.operator().provision(json!({"tenant_name": "Other"})).await;
    for key in [other.widget_public_key.as_str(), "pk_unknown", "", "pk_\0"] {
        let answer = access(&tenant.id, key).await;
        assert_eq!((answer.allowed_origins.len(), answer.widget), (1, None), "{key:?}");
    }
    let nobody = access(&TenantId::generate().to_string(), &tenant.widget_public_key).await;
    assert_eq!((nobody.allowed_origins.len(), nobody.widget), (0, None));
}

/// The claims that a section of `deploy/docs/tokens.md` lists, sorted.
fn documented_claims(section: &str) -> Vec<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/docs/tokens.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let rest = page.split_once(&format!("## {section}\n")).expect("a section").1;
    let table = rest.split("\n## ").next().expect("a section");
    let mut names: Vec<String> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_page_on_tokens_names_the_claims_that_real_ones_have() {
    use proto::identity::v1::{
        IssueOperatorTokenRequest, MintVisitorTokenRequest, ProvisionOperatorRequest, identity_client::IdentityClient,
    };
    let Fixture { service, tenant, mut visitors } = fixture().await;
    let mut identity = IdentityClient::new(channel(&service).await);
    let (tenant_id, email) = (bytes(&tenant.id), "merchant@acme.com".to_owned());
    let operator = ProvisionOperatorRequest {
        tenant_id: tenant_id.clone(),
        email: email.clone(),
        display_name: "Merchant".into(),
        routing_keys: None,
        avatar_url: None,
        wait_ms: 0,
    };
    identity.provision_operator(gateway(operator)).await.expect("provisioned");
    let issue = IssueOperatorTokenRequest { tenant_id: tenant_id.clone(), email, token_generation: None };
    let mint = MintVisitorTokenRequest {
        tenant_id,
        visitor_user_id: "user-123".into(),
        visitor_email_hash: Some("sha256:00".into()),
        ttl_seconds: 60,
        token_generation: None,
    };
    let issued = identity.issue_operator_token(gateway(issue)).await.expect("issued").into_inner().token;
    let minted = identity.mint_visitor_token(gateway(mint)).await.expect("minted").into_inner().token;
    let session = visitors.open_session(gateway(opening(&tenant))).await.expect("opened").into_inner().token;
    for (section, token) in
        [("Operator token", issued), ("Minted visitor token", minted), ("Widget session token", session)]
    {
        let said = claims(&token);
        let mut names: Vec<&String> = said.as_object().expect("an object").keys().collect();
        names.sort_unstable();
        assert_eq!(documented_claims(section).iter().collect::<Vec<_>>(), names, "{section}");
        let page = include_str!("../../../deploy/docs/tokens.md");
        let audience = format!("| `aud` | `{}` |", said["aud"].as_str().expect("text"));
        assert!(page.contains(&audience), "{section}: {audience}");
    }
}
/// Refreshes with a token of this generation; answers the next token's.
async fn refresh(
    visitors: &mut VisitorsClient<Channel>,
    again: &RefreshTokenRequest,
    generation: Option<u64>,
) -> Result<u64, ErrorCode> {
    let answer = visitors.refresh_token(gateway(RefreshTokenRequest { generation, ..again.clone() })).await;
    match answer {
        Ok(answer) => Ok(claims(&answer.into_inner().token)["generation"].as_u64().expect("a generation")),
        Err(status) => Err(ApiError::from_status(&status).expect("one of ours").code()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refreshed_until_a_minute_after_a_newer_one_was_used() {
    let Fixture { service, tenant, mut visitors } = fixture_on(postgres()).await;
    let opened = visitors.open_session(gateway(opening(&tenant))).await.expect("opened").into_inner();
    assert_eq!(claims(&opened.token)["generation"], 0);
    let again = RefreshTokenRequest {
        tenant_id: bytes(&tenant.id),
        session_id: opened.session_id.clone(),
        widget_public_key: tenant.widget_public_key.clone(),
        origin: PAGE.to_owned(),
        generation: None,
    };
    // A minute passes for all that was used so far.
    let a_minute_passes = || {
        service.database.meddle(
            "UPDATE visitor_session SET used_tokens = (SELECT jsonb_agg(jsonb_build_array(used->0, (used->>1)::bigint - 60001)) \
             FROM jsonb_array_elements(used_tokens) used) WHERE used_tokens IS NOT NULL",
        );
    };
    // The answer may be lost as often as it likes: what was not used supersedes nothing. A gateway of before says no generation.
    for generation in [Some(0), Some(0), None] {
        assert_eq!(refresh(&mut visitors, &again, generation).await, Ok(1));
        a_minute_passes();
    }
    // Two tabs at once, with the newer token and with the older one.
    let mut two = [visitors.clone(), visitors.clone()];
    let [one, other] = &mut two;
    let both = tokio::join!(refresh(one, &again, Some(1)), refresh(other, &again, Some(1)));
    assert_eq!(both, (Ok(2), Ok(2)));
    assert_eq!(refresh(&mut visitors, &again, Some(0)).await, Ok(2), "within the minute");
    a_minute_passes();
    assert_eq!(refresh(&mut visitors, &again, Some(0)).await, Err(ErrorCode::InvalidVisitorToken));
    assert_eq!(refresh(&mut visitors, &again, Some(1)).await, Ok(2), "nobody has used a newer one");
    // To open a socket is to use a token.
    let ask = GetSessionRequest { tenant_id: bytes(&tenant.id), session_id: opened.session_id, generation: Some(2) };
    visitors.get_session(gateway(ask.clone())).await.expect("there");
    assert_eq!(refresh(&mut visitors, &again, Some(1)).await, Ok(3), "within the minute");
    a_minute_passes();
    assert_eq!(refresh(&mut visitors, &again, Some(1)).await, Err(ErrorCode::InvalidVisitorToken));
    visitors
        .get_session(gateway(GetSessionRequest { generation: Some(1), ..ask }))
        .await
        .expect("it opens until its time");
    assert_eq!(refresh(&mut visitors, &again, Some(2)).await, Ok(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_is_over_and_ending_it_again_is_no_error() {
    let Fixture { service, tenant, mut visitors } = fixture_on(postgres()).await;
    let opened = visitors.open_session(gateway(opening(&tenant))).await.expect("opened").into_inner();
    let again = RefreshTokenRequest {
        tenant_id: bytes(&tenant.id),
        session_id: opened.session_id.clone(),
        widget_public_key: tenant.widget_public_key.clone(),
        origin: PAGE.to_owned(),
        generation: None,
    };
    let token = |generation, has_ended| {
        let session_id = opened.session_id.clone();
        Token::Session(SessionToken { session_id, generation, has_ended })
    };
    let end = async |visitors: &mut VisitorsClient<Channel>, token: Token| {
        let request = EndSessionRequest { tenant_id: bytes(&tenant.id), token: Some(token), wait_ms: 0 };
        visitors.end_session(gateway(request)).await.map(Response::into_inner)
    };
    // A token that could not be refreshed any more, and whose time is over, ends nothing.
    assert_eq!(refresh(&mut visitors, &again, Some(1)).await, Ok(2));
    service.database.meddle("UPDATE visitor_session SET used_tokens = '[[1, 1000]]'");
    assert_eq!(refusal(end(&mut visitors, token(0, true)).await.map(Response::new)), ErrorCode::InvalidVisitorToken);
    assert_eq!(refresh(&mut visitors, &again, Some(1)).await, Ok(2));
    for _ in 0..3 {
        let ended = end(&mut visitors, token(0, false)).await.expect("ended");
        assert_eq!((ended.session_id.as_str(), ended.is_everywhere), (opened.session_id.as_str(), true));
    }
    assert_eq!(refresh(&mut visitors, &again, Some(1)).await, Err(ErrorCode::InvalidVisitorToken));
    let ask =
        GetSessionRequest { tenant_id: bytes(&tenant.id), session_id: opened.session_id.clone(), generation: None };
    assert_eq!(refusal(visitors.get_session(gateway(ask)).await), ErrorCode::InvalidVisitorToken);
    let list = ListEndedSessionsRequest { tenant_id: bytes(&tenant.id), after: 0 };
    let ended = visitors.list_ended_sessions(gateway(list)).await.expect("an answer").into_inner();
    assert_eq!(ended.session_ids, std::slice::from_ref(&opened.session_id));

    // A minted token's session is its visitor's: every token that was minted so far is over, and the next one is good.
    let minted = |generation| {
        let visitor_user_id = "user-1".to_owned();
        Token::Minted(MintedToken { visitor_user_id, generation, tenant_generation: 0 })
    };
    let admit = |generation| AdmitVisitorRequest {
        tenant_id: bytes(&tenant.id),
        visitor_user_id: "user-1".to_owned(),
        generation,
    };
    let session = visitors.admit_visitor(gateway(admit(0))).await.expect("admitted").into_inner().session_id;
    for _ in 0..3 {
        assert_eq!(end(&mut visitors, minted(0)).await.expect("ended").session_id, session);
    }
    assert_eq!(refusal(visitors.admit_visitor(gateway(admit(0))).await), ErrorCode::InvalidVisitorToken);
    visitors.admit_visitor(gateway(admit(1))).await.expect("a newer token");

    let path = format!("/fetch/audit-log?tenant_id={}", tenant.id);
    let (status, log) = service.operator().call("GET", &path, None).await;
    assert_eq!(status, 200, "{log}");
    let rows = log["data"]["items"].as_array().expect("a list").iter();
    let rows: Vec<_> = rows.filter(|row| row["action"] == "end_visitor_session").collect();
    let actors: Vec<_> = rows.iter().map(|row| row["actor"].as_str().expect("text")).collect();
    assert_eq!(actors, [format!("visitor:{session}"), format!("visitor:{}", opened.session_id)], "each once");
    let subjects: Vec<_> = rows.iter().map(|row| row["subject"].as_str().expect("text")).collect();
    assert_eq!(subjects, [format!("session:{session}"), format!("session:{}", opened.session_id)]);

    let unproven = EndSessionRequest { tenant_id: bytes(&tenant.id), token: Some(minted(1)), wait_ms: 0 };
    assert_eq!(refusal(visitors.end_session(Request::new(unproven.clone())).await), ErrorCode::InvalidServiceToken);
    let nameless = EndSessionRequest { token: None, ..unproven };
    assert_eq!(refusal(visitors.end_session(gateway(nameless)).await), ErrorCode::ValidationFailed);
}
