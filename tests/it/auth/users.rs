//! Looking users up, and paging through them.

use qv_tests::{operation, world::World};
use serde_json::{Value, json};

#[tokio::test]
async fn a_user_is_found_by_id_name_and_own_address() {
    let (_node, alice, bob) = World::new().await.pair().await;
    for (by, found) in [
        (json!({ "id": bob.id }), Some("bob")),
        (json!({ "username": "BOB" }), Some("bob")),
        (json!({ "username": "no one" }), None),
        (json!({ "email": "alice@example.org" }), Some("alice")),
        (json!({ "email": "bob@example.org" }), None),
        (json!({ "email": "nobody@example.org" }), None),
    ] {
        let answer = alice.run(operation!("user"), json!({ "by": by })).await;
        assert_eq!(answer.data()["user"]["username"].as_str(), found, "{by}");
    }
}

#[tokio::test]
async fn exactly_one_way_to_look_a_user_up_must_be_given() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for by in [json!({}), json!({ "id": alice.id, "username": "alice" }), json!({ "id": "user_x" })] {
        let answer = alice.run(operation!("user"), json!({ "by": by })).await;
        assert_eq!(answer.error().0, "BAD_USER_INPUT", "{answer:?}");
    }
}

#[tokio::test]
async fn users_are_paged_by_name_in_both_directions() {
    let node = World::new().await.node().await;
    let names = ["al", "al-a", "al.b", "al_c", "ala", "alz", "bob"].map(|name| format!("{name}-x"));
    let mut viewer = node.client();
    for name in &names {
        viewer = node.client().register(name).await;
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();

    let (mut forward, mut backward, mut after, mut before) = (Vec::new(), Vec::new(), Value::Null, Value::Null);
    loop {
        let page = viewer.run(operation!("users"), json!({ "first": 3, "after": after })).await;
        let users = &page.data()["users"];
        forward.extend(names_of(users));
        after = users["pageInfo"]["endCursor"].clone();
        if users["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(forward, sorted);
    loop {
        let page = viewer.run(operation!("users"), json!({ "last": 2, "before": before })).await;
        let users = &page.data()["users"];
        backward.splice(0..0, names_of(users));
        before = users["pageInfo"]["startCursor"].clone();
        if users["pageInfo"]["hasPreviousPage"] == false {
            break;
        }
    }
    assert_eq!(backward, sorted);

    let found = viewer.run(operation!("users"), json!({ "search": "AL" })).await;
    assert_eq!(names_of(&found.data()["users"]).len(), 6);
    let found = viewer.run(operation!("users"), json!({ "search": "al_" })).await;
    assert_eq!(names_of(&found.data()["users"]), ["al_c-x"]);
    for nobody in ["%", "al\0", "ä", "~"] {
        let found = viewer.run(operation!("users"), json!({ "search": nobody })).await;
        assert!(names_of(&found.data()["users"]).is_empty(), "{nobody:?}");
    }
}

fn names_of(users: &Value) -> Vec<String> {
    let nodes = users["nodes"].as_array().expect("nodes");
    assert_eq!(users["edges"].as_array().map(Vec::len), Some(nodes.len()));
    nodes.iter().map(|user| user["username"].as_str().expect("a name").to_owned()).collect()
}
