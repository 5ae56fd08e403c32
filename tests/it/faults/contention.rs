//! Concurrent operations of two people on one conversation at two nodes: nothing fails, and all counts agree.

use futures_util::future::{BoxFuture, FutureExt, join_all};
use qv_entity::messages;
use qv_tests::{client::Client, operation, world::World};
use sea_orm::EntityTrait;
use serde_json::{Value, json};

const EARLIER: usize = 40;
const ROUNDS: usize = 20;

#[tokio::test]
async fn sending_reading_and_deleting_at_once_fails_nowhere_and_loses_no_count() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let (alice, bob) = (one.client().register("alice").await, two.client().register("bob").await);
    let mut earlier = Vec::with_capacity(EARLIER);
    for n in 0..EARLIER {
        let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        earlier.push(from.send(to, "earlier", &format!("earlier-{n}")).await.message_id());
    }

    let mut work: Vec<BoxFuture<'_, ()>> = Vec::new();
    for (who, peer) in [(&alice, &bob), (&bob, &alice)] {
        work.push(send(who, peer, "to-peer").boxed());
        work.push(send(who, who, "to-self").boxed());
        work.push(read(who, peer).boxed());
        work.push(delete_latest(who, peer).boxed());
        // Both sides delete these messages, starting at opposite ends.
        let mut ids = earlier.clone();
        if who.id == bob.id {
            ids.reverse();
        }
        work.push(async move { delete(who, &ids).await }.boxed());
    }
    join_all(work).await;

    for (who, peer) in [(&alice, &bob), (&bob, &alice)] {
        agree(who, peer).await;
        let (events, _) = who.feed(None).await.backlog().await;
        let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
        assert_eq!((count("SENT"), count("GAP")), (EARLIER + 3 * ROUNDS, 0));
        let mut deleted: Vec<_> = events.iter().filter(|event| event["kind"] == "DELETED").collect();
        deleted.sort_by_key(|event| event["messageId"].to_string());
        deleted.dedup_by_key(|event| event["messageId"].to_string());
        assert_eq!(deleted.len(), count("DELETED"), "each deletion is told once");
        assert!(deleted.len() >= EARLIER);
    }
    let db = world.database.connect().await;
    for row in messages::Entity::find().all(&db).await.expect("readable") {
        let is_gone = row.deleted_by_sender && row.deleted_by_recipient;
        assert_eq!((row.encrypted_content.is_empty(), row.iv.is_empty()), (is_gone, is_gone));
    }
}

async fn send(from: &Client, to: &Client, what: &str) {
    for n in 0..ROUNDS {
        from.send(to, what, &format!("{what}-{n}")).await.data();
    }
}

/// Marks the newest message as read in each round, although it may have been deleted meanwhile.
async fn read(reader: &Client, peer: &Client) {
    let mut read = 0;
    for _ in 0..ROUNDS {
        let conversation = reader.messages(peer).await["conversation"].clone();
        if let Some(newest) = ids(&conversation).first() {
            let input = json!({ "conversationId": conversation["id"], "upToMessageId": newest });
            let answer = reader.run(operation!("mark_read"), json!({ "input": input })).await;
            match answer.0.get("errors") {
                None => read += 1,
                Some(_) => assert_eq!(answer.error().0, "NOT_FOUND"),
            }
        }
    }
    assert!(read > 0, "nothing was there to be read");
}

async fn delete_latest(who: &Client, peer: &Client) {
    let mut deleted = 0;
    for _ in 0..ROUNDS / 2 {
        let latest = ids(&who.messages(peer).await["conversation"]);
        if let Some(two) = latest.chunks(2).next() {
            who.delete(two).await.data();
            deleted += two.len();
        }
    }
    assert!(deleted > 0, "nothing was there to be deleted");
}

async fn delete(who: &Client, ids: &[Value]) {
    for some in ids.chunks(5) {
        who.delete(some).await.data();
    }
}

/// Asserts that the counts agree with the messages.
async fn agree(who: &Client, peer: &Client) {
    let viewer = who.messages(peer).await;
    let conversation = &viewer["conversation"];
    let nodes = conversation["messages"]["nodes"].as_array().expect("messages");
    let awaits = |node: &&Value| node["recipient"]["id"] == *who.id && node["readAt"].is_null();
    let unread = json!(nodes.iter().filter(awaits).count());
    assert_eq!((&conversation["unreadCount"], &viewer["unreadCount"]), (&unread, &unread));
    assert_eq!(conversation["lastMessage"]["id"], ids(conversation).first().cloned().unwrap_or_default());
}

fn ids(conversation: &Value) -> Vec<Value> {
    let nodes = conversation["messages"]["nodes"].as_array().expect("messages");
    nodes.iter().map(|node| node["id"].clone()).collect()
}
