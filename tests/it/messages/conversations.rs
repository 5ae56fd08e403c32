//! Sending messages and reading conversations.

use qv_tests::client::{base64, draft};
use qv_tests::operation;
use qv_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_reaches_both_and_tells_each_what_is_theirs() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let sent = alice.send(&bob, "hello", "a-1").await;
    let payload = &sent.data()["sendMessage"];
    let (id, conversation) = (&payload["message"]["id"], &payload["conversation"]["id"]);
    let expected = json!({
        "message": {
            "id": id,
            "encryptedContent": base64("hello"),
            "iv": base64("twelve bytes"),
            "clientMessageId": "a-1",
            "createdAt": payload["message"]["createdAt"],
            "readAt": null,
            "sender": { "id": alice.id, "username": "alice" },
            "recipient": { "id": bob.id, "username": "bob" },
        },
        "conversation": {
            "id": conversation,
            "unreadCount": 0,
            "peer": { "username": "bob" },
            "lastMessage": { "id": id },
        },
    });
    assert_eq!(payload, &expected);

    let received = bob.run(operation!("conversation"), json!({ "with": alice.id })).await;
    let received = &received.data()["viewer"]["conversation"];
    let cursor = &received["messages"]["edges"][0]["cursor"];
    let node = json!({
        "encryptedContent": base64("hello"),
        "sender": { "username": "alice" },
        "recipient": { "username": "bob" },
    });
    let page_info =
        json!({ "hasNextPage": false, "hasPreviousPage": false, "startCursor": cursor, "endCursor": cursor });
    let expected = json!({
        "id": conversation,
        "unreadCount": 1,
        "peer": { "username": "alice" },
        "lastMessage": { "id": id },
        "messages": { "edges": [{ "cursor": cursor, "node": node }], "pageInfo": page_info },
    });
    assert_eq!(received, &expected);
    let message = bob
        .run("query M($id: ID!) { node(id: $id) { ... on Message { clientMessageId } } }", json!({ "id": id }))
        .await;
    assert_eq!(message.data(), &json!({ "node": { "clientMessageId": null } }));
}

