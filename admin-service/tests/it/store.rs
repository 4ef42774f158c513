//! The store's contract, the same on SQLite and PostgreSQL.

use std::collections::HashSet;

use admin_service::{
    account_key::{Ability, AccountKey},
    audit::{Action, AuditEntry, Caller},
    bot::Bot,
    credentials::WidgetKey,
    operator::{Email, Operator},
    settings::TenantSettings,
    signing_key::SealedSigningKey,
    store::{
        self, AccountKeyStore as _, BotStore as _, Done, OperatorStore as _, PageStart, Position,
        PropagationStore as _, Replacement, Replica, SeaStore, SigningKeyStore as _, StoreError, TenantStore as _,
        WidgetStore as _,
    },
    tenant::{Tenant, TenantStatus},
    widget::{BotKey, Domain, Look},
};
use futures_util::StreamExt as _;
use shared::{TenantId, coherence::replica::Registration, time::now};
use uuid::Uuid;

use crate::support::{TestDatabase, database, postgres, sqlite};

fn caller() -> Caller {
    Caller { actor: "admin_key:test".into(), request_id: "r-1".into() }
}

fn audit(id: TenantId, action: Action) -> AuditEntry {
    AuditEntry::new(id, &caller(), action, ["field"])
}

fn tenant(name: &str) -> Tenant {
    let now = now();
    Tenant {
        id: TenantId::generate(),
        status: TenantStatus::Active,
        widget_public_key: WidgetKey::generate(),
        settings: TenantSettings {
            tenant_name: name.into(),
            allowed_origins: vec!["https://*.example.com".parse().expect("an origin")],
            stripe_customer_id: Some("cus_é🚚".into()),
            monthly_msg_quota: 9_007_199_254_740_991,
            ..TenantSettings::default()
        },
        created_at: now,
        updated_at: now,
        secret_rotated_at: None,
        widget_key_rotated_at: None,
        revision: 0,
    }
}

async fn create(store: &SeaStore, name: &str) -> Tenant {
    let tenant = tenant(name);
    let audit = audit(tenant.id, Action::ProvisionTenant);
    store.create(tenant, b"sealed".to_vec(), audit).await.expect("created")
}

async fn what_is_written_is_what_is_read(store: &SeaStore) {
    let created = create(store, "Written").await;
    assert_eq!(store.find(created.id).await.expect("reads"), Some(created.clone()));
    let keyed = store.find_keyed(created.id).await.expect("reads");
    let value = keyed.value.expect("there");
    assert_eq!((value.tenant, value.sealed_secret), (created.clone(), b"sealed".to_vec()));
    assert!(keyed.revision >= created.revision);
    assert_eq!(store.find(TenantId::generate()).await.expect("reads"), None);
    assert!(store.find_keyed(TenantId::generate()).await.expect("reads").value.is_none());
}

async fn every_change_takes_the_next_revision(store: &SeaStore) {
    let created = create(store, "Changed").await;
    let new_key = WidgetKey::generate();
    let rotated = store
        .rotate(created.id, Replacement::WidgetKey(new_key.clone()), audit(created.id, Action::RotateWidgetKey))
        .await
        .expect("rotated");
    assert!(rotated.revision > created.revision);
    assert!(rotated.widget_key_rotated_at.is_some() && rotated.secret_rotated_at.is_none());
    let by_key = |key: WidgetKey| async move { store.find_by_widget_key(key.as_str()).await.expect("reads").value };
    assert_eq!(by_key(created.widget_public_key.clone()).await, None, "the old key is nobody's");
    assert_eq!(by_key(new_key).await, Some(created.id));
    let secret = store
        .rotate(created.id, Replacement::Secret(b"new".to_vec()), audit(created.id, Action::RotateTenantSecret))
        .await
        .expect("rotated");
    assert!(secret.secret_rotated_at.is_some() && secret.revision > rotated.revision);
    assert_eq!(store.find_keyed(created.id).await.expect("reads").value.expect("there").sealed_secret, b"new");
    for status in [TenantStatus::Suspended, TenantStatus::Suspended, TenantStatus::Active] {
        let changed =
            store.set_status(created.id, status, audit(created.id, Action::SuspendTenant)).await.expect("set");
        assert_eq!(changed.status, status);
    }
    let nobody = TenantId::generate();
    assert!(matches!(
        store.set_status(nobody, TenantStatus::Active, audit(nobody, Action::ReactivateTenant)).await,
        Err(StoreError::NotFound)
    ));
}

