//! Two nodes over one database, and their clients when one node freezes.

use std::time::{Duration, Instant};

use qv_tests::{client::base64, node_process::NodeProcess, operation, world::World};
use serde_json::Value;

use crate::auth::local_cache::{heats, refusal};

#[tokio::test]
async fn a_message_sent_at_one_node_arrives_at_the_other() {
    let world = World::clustered().await;
    let (one, two) = world.two_nodes().await;
    let (alice, bob) = (one.client().register("alice").await, two.client().register("bob").await);
    let mut feed = bob.feed(None).await;
    feed.backlog().await;
    for n in 0..5 {
        alice.send(&bob, &n.to_string(), &n.to_string()).await.data();
        assert_eq!(feed.event().await["message"]["encryptedContent"], base64(n.to_string()));
    }
}

#[tokio::test]
async fn a_token_of_one_node_is_good_at_the_other_whichever_came_first() {
    let world = World::clustered().await;
    let (one, two) = world.two_nodes().await;
    for (here, there, name) in [(&one, &two, "alice"), (&two, &one, "bob")] {
        let user = here.client().register(name).await;
        let answer = user.at(there.server.address).run(operation!("viewer"), Value::Null).await;
        assert_eq!(answer.data()["viewer"]["user"]["id"], user.id);
    }
}

#[tokio::test]
async fn a_cursor_of_one_node_is_good_at_the_other() {
    let world = World::clustered().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    alice.send(&alice, "note", "1").await.data();
    let (events, _) = alice.feed(None).await.backlog().await;
    let (rest, _) = alice.at(two.server.address).feed(events[0]["cursor"].as_str()).await.backlog().await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn two_nodes_that_start_at_once_on_an_empty_database_both_come_up() {
    let world = World::clustered().await;
    let (one, two) = tokio::join!(world.try_node(world.config("one")), world.try_node(world.config("two")));
    let (one, two) = (one.expect("the first comes up"), two.expect("the second comes up"));
    let alice = one.client().register("alice").await;
    alice.at(two.server.address).run(operation!("viewer"), Value::Null).await.data();
}

#[tokio::test]
async fn a_node_that_is_frozen_holds_a_revocation_up_for_a_second_and_accepts_nothing_afterwards() {
    let world = World::clustered().await;
    let (one, two) = (world.node().await, NodeProcess::start(&world, "two", &[]).await);
    one.client().register("alice").await;
    for _ in 0..3 {
        let device = one.client().login("alice").await;
        let elsewhere = device.at(two.address);
        heats(&elsewhere).await;
        two.signal("STOP");
        let began = Instant::now();
        device.run(operation!("logout"), Value::Null).await.data();
        let elapsed = began.elapsed();
        // A request already waits at the frozen node when the node resumes.
        let (refused, ()) = tokio::join!(refusal(&elsewhere), async { two.signal("CONT") });
        assert_eq!(refused.as_deref(), Some("REVOKED"));
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    }
}
