//! The store's contract: account keys, and the bots, widget keys and looks they open.

use admin_service::{
    account_key::{Ability, AccountKey},
    bot::Bot,
    store::{AccountKeyStore as _, LogStore as _},
    widget::{Appearance, BotKey},
};

use super::*;

pub(super) async fn account_keys_are_found_by_digest_until_they_are_revoked(store: &SeaStore) {
    let (tenant, other) = (create(store, "Keys").await.id, create(store, "No keys").await.id);
    let key = |tenant_id, name: &str| AccountKey {
        id: Uuid::now_v7(),
        tenant_id,
        name: name.into(),
        abilities: vec![Ability::WidgetsRead, Ability::All],
        hint: "abcd".into(),
        created_at: now(),
        expires_at: Some(now() + jiff::SignedDuration::from_hours(1)),
        revoked_at: None,
        last_used_at: None,
    };
    let make = async |key: &AccountKey, digest: u8, most| {
        let audit = audit(key.tenant_id, Action::CreateAccountKey);
        store.create_account_key(key.clone(), [digest; 32], most, audit).await
    };
    let (first, second) = (key(tenant, "First"), key(tenant, "Zweiter é"));
    make(&AccountKey { expires_at: Some(now()), ..key(other, "Expired") }, 8, 1).await.expect("written");
    make(&key(other, "After it"), 7, 1).await.expect("one that has ended takes no place");
    make(&first, 1, 2).await.expect("written");
    make(&second, 2, 2).await.expect("written");
    assert!(matches!(
        make(&key(tenant, "Third"), 3, 2).await,
        Err(StoreError::Full { what: Limited::AccountKeys, .. })
    ));
    assert!(matches!(
        make(&key(TenantId::generate(), "Nobody's"), 4, 2).await,
        Err(StoreError::NotFound(Missing::Tenant))
    ));
    let listed = store.account_keys(tenant).await.expect("reads").expect("known");
    assert_eq!(listed, [second.clone(), first.clone()], "newest first");
    assert_eq!(store.account_keys(other).await.expect("reads").map(|keys| keys.len()), Some(2));
    assert_eq!(store.account_keys(TenantId::generate()).await.expect("reads"), None);

    let find = async |digest: u8| store.find_account_key([digest; 32]).await.expect("reads");
    assert_eq!(find(1).await, Some((first.clone(), TenantStatus::Active)));
    assert_eq!(find(9).await, None);
    store.set_status(tenant, TenantStatus::Suspended, audit(tenant, Action::SuspendTenant)).await.expect("set");
    assert_eq!(find(1).await.map(|(_, status)| status), Some(TenantStatus::Suspended));

    let revoke = async |tenant, id| store.revoke_account_key(tenant, id, audit(tenant, Action::RevokeAccountKey)).await;
    let elsewhere = revoke(other, first.id).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound(Missing::AccountKey))), "another tenant's");
    let revoked = revoke(tenant, first.id).await.expect("there");
    assert!(revoked.revoked_at.is_some());
    assert_eq!(revoke(tenant, first.id).await.expect("as it is"), revoked, "once is enough");
    assert_eq!(find(1).await.map(|(key, _)| key), Some(revoked));
    make(&key(tenant, "Third"), 3, 2).await.expect("a revoked one makes room");
    let log = store.audit_log(Some(tenant), None, 100).await.expect("reads").items;
    assert_eq!(log.iter().filter(|row| row.action == "revoke_account_key").count(), 1);

    let used = now();
    store.account_keys_used(&[(second.id, used), (Uuid::now_v7(), used)]).await.expect("written");
    assert_eq!(find(2).await.and_then(|(key, _)| key.last_used_at), Some(used));
}

/// An account key of the tenant's, to write on behalf of.
async fn developer(store: &SeaStore, tenant_id: TenantId) -> Uuid {
    let id = Uuid::now_v7();
    let key = AccountKey {
        id,
        tenant_id,
        name: "Developer".into(),
        abilities: vec![Ability::All],
        hint: "abcd".into(),
        created_at: now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(id.as_bytes());
    store.create_account_key(key, digest, 9, audit(tenant_id, Action::CreateAccountKey)).await.expect("written");
    id
}

pub(super) async fn a_tenant_has_a_bot_from_the_start(store: &SeaStore) {
    let tenant = create(store, "Bots").await;
    let by = developer(store, tenant.id).await;
    let bots = store.bots(tenant.id).await.expect("reads");
    assert_eq!(bots.iter().map(|bot| (bot.name.as_str(), bot.is_default)).collect::<Vec<_>>(), [("Default", true)]);
    let made = (0..6).map(|index| {
        let bot = Bot {
            id: Uuid::now_v7(),
            tenant_id: tenant.id,
            name: format!("Bot {index}"),
            is_default: false,
            created_at: now(),
        };
        store.create_bot(by, bot, 4, audit(tenant.id, Action::CreateBot))
    });
    let made = futures_util::future::join_all(made).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 3, "however many come at once");
    assert!(made.iter().all(|made| matches!(made, Ok(()) | Err(StoreError::Full { what: Limited::Bots, .. }))));
    assert_eq!(store.bots(tenant.id).await.expect("reads").len(), 4);
    assert_eq!(store.bots(TenantId::generate()).await.expect("reads"), []);
    // Neither a key that was revoked nor one of a suspended tenant writes anything, however long ago it was let in.
    let write = async |by| {
        let bot =
            Bot { id: Uuid::now_v7(), name: "Late".into(), is_default: false, created_at: now(), tenant_id: tenant.id };
        store.create_bot(by, bot, 9, audit(tenant.id, Action::CreateBot)).await
    };
    let revoked = developer(store, tenant.id).await;
    let revocation = audit(tenant.id, Action::RevokeAccountKey);
    store.revoke_account_key(tenant.id, revoked, revocation).await.expect("written");
    assert!(matches!(write(revoked).await, Err(StoreError::Unauthorized)));
    write(by).await.expect("written");
    store.set_status(tenant.id, TenantStatus::Suspended, audit(tenant.id, Action::SuspendTenant)).await.expect("set");
    assert!(matches!(write(by).await, Err(StoreError::Unauthorized)));
}

