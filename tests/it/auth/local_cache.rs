//! The local cache of a node: it saves queries, and no request sees a value after its change.

use qv_tests::client::{Client, PASSWORD, base64};
use qv_tests::keyring::Keyring;
use qv_tests::operation;
use qv_tests::patience::until;
use qv_tests::world::World;
use serde_json::{Value, json};

const OWN: &str = "{ viewer { email lastLoginAt user { id username createdAt } } }";

/// Sends a request twice, so that the node caches its data where it can.
pub async fn heats(client: &Client) {
    for _ in 0..2 {
        client.run(OWN, Value::Null).await.data();
    }
}

/// Returns the reason why the node rejects the client's session in its next request.
pub async fn refusal(client: &Client) -> Option<String> {
    let answer = client.run(OWN, Value::Null).await;
    answer.0.get("errors").map(|errors| errors[0]["extensions"]["reason"].as_str().expect("a reason").to_owned())
}

#[tokio::test]
async fn a_session_used_a_moment_ago_asks_neither_the_database_nor_redis() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    until("a request that asks nobody", async || {
        let asking = node.commands(node.statements(alice.run(OWN, Value::Null)));
        let ((answer, statements), commands) = asking.await;
        assert_eq!(answer.data()["viewer"]["email"], "alice@example.org");
        (statements, commands) == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn what_ends_a_session_at_one_node_is_refused_at_the_other_in_the_very_next_request() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    for round in 0..30 {
        let device = one.client().login("alice").await;
        let elsewhere = device.at(two.server.address);
        heats(&elsewhere).await;
        let end = match round % 3 {
            0 => device.run(operation!("logout"), Value::Null).await,
            1 => alice.run(operation!("revoke_other_sessions"), Value::Null).await,
            _ => {
                let input = json!({ "input": { "id": device.session().await } });
                alice.run(operation!("revoke_session"), input).await
            }
        };
        end.data();
        assert_eq!(refusal(&elsewhere).await.as_deref(), Some("REVOKED"), "round {round}");
    }
    assert_eq!(alice.refusal().await, None);
}

#[tokio::test]
async fn a_user_that_has_changed_at_one_node_is_seen_changed_at_the_other_at_once() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let bob = two.client().register("bob").await;
    for name in ["ann", "ben", "cem", "dot", "eva", "fay"] {
        let user = one.client().register(name).await;
        let query = format!("{{ user(by: {{ id: \"{}\" }}) {{ isActive }} }}", user.id);
        let is_active = async || bob.run(&query, Value::Null).await.data()["user"]["isActive"].clone();
        assert_eq!((is_active().await, is_active().await), (json!(true), json!(true)));
        user.run(operation!("deactivate_account"), json!({ "input": { "password": PASSWORD } })).await.data();
        assert_eq!(is_active().await, false, "{name}");
    }
}

#[tokio::test]
async fn an_account_that_has_changed_at_one_node_is_shown_changed_at_the_other_at_once() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    let elsewhere = alice.at(two.server.address);
    let keys = Keyring::generate().public();
    let mut latest = Value::Null;
    // Fewer rounds than an account's session limit, because each round signs in.
    for round in 0..15 {
        heats(&elsewhere).await;
        let vault = base64(format!("vault {round}"));
        let input = json!({ "ecc": base64(&keys.ecc), "pqc": base64(&keys.pqc), "keyVault": vault });
        alice.run(operation!("update_public_keys"), json!({ "input": input })).await.data();
        let shown = elsewhere.run(operation!("key_vault"), Value::Null).await;
        assert_eq!(shown.data()["viewer"]["keyVault"], vault);

        one.client().login("alice").await;
        let own = elsewhere.run(OWN, Value::Null).await.data()["viewer"]["lastLoginAt"].clone();
        assert_ne!(own, latest, "round {round}");
        latest = own;
    }
}

#[tokio::test]
async fn a_refresh_counts_as_used_at_whichever_node_sees_its_access_token() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    one.client().register("alice").await;
    for round in 0..10 {
        let device = one.client().login("alice").await;
        heats(&device.at(two.server.address)).await;
        let next = device.refreshed().await;
        heats(&next.at(two.server.address)).await;
        // The next tokens are in use, so a repeated use of the old refresh token counts as theft.
        assert_eq!(device.refresh().await.error().1["reason"], "REVOKED", "round {round}");
        assert_eq!(refusal(&next.at(two.server.address)).await.as_deref(), Some("REVOKED"), "round {round}");
    }
}
