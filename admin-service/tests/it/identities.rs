//! Visitors who are identified in a widget: the session that follows, what it says, and what ends it.

use e2e::{signed::Tenant, visitor::PAGE};
use proto::{
    identity::v1::{MintVisitorTokenRequest, identity_client::IdentityClient},
    visitors::v1::{
        GetSessionRequest, IdentifyVisitorRequest, IdentifyVisitorResponse, ListEndedSessionsRequest, MintedToken,
        OpenSessionRequest, RefreshTokenRequest, RevokeVisitorRequest, Session, SessionToken,
        visitors_client::VisitorsClient,
    },
};
use serde_json::json;
use tonic::{Response, transport::Channel};
use wire::ErrorCode;

use crate::{
    grpc::{bytes, channel, gateway},
    support::{Service, TestDatabase, postgres, sqlite},
    visitors::{claims, opening, refusal},
};

struct Fixture {
    service: Service,
    tenant: Tenant,
    visitors: VisitorsClient<Channel>,
}

impl Fixture {
    async fn on(database: TestDatabase) -> Self {
        let service = Service::start(database).await;
        let tenant = service.operator().provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await;
        let visitors = VisitorsClient::new(channel(&service).await);
        Self { service, tenant, visitors }
    }

    async fn begin(&mut self) -> String {
        let opening = OpenSessionRequest { locale: "de".to_owned(), ..opening(&self.tenant) };
        self.visitors.open_session(gateway(opening)).await.expect("opened").into_inner().session_id
    }

    /// What a token says that is minted now.
    async fn minted(&self, visitor: &str) -> MintedToken {
        let mut identity = IdentityClient::new(channel(&self.service).await);
        let mint = MintVisitorTokenRequest {
            tenant_id: bytes(&self.tenant.id),
            visitor_user_id: visitor.to_owned(),
            visitor_email_hash: None,
            ttl_seconds: 60,
            token_generation: None,
        };
        let token = identity.mint_visitor_token(gateway(mint)).await.expect("minted").into_inner().token;
        let said = claims(&token);
        let number = |claim: &str| said[claim].as_u64().expect("a number");
        let (generation, tenant_generation) = (number("generation"), number("tenant_generation"));
        MintedToken { visitor_user_id: visitor.to_owned(), generation, tenant_generation }
    }

    fn request(&self, session: &str, identity: MintedToken) -> IdentifyVisitorRequest {
        let session = SessionToken { session_id: session.to_owned(), generation: 0, has_ended: false };
        IdentifyVisitorRequest {
            tenant_id: bytes(&self.tenant.id),
            session: Some(session),
            identity: Some(identity),
            name: Some("Ada".to_owned()),
            email: None,
            wait_ms: 0,
        }
    }

    async fn identify(&mut self, session: &str, identity: MintedToken) -> Result<IdentifyVisitorResponse, ErrorCode> {
        let request = self.request(session, identity);
        match self.visitors.identify_visitor(gateway(request)).await {
            Ok(answer) => Ok(answer.into_inner()),
            refused => Err(refusal(refused)),
        }
    }

    async fn session(&mut self, id: &str) -> Result<Session, ErrorCode> {
        let ask = GetSessionRequest { tenant_id: bytes(&self.tenant.id), session_id: id.to_owned(), generation: None };
        match self.visitors.get_session(gateway(ask)).await {
            Ok(answer) => Ok(answer.into_inner()),
            refused => Err(refusal(refused)),
        }
    }

    async fn refresh(&mut self, id: &str) -> Result<(), ErrorCode> {
        let again = RefreshTokenRequest {
            tenant_id: bytes(&self.tenant.id),
            session_id: id.to_owned(),
            widget_public_key: self.tenant.widget_public_key.clone(),
            origin: PAGE.to_owned(),
            generation: None,
        };
        match self.visitors.refresh_token(gateway(again)).await {
            Ok(_) => Ok(()),
            refused => Err(refusal(refused)),
        }
    }

