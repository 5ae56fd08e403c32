//! Passwords: changing them, proving an account's ownership by them, and what they must never cost.

use qv_tests::{
    client::{Client, PASSWORD, registration},
    operation,
    world::World,
};
use serde_json::{Value, json};

const NEXT: &str = "quartz-lantern-otter-mosaic-7";

async fn login(client: &Client, password: &str) -> qv_tests::client::Answer {
    client.run(operation!("login"), json!({ "input": { "login": "alice", "password": password } })).await
}

#[tokio::test]
async fn a_changed_password_ends_all_other_sessions() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    let other = two.client().login("alice").await;
    let mut socket = other.socket().await;
    let input = json!({ "currentPassword": PASSWORD, "newPassword": NEXT });
    let answer = alice.run(operation!("change_password"), json!({ "input": input })).await;
    assert_eq!(answer.data()["changePassword"]["viewer"]["user"]["id"], alice.id);
    assert_eq!(socket.closed().await, 4403);
    assert_eq!(other.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(alice.refusal().await, None);
    assert_eq!(login(&one.client(), PASSWORD).await.error().0, "INVALID_CREDENTIALS");
    login(&one.client(), NEXT).await.data();
}

#[tokio::test]
async fn a_password_is_changed_only_with_the_current_one_and_to_a_good_one() {
    let node = World::new().await.node().await;
    let (alice, other) = (node.client().register("alice").await, node.client().login("alice").await);
    for (current, new, code) in [
        ("wrong", NEXT, "INVALID_CREDENTIALS"),
        (PASSWORD, "short", "BAD_USER_INPUT"),
        (PASSWORD, "alicealicealicealice", "BAD_USER_INPUT"),
    ] {
        let input = json!({ "currentPassword": current, "newPassword": new });
        let answer = alice.run(operation!("change_password"), json!({ "input": input })).await;
        assert_eq!(answer.error().0, code, "{new}");
        assert_eq!(answer.0["data"]["changePassword"], Value::Null);
    }
    assert_eq!(other.refusal().await, None);
    login(&node.client(), PASSWORD).await.data();
}

#[tokio::test]
async fn a_deactivated_account_is_gone_for_others_but_what_it_wrote() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let (alice, bob) = (one.client().register("alice").await, two.client().register("bob").await);
    let sent = alice.send(&bob, "hello", "1").await;
    let message = sent.data()["sendMessage"]["message"]["id"].clone();
    bob.run(operation!("user"), json!({ "by": { "id": alice.id } })).await.data();
    let mut socket = alice.at(two.server.address).socket().await;

    let wrong = alice.run(operation!("deactivate_account"), json!({ "input": { "password": "wrong" } })).await;
    assert_eq!(wrong.error().0, "INVALID_CREDENTIALS");
    let answer = alice.run(operation!("deactivate_account"), json!({ "input": { "password": PASSWORD } })).await;
    assert_eq!(answer.data()["deactivateAccount"]["user"], json!({ "id": alice.id, "isActive": false }));

    assert_eq!(socket.closed().await, 4403);
    assert_eq!(alice.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(login(&one.client(), PASSWORD).await.error().0, "INVALID_CREDENTIALS");
    let found = bob.run(operation!("users"), json!({ "search": "alice" })).await;
    assert_eq!(found.data()["users"]["nodes"], json!([]));
    let found = bob.run(operation!("user"), json!({ "by": { "username": "alice" } })).await;
    assert_eq!(found.data()["user"], Value::Null);
    assert_eq!(bob.run(operation!("node"), json!({ "id": message })).await.data()["node"]["id"], message);
    let query = "query Peer($with: ID!) { viewer { conversation(with: $with) { peer { isActive } } } }";
    let peer = bob.run(query, json!({ "with": alice.id })).await;
    assert_eq!(peer.data()["viewer"]["conversation"]["peer"]["isActive"], false);
    assert_eq!(bob.send(&alice, "still there?", "2").await.error().0, "NOT_FOUND");
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_refused_before_it_costs_anything() {
    let node = World::new().await.node().await;
    node.client().register("alice").await;
    assert_eq!(login(&node.client(), &"x".repeat(1_000_000)).await.error().0, "BAD_REQUEST");
    let long = "x".repeat(50_000);
    assert_eq!(login(&node.client(), &long).await.error().0, "INVALID_CREDENTIALS");
    let mut input = registration("bob");
    input["password"] = json!(long);
    let answer = node.client().run(operation!("register"), json!({ "input": input })).await;
    assert_eq!(answer.error().1["field"], "input.password");
}

#[tokio::test]
async fn a_password_is_kept_byte_for_byte() {
    let node = World::new().await.node().await;
    let password = "  Ünï-cødé \u{1F980} lantern mosaic  ";
    let mut input = registration("alice");
    input["password"] = json!(password);
    node.client().run(operation!("register"), json!({ "input": input })).await.data();
    login(&node.client(), password).await.data();
    for other in [password.trim(), &password.replace('ï', "i\u{308}"), &password.to_lowercase()] {
        assert_eq!(login(&node.client(), other).await.error().0, "INVALID_CREDENTIALS", "{other}");
    }
}

#[tokio::test]
async fn a_name_in_two_unicode_forms_is_refused_in_both() {
    let node = World::new().await.node().await;
    for name in ["al\u{ed}ce", "ali\u{301}ce", "\u{430}lice", "\u{ff41}lice"] {
        let mut input = registration("bob");
        input["username"] = json!(name);
        let answer = node.client().run(operation!("register"), json!({ "input": input })).await;
        assert_eq!(answer.error().1["field"], "input.username", "{name}");
    }
}
