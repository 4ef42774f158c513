//! The store's contract for visitors: sessions, and when widget keys were last used.

use std::time::Duration;

use admin_service::{
    audit::Action,
    store::{
        BotStore as _, LogStore as _, Missing, SeaStore, StoreError, TenantStore as _, VisitorStore as _,
        WidgetStore as _,
    },
    tenant::Tenant,
    visitor::{Mode, SESSION_LIFETIME, UsedTokens, VisitorSession},
};
use jiff::Timestamp;
use serde_json::json;
use wire::{
    SessionId, TenantId,
    time::{from_unix_ms, now},
};

use super::{audit, create};

fn session(tenant: &Tenant, bot_id: uuid::Uuid, created_at: Timestamp) -> VisitorSession {
    VisitorSession {
        id: SessionId::generate(),
        tenant_id: tenant.id,
        bot_id,
        widget_key: tenant.widget_public_key.clone(),
        origin: "https://a.example.com:8443".parse().expect("an origin"),
        locale: "fr-CA".into(),
        mode: Mode::Human,
        routing_key: Some("vip 🚚".into()),
        metadata: json!({"page_url": "https://a.example.com/é"}).as_object().expect("an object").clone(),
        created_at,
        expires_at: created_at.saturating_add(SESSION_LIFETIME).expect("a time"),
        is_ended: false,
        used_tokens: UsedTokens::default(),
        identity: None,
    }
}

/// A session that lives.
pub(super) async fn begin(store: &SeaStore, tenant: &Tenant) -> VisitorSession {
    let bot = store.bots(tenant.id).await.expect("reads")[0].id;
    let session = session(tenant, bot, now());
    store.create_session(&session).await.expect("written");
    session
}

pub(super) async fn a_session_ends_once_and_its_tenant_says_when(store: &SeaStore) {
    let (tenant, other) = (create(store, "Ended").await, create(store, "Other").await);
    let (ended, lives) = (begin(store, &tenant).await, begin(store, &tenant).await);
    let end = async |tenant_id, id| {
        let entry = audit(tenant_id, Action::EndVisitorSession);
        store.end_session(tenant_id, id, entry).await.map(|ended| ended.revision)
    };
    let sessions_ended = async || store.find(tenant.id).await.expect("reads").expect("there").sessions_ended;
    assert_eq!(sessions_ended().await, 0);
    assert_eq!(end(other.id, ended.id).await.expect("nothing to end"), 0, "another tenant's");
    let revision = end(tenant.id, ended.id).await.expect("ended");
    assert!(revision > tenant.revision && sessions_ended().await == revision);
    let read = async |id| store.session(tenant.id, id).await.expect("reads").expect("there").is_ended;
    assert_eq!((read(ended.id).await, read(lives.id).await), (true, false));
    // Many who end it at once, or again, or what never was, make no further change, and learn what to wait for.
    let again = futures_util::future::join_all((0..4).map(|_| end(tenant.id, ended.id))).await;
    assert!(again.into_iter().all(|again| again.expect("over") == revision));
    assert_eq!(end(tenant.id, SessionId::generate()).await.expect("nothing to end"), revision);
    let raced = futures_util::future::join_all((0..4).map(|_| end(tenant.id, lives.id))).await;
    let raced: Vec<_> = raced.into_iter().map(|raced| raced.expect("over")).collect();
    assert!(raced[0] > revision && raced.iter().all(|later| *later == raced[0]), "{raced:?}");
    let log = store.audit_log(Some(tenant.id), None, 10).await.expect("reads").items;
    assert_eq!(log.iter().filter(|row| row.action == "end_visitor_session").count(), 2);

    let since = async |tenant_id, after| store.ended_sessions(tenant_id, after).await.expect("reads");
    assert_eq!(since(tenant.id, 0).await.len(), 2);
    assert_eq!(since(tenant.id, revision).await, [lives.id]);
    assert!(since(tenant.id, raced[0]).await.is_empty() && since(other.id, 0).await.is_empty());
    let nobody = TenantId::generate();
    assert!(matches!(end(nobody, ended.id).await, Err(StoreError::NotFound(Missing::Tenant))));
    // An operator's update is not in a visitor's way.
    let read = store.find(tenant.id).await.expect("reads").expect("there");
    assert_eq!((read.revision, read.updated_at), (tenant.revision, tenant.updated_at));
}

pub(super) async fn the_uses_of_a_sessions_tokens_are_kept(store: &SeaStore) {
    let (tenant, other) = (create(store, "Refreshed").await, create(store, "Other").await);
    let session = begin(store, &tenant).await;
    let use_token = async |tenant_id, generation| {
        let used = store.use_token(tenant_id, session.id, generation, now()).await;
        used.expect("written").map(|used| used.newest())
    };
    assert_eq!(use_token(other.id, 1).await, None, "another tenant's");
    let at_once = futures_util::future::join_all((0..6).map(|_| use_token(tenant.id, 1))).await;
    assert!(at_once.into_iter().all(|newest| newest == Some(1)));
    assert_eq!([use_token(tenant.id, 5).await, use_token(tenant.id, 3).await], [Some(5), Some(5)]);
    let kept = store.session(tenant.id, session.id).await.expect("reads").expect("there").used_tokens;
    assert_eq!(serde_json::to_value(&kept).expect("JSON").as_array().map(Vec::len), Some(2), "{kept:?}");
}

pub(super) async fn a_session_is_its_tenants_and_is_forgotten_once_it_is_over(store: &SeaStore) {
    let (tenant, other) = (create(store, "Visited").await, create(store, "Other").await);
    let bot = store.bots(tenant.id).await.expect("reads")[0].id;
    let now = now();
    let lives = session(&tenant, bot, now);
    store.create_session(&lives).await.expect("written");
    assert_eq!(store.session(tenant.id, lives.id).await.expect("reads"), Some(lives.clone()));
    assert_eq!(store.session(other.id, lives.id).await.expect("reads"), None, "another tenant's");
    assert_eq!(store.session(tenant.id, SessionId::generate()).await.expect("reads"), None);

    let long_ago = now.checked_sub(SESSION_LIFETIME).expect("a time");
    let ended: Vec<_> = (0..5).map(|_| session(&tenant, bot, long_ago)).collect();
    for session in &ended {
        store.create_session(session).await.expect("written");
    }
    assert_eq!(store.forget_sessions(now, 3).await.expect("removed"), 3, "so many at once");
    assert_eq!(store.forget_sessions(now, 3).await.expect("removed"), 2);
    assert_eq!(store.forget_sessions(now, 3).await.expect("removed"), 0);
    for session in ended {
        assert_eq!(store.session(tenant.id, session.id).await.expect("reads"), None);
    }
    assert_eq!(store.session(tenant.id, lives.id).await.expect("reads"), Some(lives));
}

pub(super) async fn the_latest_use_of_a_widget_key_is_what_is_kept(store: &SeaStore) {
    let tenant = create(store, "Used").await;
    let bot = store.bots(tenant.id).await.expect("reads")[0].id;
    let key = async || store.widget_keys(tenant.id, bot).await.expect("reads").expect("a bot").remove(0);
    let id = key().await.id;
    let later = from_unix_ms(now().as_millisecond());
    let earlier = later.checked_sub(Duration::from_secs(60)).expect("a time");
    for (at, kept) in [(earlier, earlier), (later, later), (earlier, later)] {
        store.widget_keys_used(&[(id, at)]).await.expect("written");
        assert_eq!(key().await.last_used_at, Some(kept));
    }
}
