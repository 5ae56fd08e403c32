//! What stays true while a part of the service is away, and that all of it heals by itself.

mod disk;
mod disk_sqlite;
mod nodes;

use std::{process::Command, time::Duration};

use qv_tests::client::{Answer, Client, base64, draft};
use qv_tests::node_process::NodeProcess;
use qv_tests::operation;
use qv_tests::patience::{PATIENCE, until};
use qv_tests::socket::Socket;
use tokio::time::{Instant, timeout};

/// No request may take longer, with something to spare for a busy machine.
const ANSWER: Duration = Duration::from_millis(6_500);
/// Nor a message, while the bus is away.
const DELIVERY: Duration = Duration::from_secs(5);

/// Alice, who writes to Bob, and Bob, whose socket stays open through it all.
pub struct Pair {
    pub alice: Client,
    pub bob: Client,
    feed: Socket,
    /// What was acknowledged, in order.
    acknowledged: Vec<String>,
    attempts: usize,
}

impl Pair {
    /// Alice at one node and Bob at another, or at the same.
    pub async fn at(one: &NodeProcess, two: &NodeProcess) -> Self {
        let (alice, bob) = (one.client().register("alice").await, two.client().register("bob").await);
        let mut feed = bob.feed(None).await;
        feed.backlog().await;
        let mut pair = Self { alice, bob, feed, acknowledged: Vec::new(), attempts: 0 };
        pair.passes().await;
        pair
    }

    /// Sends the next message once, and does not wait for its delivery.
    pub async fn try_send(&mut self) -> Answer {
        self.attempts += 1;
        let (content, id) = (format!("message {}", self.attempts), self.attempts.to_string());
        let sending = self.alice.send(&self.bob, &content, &id);
        let answer = timeout(ANSWER, sending).await.expect("the request hangs");
        if !answer.is_away() {
            self.acknowledged.push(base64(content));
        }
        answer
    }

    /// A message is sent and arrives on the open socket.
    pub async fn passes(&mut self) {
        self.try_send().await.data();
        let latest = self.acknowledged.last().expect("the latest").clone();
        let arriving = async { while self.feed.event().await["message"]["encryptedContent"] != latest {} };
        timeout(DELIVERY, arriving).await.expect("the message does not arrive");
    }

    /// As many requests at once as it takes to open every connection of the pool.
    pub async fn crowds(&mut self) {
        let crowd = (0..40).map(|n| {
            let alice = &self.alice;
            let variables = draft(&self.bob, "of a crowd", &format!("crowd-{}-{n}", self.attempts));
            async move { alice.run(operation!("send_message"), variables).await }
        });
        for answer in futures_util::future::join_all(crowd).await {
            answer.data();
        }
        self.passes().await;
    }

    /// A message is refused, in time and in words that a client understands.
    pub async fn is_told_to_wait(&mut self) {
        let answer = self.try_send().await;
        let (code, extensions) = answer.error();
        assert_eq!(code, "UNAVAILABLE", "{answer:?}");
        assert!(extensions["retryAfterSeconds"].as_u64().is_some_and(|seconds| seconds > 0), "{answer:?}");
    }

    /// The same of more requests at once than there are connections in the pool.
    pub async fn crowd_is_told_to_wait(&self) {
        let crowd = (0..40).map(|n| {
            let variables = draft(&self.bob, "of a crowd", &format!("refused-{}-{n}", self.attempts));
            async move {
                let began = Instant::now();
                let answer = self.alice.run(operation!("send_message"), variables).await;
                (answer.error().0.to_owned(), began.elapsed())
            }
        });
        for (code, elapsed) in futures_util::future::join_all(crowd).await {
            assert_eq!(code, "UNAVAILABLE");
            assert!(elapsed < ANSWER, "{elapsed:?}");
        }
    }

    /// The same request is taken before long, the open socket hears of it, and all that was acknowledged is there once.
    pub async fn heals(&mut self) {
        let began = Instant::now();
        self.attempts += 1;
        let (content, id) = (format!("message {}", self.attempts), self.attempts.to_string());
        until("a message that is taken", async || !self.alice.send(&self.bob, &content, &id).await.is_away()).await;
        println!("healed in {:?}", began.elapsed());
        self.acknowledged.push(base64(content));
        self.passes().await;
        self.lost_nothing().await;
    }

    /// A new device is told of everything that was acknowledged, once.
    pub async fn lost_nothing(&self) {
        let (events, _) =
            timeout(PATIENCE, async { self.bob.feed(None).await.backlog().await }).await.expect("a backlog");
        let found: Vec<_> = events.iter().filter_map(|event| event["message"]["encryptedContent"].as_str()).collect();
        let owed: Vec<_> =
            found.iter().copied().filter(|content| self.acknowledged.iter().any(|own| own == content)).collect();
        assert_eq!(owed, self.acknowledged);
    }
}

/// Limits the size of files that a process writes.
fn limit_files(pid: u32, bytes: &str) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={bytes}")]).status();
    assert!(status.expect("prlimit runs").success());
}
