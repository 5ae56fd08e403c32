//! Passwords: changing them, proving the ownership of an account with them, and bounds on their cost.

use qv_tests::client::{Client, PASSWORD, registration};
use qv_tests::operation;
use qv_tests::world::World;
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

#[tokio::test]
async fn after_too_many_failures_the_password_is_locked_and_open_sessions_go_on() {
    let world = World::new().await;
    let node = world.node_with(|config| config.accounts.max_password_failures = 3).await;
    let alice = node.client().register("alice").await;
    // A success in between resets the count of failures.
    for password in ["wrong", "wrong", PASSWORD, "wrong", "wrong", "wrong"] {
        let answer = login(&node.client(), password).await;
        let code = answer.0["errors"][0]["extensions"]["code"].as_str();
        assert_eq!(code, (password != PASSWORD).then_some("INVALID_CREDENTIALS"), "{answer:?}");
    }
    assert_eq!(login(&node.client(), PASSWORD).await.error().0, "INVALID_CREDENTIALS");
    assert_eq!(alice.refreshed().await.refusal().await, None);
}

#[tokio::test]
async fn failures_at_once_are_all_counted() {
    use qv_entity::password_failures::Entity;
    use sea_orm::EntityTrait;

    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    one.client().register("alice").await;
    let (one, two) = (one.client(), two.client());
    let attempts = (0..20).map(|n| login(if n % 2 == 0 { &one } else { &two }, "wrong"));
    futures_util::future::join_all(attempts).await;
    let rows = Entity::find().all(&world.database.connect().await).await.expect("readable");
    assert_eq!(rows.iter().map(|row| row.failures).collect::<Vec<_>>(), [20]);
}

#[tokio::test]
async fn who_does_not_exist_costs_the_same_statements() {
    let node = World::new().await.node().await;
    node.client().register("alice").await;
    let attempt = async |name: &str| {
        let input = json!({ "input": { "login": name, "password": "wrong" } });
        node.client().run(operation!("login"), input).await.error().0.to_owned()
    };
    let (_, known) = node.statements(attempt("alice")).await;
    let (_, unknown) = node.statements(attempt("nobody")).await;
    assert_eq!(known, unknown);
}

#[tokio::test]
async fn a_hash_of_other_parameters_is_replaced_at_the_next_sign_in() {
    use qv_entity::users::Entity;
    use sea_orm::EntityTrait;

    let world = World::new().await;
    let db = world.database.connect().await;
    let hash = async || Entity::find().one(&db).await.expect("readable").expect("a user").password_hash;
    let node = world.node().await;
    node.client().register("alice").await;
    let before = hash().await;
    node.client().login("alice").await;
    assert_eq!(hash().await, before);
    let mut config = world.config("two");
    config.passwords.passes = 3;
    let node = world.try_node(config).await.expect("a node starts");
    assert_eq!(login(&node.client(), "wrong").await.error().0, "INVALID_CREDENTIALS");
    assert_eq!(hash().await, before);
    node.client().login("alice").await;
    assert!(hash().await.contains("m=64,t=3,p=1"));
    node.client().login("alice").await;
}