async fn an_update_of_what_has_changed_since_is_refused(store: &SeaStore) {
    let created = create(store, "Raced").await;
    let settings = |name: &str| TenantSettings { tenant_name: name.into(), ..created.settings.clone() };
    let first = store
        .apply_update(created.id, created.revision, &settings("First"), audit(created.id, Action::UpdateTenant))
        .await
        .expect("written");
    assert_eq!(first.settings.tenant_name, "First");
    let second = store
        .apply_update(created.id, created.revision, &settings("Second"), audit(created.id, Action::UpdateTenant))
        .await;
    assert!(matches!(second, Err(StoreError::Conflict)));
    let read = store.find(created.id).await.expect("reads").expect("there");
    assert_eq!((read.settings.tenant_name.as_str(), read.revision), ("First", first.revision));
    let log = store.audit_log(Some(created.id), None, 10).await.expect("reads");
    assert_eq!(log.items.len(), 2, "a refused change leaves no audit row");
}

async fn pages_hold_every_tenant_once_newest_first(store: &SeaStore) {
    let (_, before) = store.page(PageStart::Offset(0), 1).await.expect("reads");
    let mut made = Vec::new();
    for index in 0..7 {
        made.push(create(store, &format!("Page {index}")).await.id);
    }
    made.reverse();
    let (mut start, mut seen, mut sizes) = (PageStart::Offset(0), Vec::new(), Vec::new());
    loop {
        let (page, total) = store.page(start, 3).await.expect("reads");
        assert_eq!(total, before + 7);
        sizes.push(page.items.len());
        seen.extend(page.items.into_iter().map(|tenant| tenant.id));
        match page.next {
            Some(next) => start = PageStart::After(next),
            None => break,
        }
    }
    assert_eq!(&seen[..7], made.as_slice());
    assert_eq!(seen.len() as u64, before + 7);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size == 3));
    let (page, _) = store.page(PageStart::Offset(2), 3).await.expect("reads");
    assert_eq!(page.items.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>(), made[2..5]);
    let (page, _) = store.page(PageStart::Offset(before + 7), 3).await.expect("reads");
    assert!(page.items.is_empty() && page.next.is_none());
}

async fn the_audit_log_says_who_did_what(store: &SeaStore) {
    let created = create(store, "Audited").await;
    store.set_status(created.id, TenantStatus::Suspended, audit(created.id, Action::SuspendTenant)).await.expect("set");
    let first = store.audit_log(Some(created.id), None, 1).await.expect("reads");
    let second = store.audit_log(Some(created.id), first.next, 1).await.expect("reads");
    assert_eq!(second.next, None);
    let rows: Vec<_> = first.items.into_iter().chain(second.items).collect();
    assert_eq!(rows.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(), ["suspend_tenant", "provision_tenant"]);
    for row in rows {
        assert_eq!(
            (row.actor.as_str(), row.request_id.as_str(), row.changed_fields),
            ("admin_key:test", "r-1", vec!["field".to_owned()])
        );
    }
    assert!(store.audit_log(None, None, 500).await.expect("reads").items.len() >= 2);
}

