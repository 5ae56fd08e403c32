//! The reported health of a node without Redis, or with a database that has gone silent.

use std::time::Duration;

use futures_util::future::join_all;
use qv_tests::{proxy::Proxy, world::World};
use serde_json::json;
use tokio::time::Instant;

use crate::ops::health::{of, ready, ready_at_last};

#[tokio::test]
async fn without_redis_a_node_is_degraded_and_still_gets_requests() {
    let world = World::clustered().await;
    let node = world.node_with(|config| config.redis.url = "redis://127.0.0.1:1".into()).await;
    let answer = ready_at_last(&node, "DEGRADED").await;
    assert_eq!((answer.status, of(&answer, "cache"), of(&answer, "database")), (200, json!("DEGRADED"), json!("OK")));
    node.client().register("alice").await;
}

#[tokio::test]
async fn a_database_gone_silent_is_known_within_two_seconds() {
    let world = World::clustered().await;
    let (path, url) = Proxy::to_url(&world.database.url).await;
    let node = world.node_with(|config| config.database.url = url.into()).await;
    ready_at_last(&node, "OK").await;
    path.silence();
    ready_at_last(&node, "DOWN").await;
    // Holds for many concurrent requests, whether or not the latest result is still valid.
    let waits = join_all((0..20).map(|_| async {
        let started = Instant::now();
        assert_eq!(ready(&node).await.status, 503);
        started.elapsed()
    }));
    assert!(waits.await.into_iter().all(|wait| wait < Duration::from_secs(2)));
    path.heal();
    assert_eq!(ready_at_last(&node, "OK").await.status, 200);
}
