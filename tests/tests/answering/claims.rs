//! Races for a conversation: one outcome, and everybody is told the same.

use e2e::{
    operator::{Colleague, signed, waiting},
    scale,
    signed::Tenant,
    world::World,
};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};

/// Races of each kind in a run at full size.
const RACES: usize = 200;

async fn tenant(world: &World) -> Tenant {
    world.operator().provision(json!({"tenant_name": "Northwind", "rate_limit_per_min": 6_000_000})).await
}

/// How a conversation stands: who answers, and who has it.
async fn standing(who: &Colleague, conversation: &str) -> (String, Option<String>) {
    let path = format!("fetch/conversation?conversation_id={conversation}");
    let (status, answer) = who.call("GET", &path, None).await;
    assert_eq!(status, 200, "{answer}");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&answer["data"]["handling"]).expect("a text"), text(&answer["data"]["operator"]["operator_id"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_operators_who_claim_a_conversation_one_wins_and_the_others_are_told_who() {
    let world = World::start(&[("GATEWAY_OPERATOR_CALLS_PER_MIN", "100000000")]).await;
    let (tenant, client) = (tenant(&world).await, Client::new());
    let names: Vec<String> = (0..50).map(|number| format!("operator-{number}")).collect();
    let operators = join_all(names.iter().map(|name| Colleague::hire(&client, world.relay, &tenant, name))).await;
    for _ in 0..5 {
        let conversation = waiting(&client, world.relay, &tenant).await;
        let answers = join_all(operators.iter().map(|operator| operator.act("claim", &conversation))).await;
        let winners: Vec<&Colleague> =
            operators.iter().zip(&answers).filter(|(_, (status, _))| *status == 200).map(|(who, _)| who).collect();
        let [winner] = winners.as_slice() else { panic!("{} have won", winners.len()) };
        for (operator, (status, answer)) in operators.iter().zip(&answers).filter(|(who, _)| who.id != winner.id) {
            assert_eq!((*status, &answer["error_code"]), (409, &json!("already_claimed")), "{}: {answer}", operator.id);
            assert_eq!(answer["operator"]["operator_id"], winner.id, "{answer}");
        }
        assert_eq!(standing(winner, &conversation).await, ("assigned".to_owned(), Some(winner.id.clone())));
        assert_eq!(winner.act("claim", &conversation).await.0, 200, "again, for whoever has it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_meets_a_resolution_or_a_release_has_one_outcome() {
    let world = World::start(&[("GATEWAY_OPERATOR_CALLS_PER_MIN", "100000000")]).await;
    let (tenant, client) = (tenant(&world).await, Client::new());
    let ada = Colleague::hire(&client, world.relay, &tenant, "ada").await;
    let ben = Colleague::hire(&client, world.relay, &tenant, "ben").await;
    let (mut won, mut lost) = (0, 0);
    for race in 0..scale::of(RACES) {
        let conversation = waiting(&client, world.relay, &tenant).await;
        assert_eq!(ada.act("claim", &conversation).await.0, 200);
        let verb = if race % 2 == 0 { "resolve" } else { "release" };
        let (left, (status, claimed)) = tokio::join!(ada.act(verb, &conversation), ben.act("claim", &conversation));
        assert_eq!(left.0, 200, "{verb}: {}", left.1);
        let (handling, holder) = standing(&ada, &conversation).await;
        let code = claimed["error_code"].as_str().unwrap_or_default();
        match (verb, status, code) {
            ("release", 200, _) => {
                won += 1;
                assert_eq!((handling.as_str(), holder), ("assigned", Some(ben.id.clone())));
            }
            ("release", 409, "already_claimed") => {
                lost += 1;
                assert_eq!((handling.as_str(), holder), ("waiting", None));
            }
            ("resolve", 409, "already_claimed" | "conversation_resolved") => {
                assert_eq!((handling.as_str(), holder), ("resolved", None));
            }
            _ => panic!("{verb} met a claim that was answered {status}: {claimed}"),
        }
    }
    eprintln!("a claim won {won} races against a release, and lost {lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_a_suspension_meets_is_carried_out_or_refused_and_none_begins_after_it() {
    let world = World::start(&[("GATEWAY_OPERATOR_CALLS_PER_MIN", "100000000")]).await;
    let (tenant, client, admin) = (tenant(&world).await, Client::new(), world.operator());
    let operators = join_all((0..8).map(|number| {
        let (client, tenant) = (&client, &tenant);
        async move { Colleague::hire(client, world.relay, tenant, &format!("operator-{number}")).await }
    }))
    .await;
    let (mut carried_out, mut refused) = (0, 0);
    for _ in 0..scale::of(RACES) {
        let conversation = waiting(&client, world.relay, &tenant).await;
        let suspend = format!("/suspend/tenant?tenant_id={}", tenant.id);
        let suspending = async {
            tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(..10))).await;
            let (status, answer) = admin.call("POST", &suspend, None).await;
            assert_eq!(status, 200, "{answer}");
            // The suspension has returned, so every claim from now on is refused.
            for operator in &operators {
                let (status, answer) = operator.act("claim", &conversation).await;
                assert_eq!((status, &answer["error_code"]), (403, &json!("tenant_suspended")), "{answer}");
            }
        };
        let claims = join_all(operators.iter().map(|operator| async {
            tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(..60))).await;
            operator.act("claim", &conversation).await
        }));
        let ((), answers) = tokio::join!(suspending, claims);
        let winners: Vec<&Colleague> =
            operators.iter().zip(&answers).filter(|(_, (status, _))| *status == 200).map(|(who, _)| who).collect();
        assert!(winners.len() <= 1, "{} have won", winners.len());
        for (status, answer) in &answers {
            assert!(matches!(status, 200 | 403 | 409), "{status}: {answer}");
        }
        let reactivate = format!("/reactivate/tenant?tenant_id={}", tenant.id);
        assert_eq!(admin.call("POST", &reactivate, None).await.0, 200);
        // What was answered is what is kept.
        let (handling, holder) = standing(&operators[0], &conversation).await;
        match winners.first() {
            Some(winner) => {
                carried_out += 1;
                assert_eq!((handling.as_str(), holder), ("assigned", Some(winner.id.clone())));
            }
            None => {
                refused += 1;
                assert_eq!((handling.as_str(), holder), ("waiting", None));
            }
        }
    }
    eprintln!("a suspension met {carried_out} claims that were carried out, and {refused} times none was");
    let (status, _) = signed(&client, world.relay, &tenant, "fetch/operator-token", json!({"email": "nobody@x"})).await;
    assert_eq!(status, 404, "the tenant's backend is served again");
}
