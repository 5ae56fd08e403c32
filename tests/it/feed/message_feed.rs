//! The feed over a WebSocket: backlog, live events, and resuming by cursor.

use qv_tests::{client::base64, operation, world::World};
use serde_json::{Value, json};

#[tokio::test]
async fn the_feed_tells_what_was_and_then_what_comes() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let before = alice.send(&bob, "before", "1").await.message_id();
    let mut feed = bob.feed(None).await;
    let (events, _) = feed.backlog().await;
    assert_eq!(events, [sent(&events[0], &before, "before")]);
    let after = alice.send(&bob, "after", "2").await.message_id();
    let event = feed.event().await;
    assert_eq!(event, sent(&event, &after, "after"));
    bob.send(&alice, "own", "3").await.data();
    assert_eq!(feed.event().await["message"]["clientMessageId"], "3");
}

/// Covers both kinds of waiting feeds: suspended ones, and those whose document is too long for that.
#[tokio::test]
async fn a_feed_goes_on_after_each_pause_however_long_its_document() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let mut feeds = Vec::new();
    for padding in [0, 8 * 1024] {
        let mut feed = bob.socket().await;
        let document = format!("subscription {{ messageFeed {{ cursor kind messageId }} }} #{}", "x".repeat(padding));
        feed.subscribe("feed", &document, Value::Null).await;
        assert!(feed.backlog().await.0.is_empty());
        feeds.push(feed);
    }
    for n in 0..3 {
        let sent = alice.send(&bob, "hello", &n.to_string()).await.message_id();
        for feed in &mut feeds {
            assert_eq!(feed.event().await["messageId"], sent);
        }
    }
}

#[tokio::test]
async fn a_feed_resumes_behind_any_cursor_without_loss_or_repetition() {
    let (_node, alice, bob) = World::new().await.pair().await;
    for n in 0..250 {
        alice.send(&bob, &n.to_string(), &n.to_string()).await.data();
    }
    let (events, end) = bob.feed(None).await.backlog().await;
    let contents: Vec<_> = events.iter().map(|event| event["message"]["encryptedContent"].clone()).collect();
    assert_eq!(contents, (0..250).map(|n| json!(base64(n.to_string()))).collect::<Vec<_>>());
    for start in [0, 1, 99, 100, 101, 248] {
        let (rest, _) = bob.feed(events[start]["cursor"].as_str()).await.backlog().await;
        assert_eq!(rest, events[start + 1..]);
    }
    assert!(bob.feed(Some(&end)).await.backlog().await.0.is_empty());
}

#[tokio::test]
async fn messages_too_large_to_be_kept_together_arrive_in_order() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let mut expected = Vec::new();
    for n in 0..24 {
        // Some batches end within the largest messages, and some contain only small ones.
        let content = format!("{n:02}").repeat(if n < 18 { 32 * 1024 } else { 1 });
        let sent = alice.send(&bob, &content, &n.to_string()).await;
        expected.push((json!("SENT"), json!(base64(&content))));
        if n == 17 {
            bob.mark_read(&sent).await.data();
        }
    }
    // The READ event carries the latest large message again.
    expected.insert(18, (json!("READ"), expected[17].1.clone()));
    let mut feed = bob.feed(None).await;
    let (events, _) = feed.backlog().await;
    let told = |event: &Value| (event["kind"].clone(), event["message"]["encryptedContent"].clone());
    assert!(
        events.iter().map(told).eq(expected),
        "{:?}",
        events.iter().map(|event| &event["kind"]).collect::<Vec<_>>()
    );
    alice.send(&bob, "live", "live").await.data();
    assert_eq!(told(&feed.event().await), (json!("SENT"), json!(base64("live"))));
}

