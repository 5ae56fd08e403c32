//! The inbox: conversations in the order of their latest messages, and unread counts.

use qv_tests::client::{Client, base64};
use qv_tests::operation;
use qv_tests::world::{Node, World};
use serde_json::{Value, json};

#[tokio::test]
async fn the_inbox_has_the_latest_conversation_first_and_says_what_awaits() {
    let node = World::new().await.node().await;
    let (alice, peers) = people(&node, 3).await;
    for (n, peer) in peers.iter().enumerate() {
        peer.send(&alice, &n.to_string(), "m").await.data();
    }
    alice.send(&peers[0], "answer", "a").await.data();

    let inbox = inbox(&alice, json!({})).await;

    let lines: Vec<_> = inbox["conversations"]["edges"].as_array().expect("edges").iter().map(line).collect();
    assert_eq!(
        lines,
        [
            ("peer-0", 1, base64("answer"), "alice"),
            ("peer-2", 1, base64("2"), "peer-2"),
            ("peer-1", 1, base64("1"), "peer-1")
        ]
    );
    assert_eq!(inbox["unreadCount"], 3);
}

#[tokio::test]
async fn the_inbox_is_paged_in_both_directions() {
    let node = World::new().await.node().await;
    let (alice, peers) = people(&node, 5).await;
    for peer in &peers {
        alice.send(peer, "hello", &peer.username).await.data();
    }
    let first = inbox(&alice, json!({ "first": 2 })).await;
    assert_eq!(names(&first), ["peer-4", "peer-3"]);
    let end = &first["conversations"]["pageInfo"]["endCursor"];
    let second = inbox(&alice, json!({ "first": 2, "after": end })).await;
    assert_eq!(names(&second), ["peer-2", "peer-1"]);
    let start = &second["conversations"]["pageInfo"]["startCursor"];
    assert_eq!(names(&inbox(&alice, json!({ "last": 1, "before": start })).await), ["peer-3"]);
    let last = inbox(&alice, json!({ "last": 2 })).await;
    assert_eq!(names(&last), ["peer-1", "peer-0"]);
    assert_eq!(last["conversations"]["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(last["conversations"]["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn the_newest_and_the_oldest_of_every_conversation_take_two_statements() {
    let node = World::new().await.node().await;
    let (alice, peers) = people(&node, 6).await;
    for (n, peer) in peers.iter().enumerate() {
        for m in 0..=n {
            alice.send(peer, &format!("{n}-{m}"), &format!("{n}-{m}")).await.data();
        }
        let shown = alice.send(peer, "deleted", &format!("{n}-deleted")).await;
        alice.delete(&[shown.message_id()]).await.data();
    }
    for page in ["first: 3", "last: 3"] {
        let query = |field: &str| {
            format!(
                "{{ viewer {{ {field} {{ messages({page}) {{ nodes {{ encryptedContent }} pageInfo {{ hasNextPage hasPreviousPage startCursor }} }} }} }} }}"
            )
        };
        let all = format!("{} }}", query("conversations(last: 6) { nodes"));
        let (answer, statements) = node.statements(alice.run(&all, Value::Null)).await;
        let together = answer.data()["viewer"]["conversations"]["nodes"].as_array().expect("nodes").clone();
        assert_eq!((statements, together.len()), (2, 6));
        for (peer, together) in peers.iter().rev().zip(together) {
            let alone = alice.run(&query(&format!("conversation(with: \"{}\")", peer.id)), Value::Null).await;
            assert_eq!(alone.data()["viewer"]["conversation"], together);
        }
    }
}

#[tokio::test]
async fn whoever_has_no_messages_has_an_empty_inbox() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let inbox = inbox(&alice, json!({})).await;
    assert_eq!((names(&inbox).len(), &inbox["unreadCount"]), (0, &json!(0)));
}

#[tokio::test]
async fn an_inbox_of_twenty_needs_a_statement_for_each_edge() {
    for (user_ttl_seconds, expected) in [
        // The count, and the conversations with their messages; then all peers and senders together.
        (0, 3),
        (300, 2),
    ] {
        let node = World::new().await.node_with(|config| config.cache.user_ttl_seconds = user_ttl_seconds).await;
        let (alice, peers) = people(&node, 20).await;
        for (n, peer) in peers.iter().enumerate() {
            let (from, to) = if n % 2 == 0 { (&alice, peer) } else { (peer, &alice) };
            from.send(to, "hello", &peer.username).await.data();
        }
        inbox(&alice, json!({ "first": 20 })).await;

        let (inbox, statements) = node.statements(inbox(&alice, json!({ "first": 20 }))).await;

        assert_eq!(names(&inbox).len(), 20);
        assert_eq!(statements, expected);
    }
}

/// Registers a user and this many peers.
async fn people(node: &Node, count: usize) -> (Client, Vec<Client>) {
    let alice = node.client().register("alice").await;
    let mut peers = Vec::with_capacity(count);
    for n in 0..count {
        peers.push(node.client().register(&format!("peer-{n}")).await);
    }
    (alice, peers)
}

async fn inbox(client: &Client, variables: Value) -> Value {
    client.run(operation!("inbox"), variables).await.data()["viewer"].clone()
}

fn names(inbox: &Value) -> Vec<&str> {
    let edges = inbox["conversations"]["edges"].as_array().expect("edges");
    edges.iter().map(|edge| edge["node"]["peer"]["username"].as_str().expect("a name")).collect()
}

fn line(edge: &Value) -> (&str, i64, String, &str) {
    let (node, text) = (&edge["node"], |value: &Value| value.as_str().expect("a text").to_owned());
    let last = &node["lastMessage"];
    (
        node["peer"]["username"].as_str().expect("a name"),
        node["unreadCount"].as_i64().expect("a count"),
        text(&last["encryptedContent"]),
        last["sender"]["username"].as_str().expect("a name"),
    )
}
