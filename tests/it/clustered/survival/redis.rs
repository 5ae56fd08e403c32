//! Outages of Redis: no request fails, messages arrive, and nodes reconnect automatically.

use std::sync::Arc;

use qv_tests::{node_process::NodeProcess, operation, patience::until, servers::Backing, world::World};
use serde_json::Value;

use super::{Dependency, Outage};
use crate::faults::survival::Pair;

/// Two nodes over a Redis of their own.
struct Trial {
    redis: Dependency,
    nodes: [NodeProcess; 2],
    pair: Pair,
    _world: Arc<World>,
}

impl Trial {
    async fn begin() -> Self {
        let world = World::clustered().await;
        let redis = Dependency::new(Backing::redis().await).await;
        let url = redis.url();
        let settings = [
            ("REDIS__URL", url.as_str()),
            ("RATE_LIMITS__ENABLED", "true"),
            ("RATE_LIMITS__LOGIN_BY_ADDRESS__BURST", "100"),
            ("RATE_LIMITS__LOGIN_BY_ACCOUNT__BURST", "100"),
            // Feeds may learn of events only from hints, and from polls while hints are unavailable.
            ("FEED__POLL_SECONDS", "3600"),
        ];
        let nodes =
            [NodeProcess::start(&world, "one", &settings).await, NodeProcess::start(&world, "two", &settings).await];
        let pair = Pair::at(&nodes[0], &nodes[1]).await;
        let trial = Self { redis, nodes, pair, _world: world };
        trial.is_subscribed().await;
        trial
    }

    async fn survives(&mut self, outage: Outage) {
        self.redis.fail(outage).await;
        self.goes_on().await;
        self.redis.come_back(outage).await;
        self.heals().await;
    }

    /// Ends a session at one node after its use at the other, which must reject the next request.
    async fn revokes(&mut self, harm: impl AsyncFnOnce(&mut Self)) {
        let device = self.nodes[0].client().login("bob").await;
        let elsewhere = device.at(self.nodes[1].address);
        assert_eq!((elsewhere.refusal().await, elsewhere.refusal().await), (None, None));
        harm(self).await;
        device.run(operation!("logout"), Value::Null).await.data();
        assert_eq!(elsewhere.refusal().await.as_deref(), Some("REVOKED"));
    }

    async fn goes_on(&mut self) {
        for _ in 0..8 {
            self.pair.passes().await;
            assert!(self.nodes[0].is_ready().await && self.nodes[1].is_ready().await);
        }
    }

    async fn heals(&mut self) {
        self.is_subscribed().await;
        for _ in 0..3 {
            self.pair.passes().await;
        }
        self.pair.lost_nothing().await;
    }

    async fn is_subscribed(&self) {
        until("a node that listens", async || self.redis.server.run("PUBSUB CHANNELS").await != "*0").await;
    }
}

#[tokio::test]
async fn redis_may_be_killed_and_come_back_empty() {
    Trial::begin().await.survives(Outage::Ended("KILL")).await;
}

#[tokio::test]
async fn redis_may_stand_still() {
    Trial::begin().await.survives(Outage::Paused).await;
}

#[tokio::test]
async fn the_path_to_redis_may_go_silent() {
    let mut trial = Trial::begin().await;
    trial.survives(Outage::Silent).await;
    // New connections work at once, while the old ones stay silent.
    trial.redis.path.silence_old();
    trial.goes_on().await;
    trial.heals().await;
}

#[tokio::test]
async fn redis_may_take_no_writes() {
    let mut trial = Trial::begin().await;
    for (harm, heal) in
        [("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"), ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")]
    {
        assert_eq!(trial.redis.server.run(harm).await, "+OK");
        trial.goes_on().await;
        assert_eq!(trial.redis.server.run(heal).await, "+OK");
        trial.heals().await;
    }
}

#[tokio::test]
async fn only_the_listening_connections_may_drop() {
    let mut trial = Trial::begin().await;
    for _ in 0..5 {
        assert_ne!(trial.redis.server.run("CLIENT KILL TYPE pubsub").await, ":0");
        trial.pair.passes().await;
        trial.is_subscribed().await;
    }
    trial.heals().await;
}

#[tokio::test]
async fn a_revocation_holds_at_once_whatever_becomes_of_redis() {
    let mut trial = Trial::begin().await;
    for _ in 0..10 {
        trial.is_subscribed().await;
        trial.revokes(async |trial| assert_ne!(trial.redis.server.run("CLIENT KILL TYPE pubsub").await, ":0")).await;
    }
    trial.is_subscribed().await;
    trial.revokes(async |trial| assert_eq!(trial.redis.server.run("FLUSHALL").await, "+OK")).await;
    trial.revokes(async |trial| trial.redis.path.silence_old()).await;
    trial.is_subscribed().await;
    trial.revokes(async |trial| trial.redis.server.pause()).await;
    trial.redis.server.resume();
    trial.is_subscribed().await;
    trial.revokes(async |trial| trial.redis.server.stop("KILL").await).await;
    trial.revokes(async |_| {}).await;
    trial.redis.server.start().await;
    trial.heals().await;
}
