//! Redis away in every way: nobody is refused, messages arrive, and nodes find it again by themselves.

use std::sync::Arc;

use qv_tests::{node_process::NodeProcess, operation, patience::until, proxy::Proxy, servers::Backing, world::World};
use serde_json::Value;

use crate::faults::survival::Pair;

/// Two nodes over a Redis of their own.
struct Trial {
    redis: Backing,
    path: Proxy,
    nodes: [NodeProcess; 2],
    pair: Pair,
    _world: Arc<World>,
}

impl Trial {
    async fn begin() -> Self {
        let world = World::clustered().await;
        let redis = Backing::redis().await;
        let path = Proxy::to(redis.address).await;
        let url = redis.url(path.address);
        let settings = [
            ("REDIS__URL", url.as_str()),
            ("RATE_LIMITS__ENABLED", "true"),
            ("RATE_LIMITS__LOGIN_BY_ADDRESS__BURST", "100"),
            ("RATE_LIMITS__LOGIN_BY_ACCOUNT__BURST", "100"),
            // Only hints, and what makes up for their absence, may tell a feed that there is news.
            ("FEED__POLL_SECONDS", "3600"),
        ];
        let nodes =
            [NodeProcess::start(&world, "one", &settings).await, NodeProcess::start(&world, "two", &settings).await];
        let pair = Pair::at(&nodes[0], &nodes[1]).await;
        let trial = Self { redis, path, nodes, pair, _world: world };
        trial.is_subscribed().await;
        trial
    }

    /// A session that was just used at one node ends at the other, and is refused at the first in the next request.
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
        until("a node that listens", async || self.redis.run("PUBSUB CHANNELS").await != "*0").await;
    }
}

#[tokio::test]
async fn redis_may_be_killed_and_come_back_empty() {
    let mut trial = Trial::begin().await;
    trial.redis.stop("KILL").await;
    trial.goes_on().await;
    trial.redis.start().await;
    trial.heals().await;
}

#[tokio::test]
async fn redis_may_stand_still() {
    let mut trial = Trial::begin().await;
    trial.redis.pause();
    trial.goes_on().await;
    trial.redis.resume();
    trial.heals().await;
}

#[tokio::test]
async fn the_path_to_redis_may_go_silent() {
    let mut trial = Trial::begin().await;
    trial.path.silence();
    trial.goes_on().await;
    trial.path.heal();
    trial.heals().await;
    // New connections work at once, and those from before are never heard of again.
    trial.path.silence_old();
    trial.goes_on().await;
    trial.heals().await;
}

#[tokio::test]
async fn redis_may_take_no_writes() {
    let mut trial = Trial::begin().await;
    for (harm, heal) in
        [("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"), ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")]
    {
        assert_eq!(trial.redis.run(harm).await, "+OK");
        trial.goes_on().await;
        assert_eq!(trial.redis.run(heal).await, "+OK");
        trial.heals().await;
    }
}

#[tokio::test]
async fn only_the_listening_connections_may_drop() {
    let mut trial = Trial::begin().await;
    for _ in 0..5 {
        assert_ne!(trial.redis.run("CLIENT KILL TYPE pubsub").await, ":0");
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
        trial.revokes(async |trial| assert_ne!(trial.redis.run("CLIENT KILL TYPE pubsub").await, ":0")).await;
    }
    trial.is_subscribed().await;
    trial.revokes(async |trial| assert_eq!(trial.redis.run("FLUSHALL").await, "+OK")).await;
    trial.revokes(async |trial| trial.path.silence_old()).await;
    trial.is_subscribed().await;
    trial.revokes(async |trial| trial.redis.pause()).await;
    trial.redis.resume();
    trial.is_subscribed().await;
    trial.revokes(async |trial| trial.redis.stop("KILL").await).await;
    trial.revokes(async |_| {}).await;
    trial.redis.start().await;
    trial.heals().await;
}
