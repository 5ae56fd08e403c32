//! Objects by their global ids.

use qv_tests::{operation, world::World};
use serde_json::{Value, json};

#[tokio::test]
async fn nodes_come_in_the_order_of_their_ids_and_foreign_ones_not_at_all() {
    let node = World::new().await.node().await;
    let [alice, bob, eve] = node.client().register_all(["alice", "bob", "eve"]).await;
    let sent = alice.send(&bob, "hello", "1").await;
    let message = sent.data()["sendMessage"]["message"]["id"].clone();
    let conversation = sent.data()["sendMessage"]["conversation"]["id"].clone();
    let session = alice.run(operation!("viewer"), Value::Null).await.data()["viewer"]["session"]["id"].clone();
    let nobody = alice.id.replace(|c: char| c.is_ascii_digit(), "0");

    let ids = json!([message, nobody, session, bob.id, conversation, message]);
    let answer = alice.run(operation!("nodes"), json!({ "ids": ids })).await;
    let types: Vec<_> =
        answer.data()["nodes"].as_array().expect("a list").iter().map(|node| &node["__typename"]).collect();
    assert_eq!(
        types,
        ["Message", "null", "Session", "User", "Conversation", "Message"]
            .map(|name| if name == "null" { Value::Null } else { json!(name) })
            .each_ref()
    );

    let answer = eve.run(operation!("nodes"), json!({ "ids": [message, session, conversation] })).await;
    assert_eq!(answer.data()["nodes"], json!([null, null, null]));
    assert_eq!(bob.run(operation!("node"), json!({ "id": message })).await.data()["node"]["id"], message);
    assert_eq!(eve.run(operation!("node"), json!({ "id": message })).await.data(), &json!({ "node": null }));
}

#[tokio::test]
async fn what_is_no_id_is_refused() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let answer = alice.run(operation!("node"), json!({ "id": "nonsense" })).await;
    assert_eq!(answer.error().1["field"], "id");
    let answer = alice.run(operation!("nodes"), json!({ "ids": vec![&alice.id; 101] })).await;
    assert_eq!(answer.error().1["field"], "ids");
    // The id of another type is invalid, not absent.
    let answer = alice.run(operation!("conversation"), json!({ "with": alice.id.replace("user", "session") })).await;
    assert_eq!(answer.error().1["field"], "with");
}