async fn an_operator_is_one_per_tenant_and_email(store: &SeaStore) {
    let (one, other) = (create(store, "Op 1").await.id, create(store, "Op 2").await.id);
    let email = Email::parse("Merchant@Acme.com").expect("an address");
    let provision = |tenant_id: TenantId, name: &'static str| {
        let email = email.clone();
        async move {
            let merge = move |existing: Option<&Operator>| Operator {
                id: existing.map_or_else(Uuid::now_v7, |existing| existing.id),
                tenant_id,
                email: Email::parse("merchant@acme.com").expect("an address"),
                display_name: name.into(),
                routing_keys: vec!["a".into()],
                avatar_url: None,
                created_at: existing.map_or_else(now, |existing| existing.created_at),
                updated_at: now(),
            };
            store
                .upsert_operator(tenant_id, &email, &merge, audit(tenant_id, Action::ProvisionOperator))
                .await
                .expect("written")
        }
    };
    let (first, created) = provision(one, "M").await;
    let (again, created_again) = provision(one, "M2").await;
    let (elsewhere, created_elsewhere) = provision(other, "M").await;
    assert_eq!((created, created_again, created_elsewhere), (true, false, true));
    assert_eq!((again.id, again.display_name.as_str()), (first.id, "M2"));
    assert_ne!(elsewhere.id, first.id);
    assert_eq!(store.find_operator(one, &email).await.expect("reads"), Some(again));
    assert_eq!(store.find_operator(TenantId::generate(), &email).await.expect("reads"), None);

    let raced = futures_util::future::join_all((0..8).map(|_| provision(other, "R"))).await;
    assert!(raced.iter().all(|(operator, created)| operator.id == elsewhere.id && !created));
}

async fn concurrent_changes_commit_in_the_order_of_their_revisions(store: &SeaStore) {
    let created = futures_util::future::join_all((0..24).map(|index| {
        let store = store.clone();
        tokio::spawn(async move { create(&store, &format!("Together {index}")).await.revision })
    }))
    .await;
    let revisions: HashSet<u64> = created.into_iter().map(|revision| revision.expect("no panic")).collect();
    assert_eq!(revisions.len(), 24);
    let (least, most) = (revisions.iter().min().expect("some"), revisions.iter().max().expect("some"));
    assert_eq!(most - least, 23, "no revision is skipped");
    let read = store.find_keyed(TenantId::generate()).await.expect("reads").revision;
    assert!(read >= *most);
}

async fn the_history_says_what_changed_since(store: &SeaStore) {
    let (changes, start) = store.changes_after(None, 10).await.expect("reads");
    assert_eq!(
        (changes.after, changes.through, changes.keys),
        (0, start.revision, None),
        "from nowhere one starts over"
    );
    let (one, other) = (create(store, "Changed 1").await, create(store, "Changed 2").await);
    store.set_status(one.id, TenantStatus::Suspended, audit(one.id, Action::SuspendTenant)).await.expect("set");
    let (changes, end) = store.changes_after(Some(start), 10).await.expect("reads");
    let mut both = vec![one.id, other.id];
    both.sort_unstable();
    assert_eq!((changes.after, changes.through), (start.revision, start.revision + 3));
    assert_eq!((changes.keys, end.revision), (Some(both), changes.through));
    let (changes, same) = store.changes_after(Some(end), 10).await.expect("reads");
    assert_eq!((changes.keys, same), (Some(Vec::new()), end));

    // Operators are nothing that gateways keep: the history goes on, and nobody is told.
    let operator = |existing: Option<&Operator>| Operator {
        id: existing.map_or_else(Uuid::now_v7, |existing| existing.id),
        tenant_id: one.id,
        email: Email::parse("a@b.co").expect("an address"),
        display_name: "A".into(),
        routing_keys: Vec::new(),
        avatar_url: None,
        created_at: now(),
        updated_at: now(),
    };
    let email = Email::parse("a@b.co").expect("an address");
    store.upsert_operator(one.id, &email, &operator, audit(one.id, Action::ProvisionOperator)).await.expect("written");
    let (changes, newest) = store.changes_after(Some(end), 10).await.expect("reads");
    assert_eq!((changes.through, changes.keys), (end.revision + 1, Some(Vec::new())));

    let restored = Position { mark: Uuid::now_v7(), ..end };
    let beyond = Position { revision: newest.revision + 5, mark: Uuid::now_v7() };
    for (elsewhere, most) in [(restored, 10), (beyond, 10), (start, 2)] {
        let (changes, position) = store.changes_after(Some(elsewhere), most).await.expect("reads");
        assert_eq!((changes.after, changes.keys, position), (0, None, newest), "{elsewhere:?} {most}");
    }
}

