//! What is told of a node whose Redis is away or whose database has gone silent.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use qv_tests::world::World;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    time::Instant,
};

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
    let mut config = world.config("one");
    let path = Path::to(&world.database.url).await;
    config.database.url = path.url.clone().into();
    let node = world.try_node(config).await.expect("a node starts");
    ready_at_last(&node, "OK").await;
    path.open.send_replace(false);
    ready_at_last(&node, "DOWN").await;
    // However many ask, and whether or not the latest answer is still good.
    let waits = join_all((0..20).map(|_| async {
        let started = Instant::now();
        assert_eq!(ready(&node).await.status, 503);
        started.elapsed()
    }));
    assert!(waits.await.into_iter().all(|wait| wait < Duration::from_secs(2)));
    path.open.send_replace(true);
    assert_eq!(ready_at_last(&node, "OK").await.status, 200);
}

/// A way to a server that can go silent without being cut.
struct Path {
    url: String,
    open: watch::Sender<bool>,
}

impl Path {
    async fn to(url: &str) -> Self {
        let (user, rest) = url.split_once('@').expect("a user");
        let (server, database) = rest.split_once('/').expect("a database");
        let server: SocketAddr = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("{user}@{}/{database}", listener.local_addr().expect("an address"));
        let (open, watching) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (near_in, near_out) = client.into_split();
                let (far_in, far_out) = TcpStream::connect(server).await.expect("the server accepts").into_split();
                tokio::spawn(carry(near_in, far_out, watching.clone()));
                tokio::spawn(carry(far_in, near_out, watching.clone()));
            }
        });
        Self { url, open }
    }
}

async fn carry(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            break;
        }
    }
}