pub(super) async fn a_widget_key_opens_its_tenant_until_it_is_revoked(store: &SeaStore) {
    let (tenant, other) = (create(store, "Widgets").await, create(store, "Others").await);
    let bot = store.bots(tenant.id).await.expect("reads")[0].id;
    let by = developer(store, tenant.id).await;
    let own = store.widget_keys(tenant.id, bot).await.expect("reads").expect("a bot");
    assert_eq!(own.iter().map(|key| &key.api_key).collect::<Vec<_>>(), [&tenant.widget_public_key]);
    let key = |bot_id| BotKey {
        id: Uuid::now_v7(),
        tenant_id: tenant.id,
        bot_id,
        api_key: WidgetKey::generate(),
        name: "Site".into(),
        allowed_domains: vec!["*.example.com".parse().expect("a domain")],
        rate_limit_per_hour: 7,
        is_active: true,
        created_at: now(),
        last_used_at: None,
    };
    let make = async |key: &BotKey, most| {
        store.create_widget_key(by, key.clone(), most, audit(tenant.id, Action::CreateWidgetKey)).await
    };
    let made = key(bot);
    make(&made, 2).await.expect("written");
    assert!(matches!(make(&key(bot), 2).await, Err(StoreError::Full { what: Limited::WidgetKeys, .. })));
    let elsewhere = store.bots(other.id).await.expect("reads")[0].id;
    assert!(matches!(make(&key(elsewhere), 2).await, Err(StoreError::NotFound(Missing::Bot))), "another tenant's bot");
    assert_eq!(store.widget_keys(tenant.id, bot).await.expect("reads").expect("a bot"), [made.clone(), own[0].clone()]);
    assert_eq!(store.widget_keys(tenant.id, elsewhere).await.expect("reads"), None);

    let opens = async |key: &WidgetKey| {
        let access = store.widget_access(tenant.id, key.as_str()).await.expect("reads").expect("a tenant");
        access.opened.map(|(key, appearance)| (key.id, appearance))
    };
    assert_eq!(opens(&made.api_key).await, Some((made.id, Appearance::default())));
    assert_eq!(opens(&tenant.widget_public_key).await, Some((own[0].id, Appearance::default())));
    let elsewhere = store.widget_access(other.id, made.api_key.as_str()).await.expect("reads").expect("a tenant");
    assert_eq!(elsewhere.opened, None, "a key is its own tenant's alone");
    assert_eq!(store.widget_access(TenantId::generate(), made.api_key.as_str()).await.expect("reads"), None);
    let revoke = async |tenant_id, id| {
        store.revoke_widget_key(by, tenant_id, id, audit(tenant_id, Action::RevokeWidgetKey)).await
    };
    assert!(matches!(revoke(other.id, made.id).await, Err(StoreError::NotFound(Missing::WidgetKey))));
    assert!(
        matches!(revoke(tenant.id, own[0].id).await, Err(StoreError::InUse(InUse::TenantsWidgetKey))),
        "that one is rotated"
    );
    for _ in 0..2 {
        let revoked = revoke(tenant.id, made.id).await.expect("written").value;
        assert_eq!(revoked, BotKey { is_active: false, ..made.clone() });
    }
    assert_eq!(opens(&made.api_key).await, None);
    let rotation = audit(tenant.id, Action::RotateWidgetKey);
    let rotated =
        store.rotate(tenant.id, Replacement::WidgetKey(WidgetKey::generate()), rotation).await.expect("rotated");
    let keys = store.widget_keys(tenant.id, bot).await.expect("reads").expect("a bot");
    assert_eq!(
        (keys[1].id, &keys[1].api_key),
        (own[0].id, &rotated.widget_public_key),
        "the same key, with another text"
    );
    assert_eq!(opens(&tenant.widget_public_key).await, None);
    assert!(opens(&rotated.widget_public_key).await.is_some());
}

pub(super) async fn a_look_is_a_bots_own(store: &SeaStore) {
    let tenant = create(store, "Appearance").await;
    let by = developer(store, tenant.id).await;
    let bot = store.bots(tenant.id).await.expect("reads")[0].id;
    let before = store.appearance(tenant.id, bot).await.expect("reads").expect("a bot");
    assert_eq!((before.appearance, before.updated_at), (Appearance::default(), before.created_at));
    let change = |appearance: &mut Appearance| {
        appearance.greeting_text = "Grüezi 🚚".into();
        audit(tenant.id, Action::CustomizeWidget)
    };
    let saved = store.save_appearance(by, tenant.id, bot, &change).await.expect("written").value;
    assert_eq!(saved.appearance, Appearance { greeting_text: "Grüezi 🚚".into(), ..Appearance::default() });
    assert_eq!(store.appearance(tenant.id, bot).await.expect("reads"), Some(saved));
    let nobody = TenantId::generate();
    assert_eq!(store.appearance(nobody, bot).await.expect("reads"), None);
    assert!(matches!(store.save_appearance(by, nobody, bot, &change).await, Err(StoreError::NotFound(Missing::Bot))));
}
