//! Marking messages as read: counted once, and reported once to both sides.

use qv_tests::client::{Answer, Client};
use qv_tests::operation;
use qv_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_marked_read_is_told_to_the_sender_and_to_the_readers_devices() {
    let (one, two) = World::new().await.two_nodes().await;
    let [alice, bob] = one.client().register_all(["alice", "bob"]).await;
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(alice.send(&bob, &n.to_string(), &n.to_string()).await);
    }
    let mut feeds = [alice.at(two.server.address).feed(None).await, bob.at(two.server.address).feed(None).await];
    for feed in &mut feeds {
        feed.backlog().await;
    }

    let marked = bob.mark_read(&sent[2]).await;

    let conversation = json!({ "id": sent[2].data()["sendMessage"]["conversation"]["id"], "unreadCount": 2 });
    assert_eq!(marked.data()["markRead"], json!({ "conversation": conversation, "readCount": 3 }));
    assert_eq!(unread(&bob, &alice).await, (2, 2));
    for feed in &mut feeds {
        let event = feed.event().await;
        assert_eq!((&event["kind"], &event["messageId"]), (&json!("READ"), &sent[2].message_id()));
    }
    assert_eq!(is_read(&alice, &bob).await, [false, false, true, true, true]);
    assert_eq!(is_read(&bob, &alice).await, [false, false, true, true, true]);
    assert_eq!(unread(&alice, &bob).await, (0, 0));
}

#[tokio::test]
async fn marking_again_or_what_is_older_or_ones_own_changes_nothing() {
    let (node, alice, bob) = World::new().await.pair().await;
    let older = alice.send(&bob, "older", "1").await;
    let newer = alice.send(&bob, "newer", "2").await;
    let own = bob.send(&alice, "own", "3").await;
    bob.mark_read(&newer).await.data();
    let latest = alice.send(&bob, "latest", "4").await;
    let (_, cursor) = bob.feed(None).await.backlog().await;

    for sent in [&newer, &older, &own] {
        let (answer, statements) = node.statements(bob.mark_read(sent)).await;
        assert_eq!(answer.data()["markRead"]["readCount"], 0);
        assert_eq!(answer.data()["markRead"]["conversation"]["unreadCount"], 1);
        assert!(statements <= 5, "{statements}");
    }

    assert!(bob.feed(Some(&cursor)).await.backlog().await.0.is_empty());
    assert_eq!(unread(&bob, &alice).await, (1, 1));
    assert_eq!(bob.mark_read(&latest).await.data()["markRead"]["readCount"], 1);
    assert_eq!(unread(&bob, &alice).await, (0, 0));
}

#[tokio::test]
async fn marking_one_that_is_ones_own_marks_those_before_it() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let question = alice.send(&bob, "question", "1").await;
    let own = bob.send(&alice, "answer", "2").await;
    let mut feeds = [alice.feed(None).await, bob.feed(None).await];
    for feed in &mut feeds {
        feed.backlog().await;
    }
    assert_eq!(bob.mark_read(&own).await.data()["markRead"]["readCount"], 1);
    // Nobody has read the answer, so both events name the question.
    for feed in &mut feeds {
        let event = feed.event().await;
        assert_eq!((&event["kind"], &event["messageId"]), (&json!("READ"), &question.message_id()));
    }
    // Only the recipient of a message marks it as read.
    assert_eq!(is_read(&bob, &alice).await, [false, true]);
    assert_eq!(unread(&alice, &bob).await, (1, 1));
}

#[tokio::test]
async fn a_note_to_oneself_awaits_nobody() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let remark = alice.send(&alice, "remember", "1").await;
    assert_eq!(unread(&alice, &alice).await, (0, 0));
    assert_eq!(alice.mark_read(&remark).await.data()["markRead"]["readCount"], 0);
    alice.delete(&[remark.message_id()]).await.data();
    assert_eq!(unread(&alice, &alice).await, (0, 0));
}

#[tokio::test]
async fn devices_that_mark_at_once_count_once() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let mut last = alice.send(&bob, "0", "0").await;
    for n in 1..10 {
        last = alice.send(&bob, &n.to_string(), &n.to_string()).await;
    }
    let answers = futures_util::future::join_all((0..8).map(|_| bob.mark_read(&last))).await;
    let counts: i64 = answers.iter().map(|it| it.data()["markRead"]["readCount"].as_i64().expect("a count")).sum();
    assert_eq!((counts, unread(&bob, &alice).await), (10, (0, 0)));
    let (events, _) = alice.feed(None).await.backlog().await;
    assert_eq!(events.iter().filter(|event| event["kind"] == "READ").count(), 1);
}

#[tokio::test]
async fn what_cannot_be_marked_is_named() {
    let (node, alice, bob) = World::new().await.pair().await;
    let carol = node.client().register("carol").await;
    let sent = alice.send(&bob, "hello", "1").await;
    let other = alice.send(&carol, "hello", "2").await;
    let deleted = alice.send(&bob, "gone", "3").await;
    bob.delete(&[deleted.message_id()]).await.data();
    let (conversation, message) = (conversation_id(&sent), sent.message_id());
    let elsewhere = carol.send(&bob, "hello", "4").await;
    for (who, conversation_id, up_to, code, field) in [
        // Foreign conversations and messages are reported as absent.
        (&carol, conversation.clone(), message.clone(), "NOT_FOUND", None),
        (&bob, conversation_id(&other), other.message_id(), "NOT_FOUND", None),
        (&bob, conversation.clone(), other.message_id(), "NOT_FOUND", None),
        (&bob, conversation.clone(), deleted.message_id(), "NOT_FOUND", None),
        (&bob, conversation.clone(), elsewhere.message_id(), "BAD_USER_INPUT", Some("input.upToMessageId")),
        (&bob, message.clone(), message.clone(), "BAD_USER_INPUT", Some("input.conversationId")),
        (&bob, conversation.clone(), conversation.clone(), "BAD_USER_INPUT", Some("input.upToMessageId")),
        (&bob, conversation.clone(), json!("first"), "BAD_USER_INPUT", Some("input.upToMessageId")),
        (&node.client(), conversation.clone(), message.clone(), "UNAUTHENTICATED", None),
    ] {
        let input = json!({ "conversationId": conversation_id, "upToMessageId": up_to });
        let answer = who.run(operation!("mark_read"), json!({ "input": input })).await;
        assert_eq!((answer.error().0, answer.error().1["field"].as_str()), (code, field), "{input}");
    }
    assert_eq!(unread(&bob, &alice).await, (1, 2));
}

/// Returns the unread counts of the conversation with a peer, and of all conversations.
async fn unread(client: &Client, peer: &Client) -> (i64, i64) {
    let viewer = client.messages(peer).await;
    let count = |value: &Value| value.as_i64().expect("a count");
    (count(&viewer["conversation"]["unreadCount"]), count(&viewer["unreadCount"]))
}

/// Returns for each message, newest first, whether it is marked as read.
async fn is_read(client: &Client, peer: &Client) -> Vec<bool> {
    let viewer = client.messages(peer).await;
    let messages = viewer["conversation"]["messages"]["nodes"].as_array().expect("messages");
    messages.iter().map(|message| message["readAt"].is_string()).collect()
}

fn conversation_id(sent: &Answer) -> Value {
    sent.data()["sendMessage"]["conversation"]["id"].clone()
}
