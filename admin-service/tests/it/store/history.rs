//! The store's contract: the history of changes, and the replicas that spread them.

use super::*;
use admin_service::store::Replica;

pub(super) async fn the_history_says_what_changed_since(store: &SeaStore) {
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

    // No gateway has cached a new operator, so its creation is told to none. A change or a revocation is told to all.
    let provision = async |keys: &[&str]| {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let profile = OperatorProfile::check("a@b.co", "A".into(), Some(keys), None).expect("a profile");
        store.upsert_operator(one.id, &profile, audit(one.id, Action::ProvisionOperator)).await.expect("written")
    };
    let mut newest = end;
    for (keys, told) in [(&[][..], vec![]), (&[], vec![]), (&["sales"], vec![one.id])] {
        provision(keys).await;
        let (changes, next) = store.changes_after(Some(newest), 10).await.expect("reads");
        assert_eq!((changes.through, changes.keys), (newest.revision + 1, Some(told)), "{keys:?}");
        newest = next;
    }
    let name = OperatorName::Email(Email::parse("a@b.co").expect("an address"));
    let revoked = store.revoke_operator(one.id, &name, audit(one.id, Action::RevokeOperator)).await.expect("revoked");
    let (changes, after) = store.changes_after(Some(newest), 10).await.expect("reads");
    assert_eq!((changes.through, changes.keys), (revoked.revision, Some(vec![one.id])));
    newest = after;

    let restored = Position { mark: Uuid::now_v7(), ..end };
    let beyond = Position { revision: newest.revision + 5, mark: Uuid::now_v7() };
    for (elsewhere, most) in [(restored, 10), (beyond, 10), (start, 2)] {
        let (changes, position) = store.changes_after(Some(elsewhere), most).await.expect("reads");
        assert_eq!((changes.after, changes.keys, position), (0, None, newest), "{elsewhere:?} {most}");
    }
}

pub(super) async fn who_follows_the_history_misses_nothing(store: &SeaStore) {
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

pub(super) async fn replicas_know_of_each_other(store: &SeaStore) {
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