    async fn revoke(&mut self, visitor: &str) {
        let (tenant_id, visitor_user_id) = (bytes(&self.tenant.id), visitor.to_owned());
        let revoke = RevokeVisitorRequest { tenant_id, visitor_user_id, wait_ms: 0 };
        self.visitors.revoke_visitor(gateway(revoke)).await.expect("revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_visitors_own_session_follows_and_the_one_before_is_over() {
    for database in [sqlite(), postgres()] {
        let mut fixture = Fixture::on(database).await;
        let anonymous = fixture.begin().await;
        let identity = fixture.minted("ada@example.com").await;
        let next = fixture.identify(&anonymous, identity.clone()).await.expect("identified");
        assert!(next.session_id != anonymous && next.is_everywhere);
        assert!(!format!("{next:?}").contains(&next.token), "tokens are not for logs");
        let said = claims(&next.token);
        assert_eq!(
            (&said["sub"], &said["widget_key"], &said["origin"], &said["tenant_generation"]),
            (&json!(next.session_id), &json!(fixture.tenant.widget_public_key), &json!(PAGE), &json!(0))
        );
        let session = fixture.session(&next.session_id).await.expect("there");
        assert_eq!((session.locale.as_str(), session.mode.as_str()), ("de", "human"), "as the one before");
        let known = session.identity.expect("an identity");
        assert_eq!((known.visitor_user_id.as_str(), known.name.as_deref()), ("ada@example.com", Some("Ada")));
        assert_eq!(known.continues.as_deref(), Some(anonymous.as_str()));
        assert_eq!(fixture.session(&anonymous).await.map(drop), Err(ErrorCode::InvalidVisitorToken));
        assert_eq!(fixture.refresh(&anonymous).await, Err(ErrorCode::InvalidVisitorToken));
        assert_eq!(fixture.refresh(&next.session_id).await, Ok(()));

        // A caller who lost the answer asks again and gets the same session.
        let again = fixture.identify(&anonymous, identity.clone()).await.expect("identified");
        assert_eq!(again.session_id, next.session_id);
        // For another visitor, the ended session is over.
        let other = fixture.minted("ben").await;
        assert_eq!(fixture.identify(&anonymous, other.clone()).await.map(drop), Err(ErrorCode::InvalidVisitorToken));
        // The other visitor's session has nothing of the one before.
        let others = fixture.identify(&next.session_id, other).await.expect("identified");
        let session = fixture.session(&others.session_id).await.expect("there");
        assert_eq!((session.metadata_json.as_str(), session.mode.as_str(), session.routing_key), ("{}", "bot", None));
        let known = session.identity.expect("an identity");
        assert_eq!((known.visitor_user_id.as_str(), known.continues), ("ben", None));
        assert_eq!(fixture.identify(&anonymous, identity).await.map(drop), Err(ErrorCode::InvalidVisitorToken));

        let list = ListEndedSessionsRequest { tenant_id: bytes(&fixture.tenant.id), after: 0 };
        let ended = fixture.visitors.list_ended_sessions(gateway(list)).await.expect("an answer").into_inner();
        assert_eq!(ended.session_ids.len(), 2, "gateways learn of both: {ended:?}");
        let path = format!("/fetch/audit-log?tenant_id={}", fixture.tenant.id);
        let (_, log) = fixture.service.operator().call("GET", &path, None).await;
        let rows = log["data"]["items"].as_array().expect("a list").iter();
        let subjects: Vec<_> =
            rows.filter(|row| row["action"] == "identify_visitor").map(|row| row["subject"].clone()).collect();
        assert_eq!(subjects, [format!("session:{}", next.session_id), format!("session:{anonymous}")]);
        assert!(!log.to_string().contains("ada@example.com"), "the log is never pruned");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_ends_the_visitors_sessions_and_the_minted_tokens_of_before() {
    for database in [sqlite(), postgres()] {
        let mut fixture = Fixture::on(database).await;
        let (first, second, third) = (fixture.begin().await, fixture.begin().await, fixture.begin().await);
        let (ada, ben) = (fixture.minted("ada").await, fixture.minted("ben").await);
        let phone = fixture.identify(&first, ada.clone()).await.expect("identified").session_id;
        let laptop = fixture.identify(&second, ada.clone()).await.expect("identified").session_id;
        let bens = fixture.identify(&third, ben).await.expect("identified").session_id;
        fixture.revoke("ada").await;
        for session in [&phone, &laptop] {
            assert_eq!(fixture.session(session).await.map(drop), Err(ErrorCode::InvalidVisitorToken));
            assert_eq!(fixture.refresh(session).await, Err(ErrorCode::InvalidVisitorToken));
        }
        fixture.session(&bens).await.expect("another visitor's");
        let list = ListEndedSessionsRequest { tenant_id: bytes(&fixture.tenant.id), after: 0 };
        let ended = fixture.visitors.list_ended_sessions(gateway(list)).await.expect("an answer").into_inner();
        assert!([&phone, &laptop].iter().all(|id| ended.session_ids.contains(id)), "gateways learn of it: {ended:?}");

        let fresh = fixture.begin().await;
        assert_eq!(fixture.identify(&fresh, ada).await.map(drop), Err(ErrorCode::InvalidIdentityToken));
        fixture.session(&fresh).await.expect("a refusal ends nothing");
        let minted_since = fixture.minted("ada").await;
        fixture.identify(&fresh, minted_since).await.expect("identified");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_secret_leaves_no_identified_sessions_behind() {
    let mut fixture = Fixture::on(sqlite()).await;
    let (first, anonymous) = (fixture.begin().await, fixture.begin().await);
    let ada = fixture.minted("ada").await;
    let identified = fixture.identify(&first, ada.clone()).await.expect("identified").session_id;
    let path = format!("/rotate/tenant-secret?tenant_id={}", fixture.tenant.id);
    let (status, _) = fixture.service.operator().call("POST", &path, None).await;
    assert_eq!((status, fixture.refresh(&identified).await), (200, Ok(())), "a rotation alone ends no token");
    let (status, _) = fixture.service.operator().call("POST", &format!("{path}&revoke_issued=true"), None).await;
    assert_eq!(status, 200);
    assert_eq!(fixture.refresh(&identified).await, Err(ErrorCode::InvalidVisitorToken));
    assert_eq!(fixture.refresh(&anonymous).await, Ok(()), "nobody vouched for this one");
    assert_eq!(fixture.identify(&anonymous, ada).await.map(drop), Err(ErrorCode::InvalidIdentityToken));
    // Not even with a token that was minted since does a session go on that is over, or that followed one.
    let minted_since = fixture.minted("ada").await;
    for over in [&identified, &first] {
        let refused = fixture.identify(over, minted_since.clone()).await.map(drop);
        assert_eq!(refused, Err(ErrorCode::InvalidVisitorToken));
    }
    fixture.identify(&anonymous, minted_since).await.expect("identified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_has_a_bounded_number_of_sessions_and_a_lost_answer_is_found_again() {
    let mut fixture = Fixture::on(postgres()).await;
    let ada = fixture.minted("ada").await;
    let anonymous = fixture.begin().await;
    let first = fixture.identify(&anonymous, ada.clone()).await.expect("identified").session_id;
    // The visitor was identified again meanwhile, in another tab.
    let second = fixture.identify(&first, ada.clone()).await.expect("identified").session_id;
    assert_eq!(fixture.identify(&anonymous, ada.clone()).await.expect("identified").session_id, second);
    for _ in 0..100 {
        fixture.session(&second).await.expect("there");
        let another = fixture.begin().await;
        fixture.identify(&another, ada.clone()).await.expect("identified");
    }
    assert_eq!(fixture.session(&second).await.map(drop), Err(ErrorCode::InvalidVisitorToken), "the oldest");
}

#[tokio::test(flavor = "multi_thread")]
async fn identifying_and_revoking_at_once_leaves_no_session_that_a_revocation_missed() {
    for database in [sqlite(), postgres()] {
        let mut fixture = Fixture::on(database).await;
        for round in 0..10 {
            let visitor = format!("visitor-{round}");
            let (session, identity) = (fixture.begin().await, fixture.minted(&visitor).await);
            let (request, tenant_id) = (fixture.request(&session, identity), bytes(&fixture.tenant.id));
            let mut clients = [fixture.visitors.clone(), fixture.visitors.clone()];
            let [identifying, revoking] = &mut clients;
            let revoke = RevokeVisitorRequest { tenant_id, visitor_user_id: visitor, wait_ms: 0 };
            let (identified, revoked) =
                tokio::join!(identifying.identify_visitor(gateway(request)), revoking.revoke_visitor(gateway(revoke)));
            revoked.expect("revoked");
            match identified.map(Response::into_inner) {
                Ok(next) => {
                    let over = fixture.session(&next.session_id).await.map(drop);
                    assert_eq!(over, Err(ErrorCode::InvalidVisitorToken), "round {round}");
                }
                refused => assert_eq!(refusal(refused.map(Response::new)), ErrorCode::InvalidIdentityToken),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_identify_at_once_get_one_session_and_two_visitors_never_share_one() {
    for database in [sqlite(), postgres()] {
        let mut fixture = Fixture::on(database).await;
        let (ada, ben) = (fixture.minted("ada").await, fixture.minted("ben").await);
        for _ in 0..5 {
            let (shared, contested) = (fixture.begin().await, fixture.begin().await);
            let mut clients = [fixture.visitors.clone(), fixture.visitors.clone()];
            let [one, other] = &mut clients;
            let same = [fixture.request(&shared, ada.clone()), fixture.request(&shared, ada.clone())];
            let [first, second] = same.map(gateway);
            let (first, second) = tokio::join!(one.identify_visitor(first), other.identify_visitor(second));
            let [first, second] = [first, second].map(|answer| answer.expect("identified").into_inner().session_id);
            assert_eq!(first, second);

            let two = [fixture.request(&contested, ada.clone()), fixture.request(&contested, ben.clone())];
            let [adas, bens] = two.map(gateway);
            let (adas, bens) = tokio::join!(one.identify_visitor(adas), other.identify_visitor(bens));
            assert!(adas.is_ok() != bens.is_ok(), "one of them: {adas:?}, {bens:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_of_its_form_is_refused_and_changes_nothing() {
    let mut fixture = Fixture::on(sqlite()).await;
    let session = fixture.begin().await;
    let good = fixture.request(&session, fixture.minted("ada").await);
    let nameless = MintedToken { visitor_user_id: " ".to_owned(), generation: 0, tenant_generation: 0 };
    for hostile in [
        IdentifyVisitorRequest { session: None, ..good.clone() },
        IdentifyVisitorRequest { identity: None, ..good.clone() },
        IdentifyVisitorRequest { identity: Some(nameless), ..good.clone() },
        IdentifyVisitorRequest { name: Some("x".repeat(201)), ..good.clone() },
        IdentifyVisitorRequest { name: Some("a\0b".to_owned()), ..good.clone() },
        IdentifyVisitorRequest { email: Some(" ".to_owned()), ..good.clone() },
    ] {
        let refused = fixture.visitors.identify_visitor(gateway(hostile)).await;
        assert_eq!(refusal(refused), ErrorCode::ValidationFailed);
    }
    let nobodys = SessionToken { session_id: "vs_1".to_owned(), generation: 0, has_ended: false };
    let refused =
        fixture.visitors.identify_visitor(gateway(IdentifyVisitorRequest { session: Some(nobodys), ..good })).await;
    assert_eq!(refusal(refused), ErrorCode::InvalidVisitorToken);
    fixture.session(&session).await.expect("there");
}
