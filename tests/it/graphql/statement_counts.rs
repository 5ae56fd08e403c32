//! Statements per request: one for each edge, however many objects it leads to.

use quantumvault::service::ops::snapshot;
use qv_tests::client::{Answer, Client};
use qv_tests::operation;
use qv_tests::world::{Node, World};
use serde_json::{Value, json};

/// Creates a conversation of 30 messages between two users, and a cached session.
async fn conversation(node: &Node) -> (Client, Client) {
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    for n in 0..30 {
        let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        from.send(to, "hello", &n.to_string()).await.data();
    }
    bob.run(operation!("viewer"), Value::Null).await.data();
    (alice, bob)
}

#[tokio::test]
async fn every_request_runs_as_many_statements_as_it_has_edges() {
    let node = World::new().await.node().await;
    let (alice, bob) = conversation(&node).await;
    let ids: Vec<_> = std::iter::repeat_n([&alice.id, &bob.id], 20).flatten().collect();
    for (what, query, variables, expected) in [
        ("a cached viewer", "{ viewer { user { username } } }", json!({}), 0),
        ("the limits", operation!("service_config"), json!({}), 0),
        ("cached users by id", operation!("nodes"), json!({ "ids": ids }), 0),
        ("a user by name", operation!("user"), json!({ "by": { "username": "alice" } }), 1),
        ("a page of users", operation!("users"), json!({}), 1),
        (
            "a conversation, its last message and a page with senders and recipients",
            operation!("conversation"),
            json!({ "with": alice.id, "first": 30 }),
            3,
        ),
        ("keys of users without any", "{ users { nodes { publicKeys { fingerprint } } } }", json!({}), 1),
    ] {
        let (answer, statements) = node.statements(bob.run(query, variables)).await;
        answer.data();
        assert_eq!(statements, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn objects_that_are_not_cached_are_read_in_one_statement_however_many_threads_there_are() {
    let world = World::new().await;
    let node = world.node_with(|config| config.cache.user_ttl_seconds = 0).await;
    let (alice, bob) = conversation(&node).await;
    // The conversation, the page, and all of its senders and recipients together.
    let query = "query Q($with: ID!) {
        viewer { conversation(with: $with) { messages(first: 30) { nodes { sender { username } recipient { id } } } } }
    }";
    for _ in 0..20 {
        let (answer, statements) = node.statements(bob.run(query, json!({ "with": alice.id }))).await;
        let messages = &answer.data()["viewer"]["conversation"]["messages"]["nodes"];
        assert_eq!(messages.as_array().map(Vec::len), Some(30));
        assert_eq!(statements, 3);
    }
}

#[tokio::test]
async fn marking_and_deleting_many_runs_as_many_statements_as_one() {
    let (node, alice, bob) = World::new().await.pair().await;
    bob.run(operation!("viewer"), Value::Null).await.data();
    for count in [1, 30] {
        let mut sent = Vec::new();
        for n in 0..count {
            sent.push(alice.send(&bob, "hello", &format!("{count}-{n}")).await);
        }
        let (answer, statements) = node.statements(bob.mark_read(sent.last().expect("a message"))).await;
        assert_eq!(answer.data()["markRead"]["readCount"], count);
        // The message and the membership. The session, both mailboxes, the shown messages, the deleted ones, the
        // membership. Then an event and the count in each mailbox.
        assert_eq!(statements, 11);
        let ids: Vec<_> = sent.iter().map(Answer::message_id).collect();
        let (answer, statements) = node.statements(bob.delete(&ids)).await;
        answer.data();
        // The session, the mailbox, the messages locked and deleted, the conversation, its newest message, the events,
        // and the count.
        assert_eq!(statements, 9);
    }
}

#[tokio::test]
async fn a_send_runs_a_fixed_number_of_statements() {
    let world = World::new().await;
    let node = world.node().await;
    let (alice, bob) = conversation(&node).await;
    // PostgreSQL needs one statement. SQLite needs ten: the recipient with the session, the retry check, two mailboxes,
    // the conversation and its two members. The others are the sender's membership, the message, and the two events
    // together. Then the response reads the last message.
    let expected = if world.is_clustered() { 1 } else { 10 } + 1;
    for n in 0..3 {
        let (answer, statements) =
            node.statements(alice.send(&bob, "hello", &format!("more {n}").replace(' ', "-"))).await;
        answer.data();
        assert_eq!(statements, expected);
    }
}

#[tokio::test]
async fn fifty_sockets_of_a_user_read_an_event_together() {
    const SENDS: u64 = 20;
    let world = World::new().await;
    let node = world.node_with(|config| config.sockets.max_per_user = 50).await;
    let (alice, bob) = conversation(&node).await;
    let (_, end) = bob.feed(None).await.backlog().await;
    let mut devices = Vec::new();
    for _ in 0..50 {
        let mut device = bob.feed(Some(&end)).await;
        device.backlog().await;
        devices.push(device);
    }
    let burst = async {
        for n in 0..SENDS {
            alice.send(&bob, "to all", &format!("all-{n}")).await.data();
        }
        for device in &mut devices {
            for n in 0..SENDS {
                let event = device.event().await;
                assert_eq!(event["kind"], "SENT", "{n}: {event}");
            }
        }
    };
    let users = || snapshot::read(&node.server.backend).caches[0].1.hits.read();
    let before = users();
    let ((), statements) = node.statements(burst).await;
    // The first feed writes the event's JSON, which includes the sender, for all.
    assert!(users() - before <= SENDS * 2 * 4, "{}", users() - before);
    let sending = SENDS * if world.is_clustered() { 2 } else { 11 };
    // The events and messages of each send. Late feeds add some reads, but not fifty times as many.
    let reading = statements - sending;
    assert!((1..=SENDS * 2 * 4).contains(&reading), "{reading}");
}
