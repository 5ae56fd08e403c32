//! The rules of graphql-transport-ws: the opening of a socket, its messages, and their limits.

use qv_tests::client::registration;
use qv_tests::operation;
use qv_tests::socket::Socket;
use qv_tests::world::{Node, World};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

#[tokio::test]
async fn a_client_that_does_not_begin_is_closed() {
    let node = World::new().await.node_with(|config| config.sockets.init_timeout_seconds = 1).await;
    assert_eq!(Socket::connect(node.server.address).await.closed().await, 4408);
    let mut talker = Socket::connect(node.server.address).await;
    talker.send(json!({ "type": "ping" })).await;
    assert_eq!(talker.receive().await["type"], "pong");
    assert_eq!(talker.closed().await, 4408);
}

#[tokio::test]
async fn nothing_runs_before_the_beginning() {
    let node = World::new().await.node().await;
    let mut socket = Socket::connect(node.server.address).await;
    socket.subscribe("1", operation!("service_config"), Value::Null).await;
    let closing = socket.closing().await;
    assert_eq!((closing.code, closing.messages), (4401, vec![]));
}

#[tokio::test]
async fn a_socket_begins_once() {
    let node = World::new().await.node().await;
    let mut late = node.client().socket().await;
    late.send(json!({ "type": "connection_init" })).await;
    assert_eq!(late.closed().await, 4429);
    let mut at_once = Socket::connect(node.server.address).await;
    at_once.send(json!({ "type": "connection_init" })).await;
    at_once.send(json!({ "type": "connection_init" })).await;
    assert_eq!(at_once.closed().await, 4429);
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_refused_without_saying_why() {
    let node = World::new().await.node().await;
    let refused = Socket::try_open(node.server.address, Some("garbage")).await.expect_err("it is refused");
    assert_eq!((refused.code, refused.reason.as_str()), (4403, "Forbidden"));
}

#[tokio::test]
async fn what_is_no_message_closes_the_socket_with_a_short_reason() {
    let node = World::new().await.node().await;
    let query = operation!("service_config");
    for text in [
        r#"{"type":"#.to_owned(),
        "[]".to_owned(),
        r#""ping""#.to_owned(),
        "{}".to_owned(),
        json!({ "type": "start" }).to_string(),
        json!({ "type": "connection_ack" }).to_string(),
        json!({ "type": "next", "id": "1", "payload": {} }).to_string(),
        json!({ "type": "subscribe", "payload": { "query": query } }).to_string(),
        json!({ "type": "subscribe", "id": "", "payload": { "query": query } }).to_string(),
        json!({ "type": "subscribe", "id": 1, "payload": { "query": query } }).to_string(),
        json!({ "type": "subscribe", "id": "1" }).to_string(),
        json!({ "type": "subscribe", "id": "1", "payload": { "query": 1 } }).to_string(),
        json!({ "type": "subscribe", "id": "1", "payload": { "query": query, "variables": [1] } }).to_string(),
        json!({ "type": "complete" }).to_string(),
    ] {
        refuses(&node, Message::text(text)).await;
    }
    let ping = json!({ "type": "ping" }).to_string();
    refuses(&node, Message::binary(ping)).await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_and_a_pong_is_not() {
    let node = World::new().await.node().await;
    let mut socket = node.client().socket().await;
    socket.send(json!({ "type": "pong" })).await;
    socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong", "payload": { "n": 1 } }));
}

#[tokio::test]
async fn queries_and_mutations_are_answered_once_and_their_ids_are_free_again() {
    let node = World::new().await.node().await;
    let mut socket = node.client().socket().await;
    for _ in 0..2 {
        answers(&mut socket, "1").await;
    }
    socket.subscribe("1", operation!("register"), json!({ "input": registration("alice") })).await;
    let next = socket.receive().await;
    assert_eq!(next["payload"]["data"]["register"]["viewer"]["user"]["username"], "alice", "{next}");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "1" }));
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message() {
    let node = World::new().await.node().await;
    let mut socket = node.client().socket().await;
    socket.fragments(&[r#"{"ty"#, r#"pe":"pi"#, r#"ng"}"#]).await;
    assert_eq!(socket.receive().await["type"], "pong");
}

#[tokio::test]
async fn what_cannot_run_is_one_error_and_the_socket_goes_on() {
    let node = World::new().await.node().await;
    let mut socket = node.client().socket().await;
    for query in ["{ nothing }", "{"] {
        socket.subscribe("1", query, Value::Null).await;
        let error = socket.receive().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("1")), "{error}");
        assert!(error["payload"][0]["message"].is_string(), "{error}");
        answers(&mut socket, "1").await;
    }
}

#[tokio::test]
async fn an_id_that_is_in_use_cannot_be_taken() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for query in [operation!("message_feed"), operation!("viewer")] {
        let mut feed = alice.feed(None).await;
        feed.subscribe("feed", query, Value::Null).await;
        assert_eq!(feed.closed().await, 4409);
    }
}

#[tokio::test]
async fn a_client_that_completes_hears_no_more_and_has_its_id_back() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let mut socket = alice.feed(None).await;
    socket.backlog().await;
    let complete = json!({ "type": "complete", "id": "feed" });
    // Sends `complete` twice and for an unknown operation, because a client's `complete` can cross the server's.
    for message in [&complete, &complete, &json!({ "type": "complete", "id": "never" })] {
        socket.send(message.clone()).await;
    }
    answers(&mut socket, "feed").await;
    let bob = node.client().register("bob").await;
    bob.send(&alice, "unheard", "1").await.data();
    answers(&mut socket, "feed").await;
}