#[tokio::test]
async fn sending_the_same_again_sends_nothing_new() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let first = alice.send(&bob, "hello", "same").await;
    let again = alice.send(&bob, "hello", "same").await;
    assert_eq!(first.data(), again.data());
    for other in [draft(&bob, "other", "same"), draft(&alice, "hello", "same")] {
        let answer = alice.run(operation!("send_message"), other).await;
        assert_eq!((answer.error().0, &answer.error().1["field"]), ("CONFLICT", &json!("input.clientMessageId")));
    }
    // The id belongs to the sender and reveals nothing about other senders' ids.
    bob.send(&alice, "other", "same").await.data();
    let read = bob.run(operation!("conversation"), json!({ "with": alice.id })).await;
    assert_eq!(read.data()["viewer"]["conversation"]["messages"]["edges"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_same_message_sent_many_times_at_once_is_one() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let sends = (0..8).map(|_| alice.send(&bob, "hello", "once"));
    let answers = futures_util::future::join_all(sends).await;
    for answer in &answers {
        assert_eq!(answer.data()["sendMessage"]["message"], answers[0].data()["sendMessage"]["message"]);
    }
    let (events, _) = bob.feed(None).await.backlog().await;
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn two_people_who_write_to_each_other_at_once_do_not_stop_one_another() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let ids: Vec<_> = (0..10).map(|n| format!("m{n}")).collect();
    let sends = ids.iter().flat_map(|id| [alice.send(&bob, "to bob", id), bob.send(&alice, "to alice", id)]);
    for answer in futures_util::future::join_all(sends).await {
        answer.data();
    }
    for who in [&alice, &bob] {
        let (events, _) = who.feed(None).await.backlog().await;
        assert_eq!(events.len(), 20);
    }
}

#[tokio::test]
async fn a_note_to_oneself_works() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let sent = alice.send(&alice, "remember", "n-1").await;
    assert_eq!(sent.data()["sendMessage"]["conversation"]["peer"]["username"], "alice");
    assert_eq!(sent.data()["sendMessage"]["conversation"]["unreadCount"], 0);
    let (events, _) = alice.feed(None).await.backlog().await;
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_named() {
    let (node, alice, bob) = World::new().await.pair().await;
    let nobody = bob.id.replace(|c: char| c.is_ascii_digit(), "0");
    for (field, value, code, at) in [
        ("recipientId", json!(nobody), "NOT_FOUND", None),
        ("recipientId", json!("bob"), "BAD_USER_INPUT", Some("input.recipientId")),
        ("iv", json!(base64([0; 13])), "BAD_USER_INPUT", Some("input.iv")),
        ("encryptedContent", json!(""), "BAD_USER_INPUT", Some("input.encryptedContent")),
        ("encryptedContent", json!(base64(vec![0; 64 * 1024 + 1])), "BAD_USER_INPUT", Some("input.encryptedContent")),
        ("clientMessageId", json!(""), "BAD_USER_INPUT", Some("input.clientMessageId")),
        ("clientMessageId", json!("a\0b"), "BAD_USER_INPUT", Some("input.clientMessageId")),
        ("clientMessageId", json!("x".repeat(65)), "BAD_USER_INPUT", Some("input.clientMessageId")),
    ] {
        let mut variables = draft(&bob, "hello", "m");
        variables["input"][field] = value;
        let answer = alice.run(operation!("send_message"), variables).await;
        assert_eq!((answer.error().0, answer.error().1["field"].as_str()), (code, at), "{field}");
    }
    for text in ["aGVsbG8", "aGVs bG8=", "_-8=", "aGVsbG8=\n"] {
        let mut variables = draft(&bob, "hello", "m");
        variables["input"]["encryptedContent"] = json!(text);
        assert_eq!(alice.run(operation!("send_message"), variables).await.error().0, "BAD_USER_INPUT", "{text:?}");
    }
    let answer = node.client().send(&bob, "hello", "m").await;
    assert_eq!(answer.error().0, "UNAUTHENTICATED");
    let mut largest = draft(&bob, "", "largest");
    largest["input"]["encryptedContent"] = json!(base64(vec![7; 64 * 1024]));
    alice.run(operation!("send_message"), largest).await.data();
}

#[tokio::test]
async fn a_conversation_is_paged_from_the_newest_in_both_directions() {
    let (_node, alice, bob) = World::new().await.pair().await;
    for n in 0..7 {
        let (from, to) = if n % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        from.send(to, &n.to_string(), &format!("m{n}")).await.data();
    }
    let page = async |variables: Value| {
        let mut all = json!({ "with": alice.id });
        all.as_object_mut().expect("an object").extend(variables.as_object().expect("an object").clone());
        bob.run(operation!("conversation"), all).await.data()["viewer"]["conversation"]["messages"].clone()
    };
    let first = page(json!({ "first": 3 })).await;
    assert_eq!(outline(&first), (["6", "5", "4"].map(base64).to_vec(), true, false));
    let second = page(json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(outline(&second), (["3", "2", "1"].map(base64).to_vec(), true, true));
    let newer = page(json!({ "last": 2, "before": second["pageInfo"]["startCursor"] })).await;
    assert_eq!(outline(&newer), (["5", "4"].map(base64).to_vec(), true, true));
    let oldest = page(json!({ "last": 2 })).await;
    assert_eq!(outline(&oldest), (["1", "0"].map(base64).to_vec(), false, true));
}

/// Returns the contents of a page, and whether there are pages after and before it.
fn outline(page: &Value) -> (Vec<String>, bool, bool) {
    let edges = page["edges"].as_array().expect("edges").iter();
    let contents = edges.map(|edge| edge["node"]["encryptedContent"].as_str().expect("bytes").to_owned());
    let is_there = |name: &str| page["pageInfo"][name].as_bool().expect("a truth value");
    (contents.collect(), is_there("hasNextPage"), is_there("hasPreviousPage"))
}
