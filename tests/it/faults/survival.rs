//! Guarantees while a part of the service is unavailable, and its automatic recovery.

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

/// Longest allowed time of a request, with a margin for a busy machine.
const ANSWER: Duration = Duration::from_millis(6_500);
/// Longest allowed time of a delivery while the bus is unavailable.
const DELIVERY: Duration = Duration::from_secs(5);

/// Alice, who sends messages to Bob, and Bob, whose socket stays open during all outages.
pub struct Pair {
    pub alice: Client,
    pub bob: Client,
    feed: Socket,
    /// Contents of the acknowledged messages, in order.
    acknowledged: Vec<String>,
    attempts: usize,
}

impl Pair {
    /// Registers Alice at one node and Bob at another, which may be one node.
    pub async fn at(one: &NodeProcess, two: &NodeProcess) -> Self {
        let (alice, bob) = (one.client().register("alice").await, two.client().register("bob").await);
        let mut feed = bob.feed(None).await;
        feed.backlog().await;
        let mut pair = Self { alice, bob, feed, acknowledged: Vec::new(), attempts: 0 };
        pair.passes().await;
        pair
    }

    /// Sends the next message once, without waiting for its delivery.
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

    /// Asserts that a message is accepted and arrives on the open socket.
    pub async fn passes(&mut self) {
        self.try_send().await.data();
        let latest = self.acknowledged.last().expect("the latest").clone();
        let arriving = async { while self.feed.event().await["message"]["encryptedContent"] != latest {} };
        timeout(DELIVERY, arriving).await.expect("the message does not arrive");
    }

    /// Sends as many concurrent requests as it takes to open every connection of the pool.
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

    /// Asserts that a send fails in time, with an error that clients understand.
    pub async fn is_told_to_wait(&mut self) {
        let answer = self.try_send().await;
        let (code, extensions) = answer.error();
        assert_eq!(code, "UNAVAILABLE", "{answer:?}");
        assert!(extensions["retryAfterSeconds"].as_u64().is_some_and(|seconds| seconds > 0), "{answer:?}");
    }

    /// Asserts that more concurrent sends than the pool has connections fail in time.
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

    /// Asserts that a retry soon succeeds, that the open socket receives it, and that no acknowledged message is lost.
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

    /// Asserts that a new device receives each acknowledged message once.
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
