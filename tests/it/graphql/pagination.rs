//! Valid arguments of a page, and the lists that a cursor is valid for.

use qv_tests::client::{Answer, Client};
use qv_tests::operation;
use qv_tests::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn pages_that_cannot_be_are_refused_with_the_argument() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for (variables, field) in [
        (json!({ "first": 0 }), "first"),
        (json!({ "first": -1 }), "first"),
        (json!({ "first": 101 }), "first"),
        (json!({ "first": 2_147_483_647 }), "first"),
        (json!({ "last": 0 }), "last"),
        (json!({ "first": 1, "last": 1 }), "last"),
        (json!({ "after": "garbage" }), "after"),
        (json!({ "before": "" }), "before"),
    ] {
        let answer = alice.run(operation!("users"), variables.clone()).await;
        let (code, extensions) = answer.error();
        assert_eq!((code, extensions["field"].as_str()), ("BAD_USER_INPUT", Some(field)), "{variables}");
    }
    let over = alice.run(operation!("users"), json!({ "first": 101 })).await;
    let message = over.0["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("100") && message.contains("101"), "both numbers are named: {message}");
}

#[tokio::test]
async fn a_cursor_is_good_for_its_user_and_its_list_only() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let page = alice.run(operation!("users"), json!({ "first": 1 })).await;
    let cursor = page.data()["users"]["pageInfo"]["endCursor"].clone();
    assert_eq!(
        alice.run(operation!("users"), json!({ "after": cursor })).await.data()["users"]["nodes"][0]["username"],
        "bob"
    );
    for (who, variables) in [
        (&bob, json!({ "after": cursor })),
        (&alice, json!({ "after": cursor, "search": "b" })),
        (&alice, json!({ "after": flipped(&cursor) })),
    ] {
        let answer = who.run(operation!("users"), variables).await;
        assert_eq!(answer.error().1["field"], "after");
    }
}

#[tokio::test]
async fn a_cursor_of_a_conversation_names_a_place_in_either_direction_and_nothing_elsewhere() {
    let (node, alice, bob) = World::new().await.pair().await;
    let carol = node.client().register("carol").await;
    for n in 0..5 {
        alice.send(&bob, &n.to_string(), &n.to_string()).await.data();
    }
    alice.send(&carol, "hello", "carol").await.data();
    let page = async |who: &Client, with: &Client, page: Value| {
        let mut variables = json!({ "with": with.id });
        variables.as_object_mut().expect("an object").extend(page.as_object().expect("an object").clone());
        who.run(operation!("conversation"), variables).await
    };
    let messages = |answer: &Answer| answer.data()["viewer"]["conversation"]["messages"].clone();
    let backward = messages(&page(&alice, &bob, json!({ "last": 2 })).await);
    let cursor = &backward["pageInfo"]["startCursor"];
    let forward = messages(&page(&alice, &bob, json!({ "first": 5, "after": cursor })).await);
    assert_eq!(forward["edges"][0], backward["edges"][1]);
    for (who, with, arguments, field) in [
        (&bob, &alice, json!({ "after": cursor }), "after"),
        (&alice, &carol, json!({ "before": cursor }), "before"),
        (&alice, &bob, json!({ "after": flipped(cursor) }), "after"),
    ] {
        let answer = page(who, with, arguments).await;
        assert_eq!((answer.error().0, &answer.error().1["field"]), ("BAD_USER_INPUT", &json!(field)));
    }
    let answer = alice.run(operation!("inbox"), json!({ "after": cursor })).await;
    assert_eq!((answer.error().0, &answer.error().1["field"]), ("BAD_USER_INPUT", &json!("after")));
}

fn flipped(cursor: &Value) -> String {
    let mut bytes = cursor.as_str().expect("a cursor").as_bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("ASCII")
}
