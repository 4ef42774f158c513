//! The store's contract, the same on SQLite and PostgreSQL.

use std::{collections::HashSet, time::Duration};

use admin_service::{
    audit::{Action, AuditEntry, Caller},
    credentials::WidgetKey,
    operator::{Email, OperatorName, OperatorProfile},
    settings::TenantSettings,
    signing_key::SealedSigningKey,
    store::{
        self, BotStore as _, Done, InUse, Limited, LogStore as _, Missing, OperatorStore as _, PageStart, Position,
        PropagationStore as _, Replacement, SeaStore, SigningKeyStore as _, StoreError, TenantStore as _,
        VisitorStore as _, WidgetStore as _,
    },
    tenant::{Tenant, TenantStatus},
};
use coherence::replica::Registration;
use futures_util::StreamExt as _;
use uuid::Uuid;
use wire::{TenantId, time::now};

use crate::support::{TestDatabase, database, master_keys, postgres, sqlite};

mod accounts;
mod events;
mod history;
mod operators;
mod visitors;

fn caller() -> Caller {
    Caller { actor: "admin_key:test".into(), request_id: "r-1".into(), admin_key: None }
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
        token_generation: 0,
        visitor_revocations: 0,
        sessions_ended: 0,
        operators_changed: 0,
        previous_secret: None,
        endpoint_stopped_at: None,
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
    let opens = async |key: &WidgetKey| {
        store
            .widget_access(created.id, key.as_str())
            .await
            .expect("reads")
            .is_some_and(|access| access.opened.is_some())
    };
    assert!(!opens(&created.widget_public_key).await, "the old key is nobody's");
    assert!(opens(&new_key).await);
    let secret = store
        .rotate(
            created.id,
            Replacement::Secret { sealed: b"new".to_vec(), revokes_issued: true, overlap: Duration::ZERO },
            audit(created.id, Action::RotateTenantSecret),
        )
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
        Err(StoreError::NotFound(Missing::Tenant))
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

fn signing_key() -> SealedSigningKey {
    let at = now();
    SealedSigningKey {
        id: Uuid::now_v7(),
        public: vec![1; 32],
        sealed_private: vec![2; 80],
        created_at: at,
        signs_from: at,
        retired_at: None,
    }
}

async fn one_signing_key_is_made_however_many_try(store: &SeaStore) {
    for made in futures_util::future::join_all((0..6).map(|_| store.ensure_signing_key(signing_key()))).await {
        made.expect("made, or there already");
    }
    assert_eq!(store.signing_keys().await.expect("reads").len(), 1);
}

async fn signing_keys_are_added_up_to_a_bound_and_the_one_that_signs_is_not_retired(store: &SeaStore) {
    let entry = |action| audit(TenantId::DEPLOYMENT, action);
    let [first] = store.signing_keys().await.expect("reads").try_into().expect("one key");
    let (_, before) = store.changes_after(None, 0).await.expect("reads");
    let second = signing_key();
    let third = SealedSigningKey { signs_from: now() + jiff::SignedDuration::from_hours(1), ..signing_key() };
    for key in [&second, &third] {
        store.add_signing_key(key.clone(), 3, entry(Action::RotateSigningKey)).await.expect("added");
    }
    let full = store.add_signing_key(signing_key(), 2, entry(Action::RotateSigningKey)).await;
    assert!(matches!(full, Err(StoreError::Full { what: Limited::SigningKeys, most: 2 })), "{full:?}");
    let kept = store.all_signing_keys().await.expect("reads");
    assert_eq!(kept, store.signing_keys().await.expect("reads"), "none is retired");
    assert_eq!(kept.iter().map(|key| key.id).collect::<Vec<_>>(), [third.id, second.id, first.id]);
    assert_eq!(kept[0].signs_from.as_millisecond(), third.signs_from.as_millisecond());

    let open = [first.id, second.id, third.id];
    let retire = async |id| store.retire_signing_key(id, &open, entry(Action::RetireSigningKey)).await;
    assert!(matches!(retire(second.id).await, Err(StoreError::InUse(InUse::SigningKey))), "it signs");
    assert!(matches!(retire(Uuid::now_v7()).await, Err(StoreError::NotFound(Missing::SigningKey))));
    let retired = retire(first.id).await.expect("retired");
    let again = retire(first.id).await.expect("as it is");
    assert_eq!((&again.value, again.revision), (&retired.value, retired.revision));
    assert!(retired.value.retired_at.is_some() && retired.value.sealed_private.is_empty(), "{retired:?}");
    assert!(store.all_signing_keys().await.expect("reads").contains(&retired.value));
    assert!(!store.signing_keys().await.expect("reads").contains(&retired.value));
    // The one that signs by its time does not open: another signs, which is not retired, and it may go.
    let unreadable = store.retire_signing_key(second.id, &[third.id], entry(Action::RetireSigningKey)).await;
    assert_eq!(unreadable.expect("retired").value.id, second.id);
    // Gateways hear of each: two were made, two were retired, and what was refused took no place.
    let (changes, through) = store.changes_after(Some(before), 10).await.expect("reads");
    assert_eq!((changes.keys, through.revision), (Some(vec![TenantId::DEPLOYMENT]), before.revision + 4));
}

async fn holds_the_contract(on: TestDatabase) {
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    store.ping().await.expect("it answers");
    what_is_written_is_what_is_read(&store).await;
    every_change_takes_the_next_revision(&store).await;
    an_update_of_what_has_changed_since_is_refused(&store).await;
    pages_hold_every_tenant_once_newest_first(&store).await;
    the_audit_log_says_who_did_what(&store).await;
    operators::one_is_one_per_tenant_and_email(&store).await;
    operators::another_membership_is_another_version(&store).await;
    operators::there_are_as_many_as_there_are_seats(&store).await;
    concurrent_changes_commit_in_the_order_of_their_revisions(&store).await;
    one_signing_key_is_made_however_many_try(&store).await;
    signing_keys_are_added_up_to_a_bound_and_the_one_that_signs_is_not_retired(&store).await;
    events::events_are_numbered_without_gaps_and_taken_once(&store).await;
    events::a_conversation_is_delivered_in_its_order(&store).await;
    events::results_of_an_earlier_claim_are_refused(&store).await;
    events::what_is_held_is_due_at_once_when_it_is_freed(&store).await;
    events::what_is_freed_during_a_claim_is_due_at_once_too(&store).await;
    events::a_pending_event_is_replayed_in_its_order(&store).await;
    events::a_page_of_large_events_fits_into_a_message(&store).await;
    events::events_without_a_callback_are_kept_and_can_be_replayed(&store).await;
    events::old_events_are_removed_from_the_oldest_on_and_none_that_is_pending(&store).await;
    history::the_history_says_what_changed_since(&store).await;
    history::who_follows_the_history_misses_nothing(&store).await;
    history::replicas_know_of_each_other(&store).await;
    accounts::account_keys_are_found_by_digest_until_they_are_revoked(&store).await;
    accounts::a_tenant_has_a_bot_from_the_start(&store).await;
    accounts::a_widget_key_opens_its_tenant_until_it_is_revoked(&store).await;
    accounts::a_look_is_a_bots_own(&store).await;
    visitors::a_session_is_its_tenants_and_is_forgotten_once_it_is_over(&store).await;
    visitors::a_session_ends_once_and_its_tenant_says_when(&store).await;
    visitors::the_uses_of_a_sessions_tokens_are_kept(&store).await;
    visitors::the_latest_use_of_a_widget_key_is_what_is_kept(&store).await;
    let made = create(&store, "Kept").await;
    store.close().await.expect("it closes");
    let reopened = store::connect(&database(&on.url), &master_keys()).await.expect("it opens again");
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
        tokio::spawn(async move { store::connect(&database(&url), &master_keys()).await.expect("it opens") })
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
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    let (one, other) = (create(&store, "Before 1").await, create(&store, "Before 2").await);
    store.close().await.expect("it closes");
    on.meddle(
        "DROP TABLE bot; DROP TABLE widget_key; DROP TABLE account_key;
         DELETE FROM seaql_migrations WHERE version = 'm0003_accounts'",
    );
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    for tenant in [one, other] {
        let bots = store.bots(tenant.id).await.expect("reads");
        assert_eq!(bots.iter().map(|bot| (bot.name.as_str(), bot.is_default)).collect::<Vec<_>>(), [("Default", true)]);
        let keys = store.widget_keys(tenant.id, bots[0].id).await.expect("reads").expect("a bot");
        assert_eq!(keys.iter().map(|key| &key.api_key).collect::<Vec<_>>(), [&tenant.widget_public_key]);
        let access = store.widget_access(tenant.id, tenant.widget_public_key.as_str()).await.expect("reads");
        assert!(access.is_some_and(|access| access.opened.is_some()));
    }
    store.close().await.expect("it closes");
}

/// Tenants that were there before generations are in the first one, with everything else as it was.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_from_before_are_in_the_first_generation() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = format!("sqlite://{}", directory.path().join("yesterday.db").display());
    let on = postgres();
    for url in [&file, &on.url] {
        let store = store::connect(&database(url), &master_keys()).await.expect("it opens");
        let before = create(&store, "Before").await;
        let session = visitors::begin(&store, &before).await;
        store.close().await.expect("it closes");
        let yesterday = [
            "ALTER TABLE tenant DROP COLUMN token_generation",
            "ALTER TABLE tenant DROP COLUMN visitor_revocations",
            "DROP TABLE visitor_revocation",
            "DROP TABLE secret",
            "DROP INDEX visitor_session_by_tenants_end",
            "ALTER TABLE tenant DROP COLUMN sessions_ended",
            "ALTER TABLE visitor_session DROP COLUMN ended_revision",
            "ALTER TABLE visitor_session DROP COLUMN used_tokens",
            "DELETE FROM seaql_migrations WHERE version IN ('m0005_minted', 'm0007_session_ends')",
        ];
        let raw = sea_orm::Database::connect(url.as_str()).await.expect("it opens");
        for statement in yesterday {
            sea_orm::ConnectionTrait::execute_unprepared(&raw, statement).await.expect(statement);
        }
        raw.close().await.expect("it closes");
        let store = store::connect(&database(url), &master_keys()).await.expect("it opens");
        assert_eq!(store.find(before.id).await.expect("reads"), Some(before.clone()), "{url}");
        let kept = store.session(before.id, session.id).await.expect("reads");
        assert_eq!(kept, Some(session), "{url}: neither ended, nor any token used");
        let to = Replacement::Secret { sealed: vec![7; 60], revokes_issued: true, overlap: Duration::ZERO };
        let rotated = store.rotate(before.id, to, audit(before.id, Action::RotateTenantSecret)).await.expect("rotated");
        assert_eq!(rotated.token_generation, before.token_generation + 1, "{url}");
        store.close().await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_nothing_is_told_everything_or_starts_over() {
    let on = postgres();
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    let (_, beginning) = store.changes_after(None, 10).await.expect("reads");
    assert_eq!(beginning, Position::default());
    let changed = async || store.changes_after(Some(beginning), 10).await.expect("reads").0;
    assert_eq!(changed().await.keys, Some(Vec::new()), "nothing has happened yet");
    let (one, other) = (create(&store, "First").await.id, create(&store, "Second").await.id);
    let mut both = vec![one, other];
    both.sort_unstable();
    assert_eq!(changed().await.keys, Some(both));
    on.meddle("DELETE FROM audit_log WHERE revision = 1");
    assert_eq!(changed().await.keys, None, "whom it was about is no longer known");
    store.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_wake_each_other() {
    let on = postgres();
    let listening = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    let changing = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
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
    let store = store::connect(&database(&on.url), &master_keys()).await.expect("it opens");
    let error = store::connect(&database(&on.url), &master_keys()).await.expect_err("refused").to_string();
    assert!(error.contains("in use by another process") && error.contains("PostgreSQL"), "{error}");
    store.close().await.expect("it closes");
    store::connect(&database(&on.url), &master_keys()).await.expect("free again").close().await.expect("it closes");
}
