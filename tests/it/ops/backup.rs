//! Backups while serving, and the fence after a restore.

use quantumvault::config::Config;
use qv_tests::client::{Client, base64};
use qv_tests::command_line::run;
use qv_tests::operation;
use qv_tests::world::{World, private_folder};
use serde_json::json;

use crate::auth::local_cache::heats;

/// Returns the error code of a feed after this cursor.
async fn refusal_of_cursor(client: &Client, cursor: &str) -> serde_json::Value {
    let mut socket = client.socket().await;
    socket.subscribe("feed", operation!("message_feed"), json!({ "after": cursor })).await;
    let message = socket.receive().await;
    let errors = message["payload"].as_array().or_else(|| message["payload"]["errors"].as_array()).expect("errors");
    errors[0]["extensions"]["code"].clone()
}

/// Caches sessions in Redis for longer than the test takes.
fn remember_sessions(config: &mut Config) {
    config.cache.session_ttl_seconds = 600;
}

#[tokio::test]
async fn a_backup_taken_while_serving_is_a_data_folder_of_that_moment() {
    let world = World::embedded();
    let (_node, alice, bob) = world.pair().await;
    alice.send(&bob, "before", "1").await.data();

    let parent = private_folder();
    let folder = parent.path().join("backup");
    let backup = || run(&world.environment("one"), &["backup", folder.to_str().expect("text")]);
    let output = backup();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(backup().status.code(), Some(1), "a backup is never written over another");
    alice.send(&bob, "after", "2").await.data();

    let mut config = world.config("one");
    config.data_dir.clone_from(&folder);
    config.database.url = "".into();
    let restored = world.try_node(config).await.expect("the backup can be served");
    let bob = restored.client().login("bob").await;
    let (events, _) = bob.feed(None).await.backlog().await;
    let contents: Vec<_> = events.iter().map(|event| event["message"]["encryptedContent"].clone()).collect();
    assert_eq!(contents, [json!(base64("before"))]);
}

#[tokio::test]
async fn after_a_restore_nobody_is_signed_in_and_no_cursor_is_taken_for_a_place_of_today() {
    let world = World::new().await;
    let alice = {
        let node = world.node_with(remember_sessions).await;
        let alice = node.client().register("alice").await;
        alice.send(&alice, "note", "1").await.data();
        heats(&alice).await;
        alice
    };
    let (_, cursor) = alice.feed(None).await.backlog().await;
    let output = run(&world.environment("one"), &["restore-fence"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ended 1 sessions and all cursors\n");

    let mut config = world.config("two");
    remember_sessions(&mut config);
    let node = world.try_node(config).await.expect("a node starts");
    assert_eq!(alice.at(node.server.address).refusal().await.as_deref(), Some("REVOKED"));
    let alice = node.client().login("alice").await;
    assert_eq!(refusal_of_cursor(&alice, &cursor).await, "CURSOR_EXPIRED");
    assert_eq!(refusal_of_cursor(&alice, "garbage").await, "BAD_USER_INPUT");
    let (events, _) = alice.feed(None).await.backlog().await;
    assert_eq!(events.len(), 1, "what was kept is still there");
}