#[tokio::test]
async fn a_cursor_that_is_not_ones_own_is_refused() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let (_, cursor) = alice.feed(None).await.backlog().await;
    for bad in [cursor.as_str(), "garbage", ""] {
        let mut socket = bob.socket().await;
        socket.subscribe("feed", operation!("message_feed"), json!({ "after": bad })).await;
        let message = socket.receive().await;
        let errors = message["payload"].as_array().or_else(|| message["payload"]["errors"].as_array()).expect("errors");
        assert_eq!(errors[0]["extensions"]["code"], "BAD_USER_INPUT", "{message}");
        assert_eq!(errors[0]["extensions"]["field"], "after");
    }
}

#[tokio::test]
async fn a_feed_needs_a_session() {
    let node = World::new().await.node().await;
    let mut socket = node.client().socket().await;
    socket.subscribe("feed", operation!("message_feed"), json!({})).await;
    let message = socket.receive().await;
    assert!(message.to_string().contains(r#""code":"UNAUTHENTICATED""#), "{message}");
}

#[tokio::test]
async fn many_senders_at_once_give_every_device_the_same_order() {
    let node = World::new().await.node().await;
    let [bob, senders @ ..] = node.client().register_all(["bob", "ann", "ben", "cem", "dot"]).await;
    let mut devices = [bob.feed(None).await, bob.feed(None).await];
    for device in &mut devices {
        device.backlog().await;
    }
    let ids: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    let sends = senders.iter().flat_map(|sender| ids.iter().map(|id| sender.send(&bob, id, id)));
    for answer in futures_util::future::join_all(sends).await {
        answer.data();
    }
    let mut orders = Vec::new();
    for device in &mut devices {
        let mut order = Vec::new();
        for _ in 0..40 {
            order.push(device.event().await["messageId"].as_str().expect("an id").to_owned());
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    let mut distinct = orders[0].clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 40);
}

#[tokio::test]
async fn sockets_of_a_user_that_ask_for_different_things_are_each_told_what_they_ask_for() {
    let (_node, alice, bob) = World::new().await.pair_with(|config| config.sockets.max_per_user = 12).await;
    let with = "subscription ($all: Boolean!) { messageFeed { kind message { iv @include(if: $all) sender { id } } } }";
    let asked = [
        ("subscription { messageFeed { kind message { encryptedContent } } }", json!({})),
        ("subscription { messageFeed { kind message { content: encryptedContent } } }", json!({})),
        ("subscription { messageFeed { kind message { encryptedContent } message { id } } }", json!({})),
        (with, json!({ "all": true })),
        (with, json!({ "all": false })),
        ("subscription { messageFeed { kind message { sender { isVerified } } } }", json!({})),
    ];
    let mut sockets = Vec::new();
    for (query, variables) in asked.iter().cycle().take(2 * asked.len()) {
        let mut socket = bob.socket().await;
        socket.subscribe("feed", query, variables.clone()).await;
        assert_eq!(socket.event().await["kind"], "CAUGHT_UP");
        sockets.push(socket);
    }
    for n in 0..5 {
        let sent = alice.send(&bob, "hello", &n.to_string()).await.data()["sendMessage"]["message"].clone();
        let (content, iv, sender) = (base64("hello"), &sent["iv"], json!({ "id": alice.id }));
        let told = [
            json!({ "encryptedContent": content }),
            json!({ "content": content }),
            json!({ "encryptedContent": content, "id": sent["id"] }),
            json!({ "iv": iv, "sender": sender }),
            json!({ "sender": sender }),
            json!({ "sender": { "isVerified": false } }),
        ];
        for (socket, told) in sockets.iter_mut().zip(told.iter().cycle()) {
            assert_eq!(socket.event().await, json!({ "kind": "SENT", "message": told }));
        }
    }
}

/// Returns the event that the recipient of alice's message receives.
fn sent(event: &Value, id: &Value, content: &str) -> Value {
    let message = json!({
        "id": id,
        "encryptedContent": base64(content),
        "iv": base64("twelve bytes"),
        "clientMessageId": null,
        "sender": { "username": "alice" },
    });
    json!({ "cursor": event["cursor"], "kind": "SENT", "messageId": id, "message": message })
}
