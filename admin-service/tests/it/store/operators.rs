//! Operators: one per address, so many as there are seats, and gone when they are revoked.

use super::*;

fn named(text: &str) -> OperatorName {
    OperatorName::Email(Email::parse(text).expect("an address"))
}

fn profile(email: &str, name: &str, routing_keys: Option<&[&str]>) -> OperatorProfile {
    let keys = routing_keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
    OperatorProfile::check(email, name.to_owned(), keys, None).expect("a profile")
}

pub(super) async fn one_is_one_per_tenant_and_email(store: &SeaStore) {
    let (one, other) = (create(store, "Op 1").await.id, create(store, "Op 2").await.id);
    let email = named("Merchant@Acme.com");
    let provision = async |tenant_id: TenantId, name: &'static str| {
        let profile = profile("Merchant@Acme.com", name, Some(&["a"]));
        let audit = audit(tenant_id, Action::ProvisionOperator);
        store.upsert_operator(tenant_id, &profile, audit).await.expect("written").value
    };
    let (first, created) = provision(one, "M").await;
    let (again, created_again) = provision(one, "M2").await;
    let (elsewhere, created_elsewhere) = provision(other, "M").await;
    assert_eq!((created, created_again, created_elsewhere), (true, false, true));
    assert_eq!((again.id, again.display_name.as_str(), again.version), (first.id, "M2", 0));
    assert_ne!(elsewhere.id, first.id);
    let found = store.find_operator(one, &OperatorName::Id(first.id)).await.expect("reads");
    assert_eq!(found, Some(again.clone()));
    assert_eq!(store.find_operator(one, &email).await.expect("reads"), Some(again));
    for nobody in [&email, &OperatorName::Id(elsewhere.id)] {
        assert_eq!(store.find_operator(TenantId::generate(), nobody).await.expect("reads"), None);
    }
    assert_eq!(store.find_operator(one, &OperatorName::Id(elsewhere.id)).await.expect("reads"), None);
    let refused = store
        .upsert_operator(TenantId::generate(), &profile("a@b.co", "A", None), audit(one, Action::ProvisionOperator))
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound(Missing::Tenant))), "{refused:?}");

    let raced = futures_util::future::join_all((0..8).map(|_| provision(other, "R"))).await;
    assert!(raced.iter().all(|(operator, created)| operator.id == elsewhere.id && !created));
}

pub(super) async fn another_membership_is_another_version(store: &SeaStore) {
    let tenant = create(store, "Versions").await;
    let provision = async |keys: Option<&[&str]>| {
        let profile = profile("ada@acme.com", "Ada", keys);
        store.upsert_operator(tenant.id, &profile, audit(tenant.id, Action::ProvisionOperator)).await.expect("written")
    };
    let changed = async || store.find(tenant.id).await.expect("reads").expect("a tenant").operators_changed;
    provision(Some(&["a"])).await;
    provision(None).await;
    provision(Some(&["a"])).await;
    assert_eq!(changed().await, 0, "the same membership");
    let other = provision(Some(&[])).await;
    assert_eq!((other.value.0.version, changed().await), (1, other.revision));

    let ada = named("ada@acme.com");
    let revoke = async |name: &OperatorName| {
        store.revoke_operator(tenant.id, name, audit(tenant.id, Action::RevokeOperator)).await
    };
    let revoked = revoke(&ada).await.expect("revoked");
    assert_eq!((revoked.value.version, changed().await), (2, revoked.revision));
    assert!(revoked.value.revoked_at.is_some());
    let again = revoke(&OperatorName::Id(revoked.value.id)).await.expect("revoked already");
    assert_eq!((again.value, again.revision), (revoked.value.clone(), revoked.revision), "and nothing is written");
    let stranger = revoke(&named("nobody@acme.com")).await;
    assert!(matches!(stranger, Err(StoreError::NotFound(Missing::Operator))), "{stranger:?}");

    let (back, created) = provision(None).await.value;
    assert_eq!((back.id, back.version, back.revoked_at, created), (revoked.value.id, 3, None, false));
    let log = store.audit_log(Some(tenant.id), None, 10).await.expect("reads");
    let actions: Vec<_> = log.items.iter().map(|row| row.action.as_str()).collect();
    let expected = [
        "change_operator",
        "revoke_operator",
        "change_operator",
        "provision_operator",
        "provision_operator",
        "provision_operator",
        "provision_tenant",
    ];
    assert_eq!(actions, expected);
}

pub(super) async fn there_are_as_many_as_there_are_seats(store: &SeaStore) {
    let mut tenant = tenant("Seats");
    tenant.settings.agent_seats = 2;
    let provisioned = audit(tenant.id, Action::ProvisionTenant);
    let tenant = store.create(tenant, b"sealed".to_vec(), provisioned).await.expect("created").id;
    let provision = async |email: String| {
        let profile = profile(&email, "N", None);
        store.upsert_operator(tenant, &profile, audit(tenant, Action::ProvisionOperator)).await
    };
    let raced = futures_util::future::join_all((0..8).map(|index| provision(format!("{index}@acme.com")))).await;
    let mut seated: Vec<_> = raced.iter().filter_map(|made| Some(made.as_ref().ok()?.value.0.clone())).collect();
    assert_eq!(seated.len(), 2, "{raced:?}");
    let refused = raced.iter().filter(|made| matches!(made, Err(StoreError::Full { what: Limited::Seats, most: 2 })));
    assert_eq!(refused.count(), 6);
    let first = seated.remove(0);
    provision(first.email.as_str().to_owned()).await.expect("one who has a seat is refreshed");
    let name = OperatorName::Id(first.id);
    store.revoke_operator(tenant, &name, audit(tenant, Action::RevokeOperator)).await.expect("revoked");
    provision("new@acme.com".to_owned()).await.expect("a seat is free");
    assert!(provision(first.email.as_str().to_owned()).await.is_err(), "who comes back needs a seat too");

    let (page, active) = store.operators(tenant, None, 2).await.expect("reads");
    assert_eq!((page.items.len(), active), (2, 2));
    assert!(page.items[0].id > page.items[1].id, "newest first");
    let (rest, _) = store.operators(tenant, page.next, 2).await.expect("reads");
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let everybody = [page.items, rest.items].concat();
    assert_eq!(everybody.iter().filter(|operator| operator.revoked_at.is_some()).count(), 1);
}
