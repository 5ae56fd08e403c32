//! Deleting messages: on one side, and permanently after both sides have done so.

use qv_entity::messages;
use qv_tests::client::{Answer, Client, base64};
use qv_tests::operation;
use qv_tests::world::World;
use sea_orm::EntityTrait;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_deleted_is_gone_on_ones_own_side_only() {
    let (one, two) = World::new().await.two_nodes().await;
    let [alice, bob] = one.client().register_all(["alice", "bob"]).await;
    let sent = send_all(&alice, &bob, 4).await;
    let mut feed = bob.at(two.server.address).feed(None).await;
    feed.backlog().await;
    let (_, before) = alice.feed(None).await.backlog().await;

    let deleted = bob.delete(&[sent[3].message_id(), sent[1].message_id(), sent[3].message_id()]).await;

    assert_eq!(
        deleted.data()["deleteMessages"]["deletedMessageIds"],
        json!([sent[1].message_id(), sent[3].message_id()])
    );
    for message in [&sent[1], &sent[3]] {
        let event = feed.event().await;
        assert_eq!((&event["kind"], &event["messageId"]), (&json!("DELETED"), &message.message_id()));
        assert_eq!(event["message"], Value::Null);
    }
    assert_eq!(seen(&bob, &alice).await, (["2", "0"].map(base64).to_vec(), 2, 2, sent[2].message_id()));
    assert_eq!(seen(&alice, &bob).await, (["3", "2", "1", "0"].map(base64).to_vec(), 0, 0, sent[3].message_id()));
    assert!(alice.feed(Some(&before)).await.backlog().await.0.is_empty());
    let node = json!({ "id": sent[3].message_id() });
    assert_eq!(bob.run(operation!("node"), node).await.data()["node"], Value::Null);
}

#[tokio::test]
async fn deleting_again_changes_nothing_and_says_the_same() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let sent = send_all(&alice, &bob, 3).await;
    let ids = [sent[0].message_id(), sent[1].message_id()];
    let first = bob.delete(&ids).await;
    let (_, cursor) = bob.feed(None).await.backlog().await;
    assert_eq!(first.data(), bob.delete(&ids).await.data());
    assert!(bob.feed(Some(&cursor)).await.backlog().await.0.is_empty());
    // Only messages that were still there cause events.
    bob.delete(&[sent[0].message_id(), sent[2].message_id()]).await.data();
    let (events, _) = bob.feed(Some(&cursor)).await.backlog().await;
    assert_eq!(events.iter().map(|event| &event["messageId"]).collect::<Vec<_>>(), [&sent[2].message_id()]);
    assert_eq!(seen(&bob, &alice).await, (Vec::new(), 0, 0, Value::Null));
}

#[tokio::test]
async fn unread_messages_that_are_deleted_await_no_longer() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let sent = send_all(&alice, &bob, 4).await;
    let own = bob.send(&alice, "own", "own").await;
    bob.mark_read(&sent[1]).await.data();
    // A read message, an unread one, and one of the caller's own.
    bob.delete(&[sent[0].message_id(), sent[2].message_id(), own.message_id()]).await.data();
    assert_eq!(seen(&bob, &alice).await, (["3", "1"].map(base64).to_vec(), 1, 1, sent[3].message_id()));
    assert_eq!(bob.mark_read(&sent[3]).await.data()["markRead"]["readCount"], 1);
    assert_eq!(seen(&bob, &alice).await.1, 0);
    // The receipt of a later message covers those that were deleted unread.
    let viewer = alice.messages(&bob).await;
    let messages = viewer["conversation"]["messages"]["nodes"].as_array().expect("messages");
    assert!(messages.iter().skip(1).all(|message| message["readAt"].is_string()), "{viewer}");
}