async fn who_follows_the_history_misses_nothing(store: &SeaStore) {
    let (_, mut position) = store.changes_after(None, 10).await.expect("reads");
    let from = position.revision;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for index in 0..12 {
                    made.push(create(&store, &format!("Followed {writer} {index}")).await.id);
                }
                made
            })
        })
        .collect();
    let mut seen = HashSet::new();
    while position.revision < from + 96 {
        let (changes, next) = store.changes_after(Some(position), 1000).await.expect("reads");
        seen.extend(changes.keys.expect("never so far behind"));
        position = next;
    }
    for writer in writers {
        for id in writer.await.expect("no panic") {
            assert!(seen.contains(&id), "a change was skipped");
        }
    }
}

async fn replicas_know_of_each_other(store: &SeaStore) {
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let registration = |incarnation, renewal| Registration { incarnation, renewal, period_ms: 20_000 };
    store.register(registration(one, 1), 10_000).await.expect("written");
    store.register(registration(other, 1), 5_000).await.expect("written");
    let done = Done { revision: 7, acknowledged: vec![(Uuid::new_v4(), 7), (Uuid::new_v4(), u64::MAX)] };
    assert!(store.report_done(one, &done).await.expect("written"));
    store.register(registration(one, 2), 10_000).await.expect("renewed");
    let find = async |id| {
        let replicas = store.replicas().await.expect("reads");
        replicas.into_iter().find(|replica| replica.registration.incarnation == id)
    };
    let mut expected =
        Replica { registration: registration(one, 2), lease_ms: 10_000, done: done.clone(), is_retired: false };
    assert_eq!(find(one).await, Some(expected.clone()), "a renewal forgets no word");
    expected.done.revision = 8;
    expected.registration = Registration { period_ms: 700, ..registration(one, 3) };
    store.retire(expected.registration, &expected.done).await.expect("written");
    expected.is_retired = true;
    assert_eq!(find(one).await, Some(expected), "its last word");
    store.unregister(registration(one, 2)).await.expect("nothing happens");
    assert!(find(one).await.is_some(), "it was renewed in time");
    store.unregister(registration(one, 3)).await.expect("written");
    assert!(!store.report_done(one, &done).await.expect("nothing happens"));
    assert_eq!((find(one).await, find(other).await.map(|replica| replica.done)), (None, Some(Done::default())));
    store.unregister(registration(other, 1)).await.expect("written");
}

