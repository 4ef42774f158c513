//! The store's contract for visitors: sessions, and when widget keys were last used.

use std::time::Duration;

use admin_service::{
    store::{BotStore as _, SeaStore, VisitorStore as _, WidgetStore as _},
    tenant::Tenant,
    visitor::{Mode, SESSION_LIFETIME, VisitorSession},
};
use jiff::Timestamp;
use serde_json::json;
use shared::{
    SessionId,
    time::{from_unix_ms, now},
};

use super::create;

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
    }
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