#[tokio::test]
async fn the_ciphertext_goes_with_the_second_copy_and_the_client_id_stays_taken() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair().await;
    let sent = alice.send(&bob, "secret", "s").await;
    let remark = alice.send(&alice, "note", "n").await;
    let kept = alice.send(&bob, "kept", "k").await;
    alice.delete(&[sent.message_id(), remark.message_id()]).await.data();
    assert_eq!(seen(&bob, &alice).await.0, ["kept", "secret"].map(base64));

    bob.delete(&[sent.message_id()]).await.data();

    let db = world.database.connect().await;
    let mut rows = messages::Entity::find().all(&db).await.expect("readable");
    rows.sort_by_key(|row| row.sequence + i64::from(row.sender_id == row.recipient_id) * 10);
    let left: Vec<_> = rows.iter().map(|row| (row.encrypted_content.len(), row.iv.len())).collect();
    assert_eq!(left, [(0, 0), (4, 12), (0, 0)]);
    for (recipient, content, id) in [(&bob, "secret", "s"), (&alice, "note", "n")] {
        let again = alice.send(recipient, content, id).await;
        assert_eq!((again.error().0, &again.error().1["field"]), ("CONFLICT", &json!("input.clientMessageId")));
        assert!(again.0.to_string().contains("deleted"), "{}", again.0);
    }
    assert_eq!(seen(&alice, &bob).await.3, kept.message_id());
}

#[tokio::test]
async fn messages_of_several_conversations_are_deleted_at_once() {
    let (node, alice, bob) = World::new().await.pair().await;
    let carol = node.client().register("carol").await;
    let mut ids = Vec::new();
    for n in 0..50 {
        for peer in [&bob, &carol] {
            ids.push(peer.send(&alice, &n.to_string(), &n.to_string()).await.message_id());
        }
    }
    let first = bob.send(&alice, "left", "left").await.message_id();
    alice.delete(&ids).await.data();
    assert_eq!(seen(&alice, &bob).await, (vec![base64("left")], 1, 1, first));
    assert_eq!(seen(&alice, &carol).await, (Vec::new(), 0, 1, Value::Null));
}

#[tokio::test]
async fn what_cannot_be_deleted_is_named_and_then_nothing_is() {
    let (node, alice, bob) = World::new().await.pair().await;
    let carol = node.client().register("carol").await;
    let sent = alice.send(&bob, "hello", "1").await.message_id();
    let foreign = alice.send(&carol, "hello", "2").await.message_id();
    let unknown = json!(sent.as_str().expect("an id").replace(|c: char| c.is_ascii_digit(), "0"));
    for (ids, code, field) in [
        (vec![sent.clone(), foreign], "NOT_FOUND", None),
        (vec![sent.clone(), unknown], "NOT_FOUND", None),
        (vec![sent.clone(), json!(bob.id)], "BAD_USER_INPUT", Some("input.ids")),
        (vec![sent.clone(), json!("")], "BAD_USER_INPUT", Some("input.ids")),
        (vec![], "BAD_USER_INPUT", Some("input.ids")),
        (vec![sent.clone(); 101], "BAD_USER_INPUT", Some("input.ids")),
    ] {
        let answer = bob.delete(&ids).await;
        assert_eq!((answer.error().0, answer.error().1["field"].as_str()), (code, field), "{ids:?}");
    }
    assert_eq!(node.client().delete(std::slice::from_ref(&sent)).await.error().0, "UNAUTHENTICATED");
    assert_eq!(seen(&bob, &alice).await, (vec![base64("hello")], 1, 1, sent));
}

async fn send_all(from: &Client, to: &Client, count: usize) -> Vec<Answer> {
    let mut sent = Vec::with_capacity(count);
    for n in 0..count {
        sent.push(from.send(to, &n.to_string(), &n.to_string()).await);
    }
    sent
}

/// Returns the contents of a conversation, newest first. Adds its unread count, that of all conversations, and its last
/// message's id.
async fn seen(client: &Client, peer: &Client) -> (Vec<String>, i64, i64, Value) {
    let viewer = client.messages(peer).await;
    let conversation = &viewer["conversation"];
    let messages = conversation["messages"]["nodes"].as_array().expect("messages");
    let contents = messages.iter().map(|it| it["encryptedContent"].as_str().expect("bytes").to_owned()).collect();
    let count = |value: &Value| value.as_i64().expect("a count");
    let last = conversation["lastMessage"]["id"].clone();
    (contents, count(&conversation["unreadCount"]), count(&viewer["unreadCount"]), last)
}