async fn account_keys_are_found_by_digest_until_they_are_revoked(store: &SeaStore) {
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
    assert!(matches!(make(&key(tenant, "Third"), 3, 2).await, Err(StoreError::Full)));
    assert!(matches!(make(&key(TenantId::generate(), "Nobody's"), 4, 2).await, Err(StoreError::NotFound)));
    let listed = store.account_keys(tenant).await.expect("reads").expect("known");
    assert_eq!(listed, [second.clone(), first.clone()], "newest first");
    assert_eq!(store.account_keys(other).await.expect("reads").map(|keys| keys.len()), Some(2));
    assert_eq!(store.account_keys(TenantId::generate()).await.expect("reads"), None);

    let find = async |digest: u8| store.find_account_key([digest; 32]).await.expect("reads");
    assert_eq!(find(1).await, Some((first.clone(), TenantStatus::Active)));
    assert_eq!(find(9).await, None);
    store.set_status(tenant, TenantStatus::Suspended, audit(tenant, Action::SuspendTenant)).await.expect("set");
    assert_eq!(find(1).await.map(|(_, status)| status), Some(TenantStatus::Suspended));

    let revoke = async |tenant, id| {
        store.revoke_account_key(tenant, id, audit(tenant, Action::RevokeAccountKey)).await.expect("written")
    };
    assert_eq!(revoke(other, first.id).await, None, "another tenant's");
    let revoked = revoke(tenant, first.id).await.expect("there");
    assert!(revoked.revoked_at.is_some());
    assert_eq!(revoke(tenant, first.id).await, Some(revoked.clone()), "once is enough");
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

async fn a_tenant_has_a_bot_from_the_start(store: &SeaStore) {
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
    assert!(made.iter().all(|made| matches!(made, Ok(()) | Err(StoreError::Full))));
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
    store.revoke_account_key(tenant.id, revoked, revocation).await.expect("written").expect("there");
    assert!(matches!(write(revoked).await, Err(StoreError::Unauthorized)));
    write(by).await.expect("written");
    store.set_status(tenant.id, TenantStatus::Suspended, audit(tenant.id, Action::SuspendTenant)).await.expect("set");
    assert!(matches!(write(by).await, Err(StoreError::Unauthorized)));
}

async fn a_widget_key_opens_its_tenant_until_it_is_revoked(store: &SeaStore) {
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
        allowed_domains: vec![Domain::parse("*.example.com").expect("a domain")],
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
    assert!(matches!(make(&key(bot), 2).await, Err(StoreError::Full)));
    let elsewhere = store.bots(other.id).await.expect("reads")[0].id;
    assert!(matches!(make(&key(elsewhere), 2).await, Err(StoreError::NotFound)), "another tenant's bot");
    assert_eq!(store.widget_keys(tenant.id, bot).await.expect("reads").expect("a bot"), [made.clone(), own[0].clone()]);
    assert_eq!(store.widget_keys(tenant.id, elsewhere).await.expect("reads"), None);

    let opens = async |key: &WidgetKey| store.find_by_widget_key(key.as_str()).await.expect("reads").value;
    assert_eq!(
        (opens(&made.api_key).await, opens(&tenant.widget_public_key).await),
        (Some(tenant.id), Some(tenant.id))
    );
    let revoke = async |tenant_id, id| {
        store.revoke_widget_key(by, tenant_id, id, audit(tenant_id, Action::RevokeWidgetKey)).await
    };
    assert!(matches!(revoke(other.id, made.id).await, Err(StoreError::NotFound)));
    assert!(matches!(revoke(tenant.id, own[0].id).await, Err(StoreError::Conflict)), "that one is rotated");
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
    assert_eq!(
        (opens(&tenant.widget_public_key).await, opens(&rotated.widget_public_key).await),
        (None, Some(tenant.id))
    );
}

async fn a_look_is_a_bots_own(store: &SeaStore) {
    let tenant = create(store, "Look").await;
    let by = developer(store, tenant.id).await;
    let bot = store.bots(tenant.id).await.expect("reads")[0].id;
    let before = store.look(tenant.id, bot).await.expect("reads").expect("a bot");
    assert_eq!((before.look, before.updated_at), (Look::default(), before.created_at));
    let change = |look: &mut Look| {
        look.greeting_text = "Grüezi 🚚".into();
        audit(tenant.id, Action::CustomizeWidget)
    };
    let saved = store.save_look(by, tenant.id, bot, &change).await.expect("written").value;
    assert_eq!(saved.look, Look { greeting_text: "Grüezi 🚚".into(), ..Look::default() });
    assert_eq!(store.look(tenant.id, bot).await.expect("reads"), Some(saved));
    let nobody = TenantId::generate();
    assert_eq!(store.look(nobody, bot).await.expect("reads"), None);
    assert!(matches!(store.save_look(by, nobody, bot, &change).await, Err(StoreError::NotFound)));
}

async fn one_signing_key_is_made_however_many_try(store: &SeaStore) {
    let key =
        || SealedSigningKey { id: Uuid::now_v7(), public: vec![1; 32], sealed_private: vec![2; 80], created_at: now() };
    let made = futures_util::future::join_all((0..6).map(|_| store.ensure_signing_key(key()))).await;
    let ids: HashSet<Uuid> = made.into_iter().flat_map(|keys| keys.expect("made")).map(|key| key.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(store.signing_keys().await.expect("reads").len(), 1);
}

async fn holds_the_contract(on: TestDatabase) {
    let store = store::connect(&database(&on.url)).await.expect("it opens");
    store.ping().await.expect("it answers");
    what_is_written_is_what_is_read(&store).await;
    every_change_takes_the_next_revision(&store).await;
    an_update_of_what_has_changed_since_is_refused(&store).await;
    pages_hold_every_tenant_once_newest_first(&store).await;
    the_audit_log_says_who_did_what(&store).await;
    an_operator_is_one_per_tenant_and_email(&store).await;
    concurrent_changes_commit_in_the_order_of_their_revisions(&store).await;
    one_signing_key_is_made_however_many_try(&store).await;
    the_history_says_what_changed_since(&store).await;
    who_follows_the_history_misses_nothing(&store).await;
    replicas_know_of_each_other(&store).await;
    account_keys_are_found_by_digest_until_they_are_revoked(&store).await;
    a_tenant_has_a_bot_from_the_start(&store).await;
    a_widget_key_opens_its_tenant_until_it_is_revoked(&store).await;
    a_look_is_a_bots_own(&store).await;
    let made = create(&store, "Kept").await;
    store.close().await.expect("it closes");
    let reopened = store::connect(&database(&on.url)).await.expect("it opens again");
    assert_eq!(reopened.find(made.id).await.expect("reads"), Some(made));
    reopened.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_holds_the_contract() {
    holds_the_contract(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_the_contract() {
    holds_the_contract(postgres()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_may_migrate_at_once() {
    let on = postgres();
    let stores = futures_util::future::join_all((0..4).map(|_| {
        let url = on.url.clone();
        tokio::spawn(async move { store::connect(&database(&url)).await.expect("it opens") })
    }))
    .await;
    let stores: Vec<SeaStore> = stores.into_iter().map(|store| store.expect("no panic")).collect();
    let made = create(&stores[0], "Seen by all").await;
    for store in stores {
        assert_eq!(store.find(made.id).await.expect("reads"), Some(made.clone()));
        store.close().await.expect("it closes");
    }
}

/// Tenants that were there before bots were have theirs once the schema is up to date.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_from_before_get_their_bot_and_key() {
    let on = postgres();
    let store = store::connect(&database(&on.url)).await.expect("it opens");
    let (one, other) = (create(&store, "Before 1").await, create(&store, "Before 2").await);
    store.close().await.expect("it closes");
    on.meddle(
        "DROP TABLE bot; DROP TABLE widget_key; DROP TABLE account_key;
         DELETE FROM seaql_migrations WHERE version = 'm0003_accounts'",
    );
    let store = store::connect(&database(&on.url)).await.expect("it opens");
    for tenant in [one, other] {
        let bots = store.bots(tenant.id).await.expect("reads");
        assert_eq!(bots.iter().map(|bot| (bot.name.as_str(), bot.is_default)).collect::<Vec<_>>(), [("Default", true)]);
        let keys = store.widget_keys(tenant.id, bots[0].id).await.expect("reads").expect("a bot");
        assert_eq!(keys.iter().map(|key| &key.api_key).collect::<Vec<_>>(), [&tenant.widget_public_key]);
        let found = store.find_by_widget_key(tenant.widget_public_key.as_str()).await.expect("reads");
        assert_eq!(found.value, Some(tenant.id));
    }
    store.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_wake_each_other() {
    let on = postgres();
    let listening = store::connect(&database(&on.url)).await.expect("it opens");
    let changing = store::connect(&database(&on.url)).await.expect("it opens");
    let mut signals = listening.signals().await.expect("it listens");
    let replica = Registration { incarnation: Uuid::new_v4(), renewal: 1, period_ms: 20_000 };
    changing.register(replica, 10_000).await.expect("written");
    let mut heard = async || {
        let heard = tokio::time::timeout(std::time::Duration::from_secs(20), signals.next()).await;
        assert_eq!(heard.expect("nobody said a word"), Some(()));
    };
    create(&changing, "Told of").await;
    heard().await;
    changing.report_done(replica.incarnation, &Done::default()).await.expect("written");
    heard().await;
    changing.unregister(replica).await.expect("written");
    heard().await;
    changing.close().await.expect("it closes");
    drop(signals);
    listening.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_owns_a_sqlite_file() {
    let on = sqlite();
    let store = store::connect(&database(&on.url)).await.expect("it opens");
    let error = store::connect(&database(&on.url)).await.expect_err("refused").to_string();
    assert!(error.contains("in use by another process") && error.contains("PostgreSQL"), "{error}");
    store.close().await.expect("it closes");
    store::connect(&database(&on.url)).await.expect("free again").close().await.expect("it closes");
}