#[tokio::test]
async fn only_the_one_protocol_is_spoken_and_nothing_is_compressed() {
    let node = World::new().await.node().await;
    let address = node.server.address;
    let name = "sec-websocket-protocol";
    assert_eq!(Socket::upgrade(address, &[]).await.err(), Some(400));
    assert_eq!(Socket::upgrade(address, &[(name, "graphql-ws")]).await.err(), Some(400));
    assert_eq!(Socket::upgrade(address, &[PROTOCOL, ("sec-websocket-version", "8")]).await.err(), Some(426));
    let both = [(name, "graphql-ws, graphql-transport-ws"), ("sec-websocket-extensions", "permessage-deflate")];
    let socket = Socket::upgrade(address, &both).await.expect("the node upgrades");
    assert_eq!(socket.headers[name], "graphql-transport-ws");
    assert!(!socket.headers.contains_key("sec-websocket-extensions"));
}

#[tokio::test]
async fn a_foreign_page_cannot_open_a_socket() {
    let listed = "https://app.example";
    let node = World::new().await.node_with(|config| config.http.allowed_origins = vec![listed.to_owned()]).await;
    let address = node.server.address;
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        assert_eq!(Socket::upgrade(address, &[PROTOCOL, ("origin", origin)]).await.err(), Some(403), "{origin}");
    }
    for origin in [listed, &format!("http://{address}")] {
        assert!(Socket::upgrade(address, &[PROTOCOL, ("origin", origin)]).await.is_ok(), "{origin}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_big_closes_the_socket_however_it_is_cut() {
    let node = World::new().await.node_with(|config| config.sockets.message_max_bytes = 4096).await;
    let half = "x".repeat(2500);
    let mut whole = node.client().socket().await;
    whole.frame(Message::text(half.repeat(2))).await;
    assert_eq!(whole.closed().await, 1009);
    let mut cut = node.client().socket().await;
    cut.fragments(&[&half, &half]).await;
    assert_eq!(cut.closed().await, 1009);
}

#[tokio::test]
async fn one_operation_too_many_is_refused_and_the_others_go_on() {
    let (_node, alice, bob) = World::new().await.pair_with(|config| config.sockets.max_subscriptions = 2).await;
    let mut socket = bob.socket().await;
    for id in ["a", "b"] {
        socket.subscribe(id, operation!("message_feed"), Value::Null).await;
        assert_eq!(socket.event().await["kind"], "CAUGHT_UP");
    }
    socket.subscribe("c", operation!("viewer"), Value::Null).await;
    let error = socket.receive().await;
    let id = &error["payload"][0]["extensions"]["requestId"];
    let refused = json!({
        "message": "Too many operations run on this connection: complete one.",
        "extensions": { "code": "RATE_LIMITED", "requestId": id, "retryAfterSeconds": 1 },
    });
    assert_eq!(error, json!({ "type": "error", "id": "c", "payload": [refused] }));
    alice.send(&bob, "hello", "1").await.data();
    let mut ids = [socket.receive().await["id"].clone(), socket.receive().await["id"].clone()];
    ids.sort_unstable_by_key(Value::to_string);
    assert_eq!(ids, ["a", "b"]);
    socket.send(json!({ "type": "complete", "id": "a" })).await;
    answers(&mut socket, "c").await;
}

#[tokio::test]
async fn a_user_holds_so_many_sockets_and_others_are_not_concerned() {
    let (_node, alice, bob) = World::new().await.pair_with(|config| config.sockets.max_per_user = 2).await;
    let _held = [alice.socket().await, alice.socket().await];
    let refused = Socket::try_open(alice.address, alice.token.as_deref()).await.expect_err("it is refused");
    assert_eq!((refused.code, refused.reason.as_str()), (4403, "TOO_MANY_CONNECTIONS"));
    answers(&mut bob.socket().await, "1").await;
}

#[tokio::test]
async fn a_flood_of_messages_closes_the_socket_it_comes_on() {
    let node = World::new().await.node().await;
    let (mut calm, mut flood) = (node.client().socket().await, node.client().socket().await);
    for _ in 0..400 {
        flood.send(json!({ "type": "pong" })).await;
    }
    assert_eq!(flood.closed().await, 1013);
    answers(&mut calm, "1").await;
}

/// Asserts that a frame closes a socket as invalid.
async fn refuses(node: &Node, frame: Message) {
    let mut socket = node.client().socket().await;
    socket.frame(frame.clone()).await;
    let closing = socket.closing().await;
    assert_eq!(closing.code, 4400, "{frame}");
    assert!((1..=123).contains(&closing.reason.len()), "{frame}: {}", closing.reason);
}

/// Asserts that a query with this id gets a response, and that no other message comes.
async fn answers(socket: &mut Socket, id: &str) {
    socket.subscribe(id, operation!("service_config"), Value::Null).await;
    let next = socket.receive().await;
    assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)), "{next}");
    assert!(next["payload"]["data"].is_object(), "{next}");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": id }));
}
