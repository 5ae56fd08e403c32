//! Failures of clients and machines: broken connections, exhausted limits, and a node that stops during requests.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::poll;
use quantumvault::config::Config;
use qv_tests::client::{Answer, Client, draft};
use qv_tests::node_process::binary;
use qv_tests::operation;
use qv_tests::patience::until;
use qv_tests::process::cpu;
use qv_tests::raw;
use qv_tests::world::World;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);
const ALIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
/// Short request with a long response.
const INTROSPECTION: &str = r#"{"query":"{ __schema { types { name description fields { name description } } } }"}"#;
/// WebSocket handshake (RFC 6455, section 1.3) for a client that does nothing automatically.
const HANDSHAKE: &[u8] = b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";
const PING_FRAME: &[u8] = &[0x89, 0];

#[tokio::test]
async fn a_mutation_outlives_the_client_that_sent_it() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair_with(one_place).await;
    let mut feed = bob.feed(None).await;
    feed.backlog().await;
    alice.session().await;

    let lock = world.database.lock_messages().await;
    let request = begin(&alice, &bob).await;
    until_waited_for(&lock).await;
    request.abort();
    drop(request.await);
    lock.rollback().await.expect("unlocked");
    assert_eq!(feed.event().await["kind"], "SENT");
    // The event can arrive before the operation has released its slot.
    while alice.run("{ __typename }", Value::Null).await.0.get("errors").is_some() {}

    let lock = world.database.lock_messages().await;
    let mut socket = alice.socket().await;
    for id in ["3", "4"] {
        socket.subscribe(id, operation!("send_message"), draft(&bob, "by socket", id)).await;
    }
    assert_eq!(socket.receive().await["payload"][0]["extensions"]["code"], "UNAVAILABLE", "one of them waits");
    until_waited_for(&lock).await;
    drop(socket);
    lock.rollback().await.expect("unlocked");
    assert_eq!(feed.event().await["kind"], "SENT");
}

#[tokio::test]
async fn a_node_that_stops_takes_nothing_new_and_ends_what_it_has_begun() {
    let world = World::new().await;
    let node = world.node_with(one_place).await;
    let alice = node.client().register("alice").await;
    let lock = world.database.lock_messages().await;
    let begun = begin(&alice, &alice).await;

    let stop = node.stop();
    tokio::pin!(stop);
    until_deaf(alice.address, stop.as_mut()).await;
    lock.rollback().await.expect("unlocked");

    let ((), answer) = tokio::join!(stop, begun);
    answer.expect("an answer").data();
}

#[tokio::test]
async fn a_request_that_is_stuck_does_not_hold_the_end_up() {
    let world = World::new().await;
    let change = |config: &mut Config| {
        one_place(config);
        config.http.drain_seconds = 1;
    };
    let node = world.node_with(change).await;
    let alice = node.client().register("alice").await;
    let _lock = world.database.lock_messages().await;
    let stuck = begin(&alice, &alice).await;
    timeout(PATIENCE, node.stop()).await.expect("the node does not wait for it");
    assert!(stuck.await.is_err(), "the connection was cut");
}

#[tokio::test]
async fn a_client_that_vanishes_is_let_go_after_two_pings() {
    let node = World::new().await.node_with(|config| config.sockets.ping_seconds = 1).await;
    let mut stream = TcpStream::connect(node.server.address).await.expect("the node accepts");
    let init = br#"{"type":"connection_init"}"#;
    // A text frame with mask 0, and nothing after it, as if the network had failed.
    let frame = [&[0x81, 0x80 | u8::try_from(init.len()).expect("short"), 0, 0, 0, 0], &init[..]].concat();
    stream.write_all(&[HANDSHAKE, &frame].concat()).await.expect("the node listens");
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the node lets go").expect("in order");
    let acknowledged = said.windows(14).position(|bytes| bytes == b"connection_ack").expect("the beginning");
    let pings = said[acknowledged..].windows(2).filter(|bytes| *bytes == PING_FRAME).count();
    assert!(pings >= 2, "{pings}");
}

#[tokio::test]
async fn a_client_that_reads_no_answer_is_let_go() {
    let change = |config: &mut Config| {
        config.http.max_connections = 1;
        config.http.write_timeout_seconds = 1;
        // Only the stalled write ends the connection during the test.
        config.http.header_timeout_seconds = 60;
    };
    let node = World::new().await.node_with(change).await;
    let greedy = TcpSocket::new_v4().expect("a socket");
    greedy.set_recv_buffer_size(4096).expect("a small buffer");
    let mut greedy = greedy.connect(node.server.address).await.expect("the node accepts");
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Content-Length: {}\r\n\r\n{}",
        INTROSPECTION.len(),
        INTROSPECTION
    );
    let asking = tokio::spawn(async move {
        // Writes until the node stops reading, because this client does not read either.
        while greedy.write_all(request.as_bytes()).await.is_ok() {}
    });
    let mut patient = TcpStream::connect(node.server.address).await.expect("the kernel accepts");
    assert!(is_alive(&mut patient).await, "the place was given back");
    timeout(PATIENCE, asking).await.expect("the connection was closed").expect("it ends");
}

#[tokio::test]
async fn one_connection_too_many_is_refused_but_for_health_checks() {
    let node = World::new().await.node_with(|config| config.http.max_connections = 1).await;
    let address = node.server.address;
    let mut first = TcpStream::connect(address).await.expect("the node accepts");
    assert!(is_alive(&mut first).await);
    let headers = [("content-type", "application/json")];
    let ask = async || raw::request(address, "POST /graphql", &headers, r#"{"query":"{ __typename }"}"#).await;
    let answer = ask().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    let mut check = TcpStream::connect(address).await.expect("the node accepts");
    assert!(is_alive(&mut check).await);
    assert!(is_alive(&mut first).await, "the first is served on");
    drop(first);
    until("a free place", async || ask().await.status == 200).await;
}

#[tokio::test]
async fn a_node_without_descriptors_serves_on_waits_and_recovers() {
    let world = World::new().await;
    let mut process = Poor::start(&world);
    let mut served = TcpStream::connect(process.address).await.expect("the node accepts");
    assert!(is_alive(&mut served).await);
    let mut crowd = Vec::new();
    for _ in 0..150 {
        crowd.push(TcpStream::connect(process.address).await.expect("the kernel accepts"));
    }
    assert!(is_alive(&mut served).await);
    let (began, busy) = (Instant::now(), cpu(process.child.id()));
    // The node closes accepted connections that stay silent. Until then, it only has to wait.
    let (mut mute, mut nothing) = (crowd.remove(0), Vec::new());
    timeout(PATIENCE, mute.read_to_end(&mut nothing)).await.expect("the silent are closed").expect("in order");
    let waited = began.elapsed();
    let worked = cpu(process.child.id()).saturating_sub(busy);
    assert!(worked * 4 < waited, "{worked:?} of {waited:?} were spun away");

    drop(crowd);
    let mut late = TcpStream::connect(process.address).await.expect("the node accepts");
    assert!(is_alive(&mut late).await);
    assert_eq!(process.end().matches("connections cannot be accepted").count(), 1, "it complains once");
}

/// Node process that may open few files.
struct Poor {
    child: Child,
    address: SocketAddr,
}

impl Poor {
    fn start(world: &World) -> Self {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "ulimit -n 100; exec \"$0\""])
            .arg(binary().get_program())
            .env_clear()
            .envs(world.environment("one"))
            .env("QUANTUMVAULT__HTTP__HEADER_TIMEOUT_SECONDS", "3")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains("http://"))).expect("it is ready");
        let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix("/graphql"));
        let address = address.and_then(|address| address.parse().ok()).expect("an address");
        Self { child, address }
    }

    /// Ends the node and returns its log.
    fn end(&mut self) -> String {
        self.child.kill().expect("it runs");
        let mut log = String::new();
        self.child.stderr.take().expect("a log").read_to_string(&mut log).expect("text");
        log
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        // Killing and waiting fail only if the process has already ended.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Allows one concurrent request.
fn one_place(config: &mut Config) {
    config.http.max_concurrent_requests = 1;
}

/// Returns once a request with a cached session waits for the lock. SQLite cannot report this and need not: nothing
/// before the lock makes such a request wait.
async fn until_waited_for(lock: &DatabaseTransaction) {
    let backend = lock.get_database_backend();
    let sql = "SELECT FROM pg_locks WHERE relation = 'messages'::regclass AND NOT granted";
    let found = async || lock.query_one_raw(Statement::from_string(backend, sql)).await.expect("readable").is_some();
    let probe = async { while backend == DbBackend::Postgres && !found().await {} };
    timeout(PATIENCE, probe).await.expect("nobody waits for the lock");
}

/// Sends a message that takes the only slot and waits for the lock. A second send must fail, which shows this.
async fn begin(sender: &Client, recipient: &Client) -> JoinHandle<Answer> {
    let send = |id| {
        let (sender, recipient) = (sender.clone(), recipient.clone());
        tokio::spawn(async move { sender.send(&recipient, "begun", id).await })
    };
    let (mut one, mut two) = (send("1"), send("2"));
    let (refused, waiting) = tokio::select! {
        refused = &mut one => (refused, two),
        refused = &mut two => (refused, one),
    };
    assert_eq!(refused.expect("an answer").error().0, "UNAVAILABLE");
    waiting
}

/// Returns once a stopping node accepts no more connections.
async fn until_deaf(address: SocketAddr, mut stop: impl Future<Output = ()> + Unpin) {
    let probe = async {
        while TcpStream::connect(address).await.is_ok() {
            assert!(poll!(&mut stop).is_pending(), "a request is still running");
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, probe).await.expect("the node is deaf");
}

/// Whether a node responds on this connection, which stays open.
async fn is_alive(stream: &mut TcpStream) -> bool {
    let answer = async {
        stream.write_all(ALIVE).await.expect("the node listens");
        let mut said = Vec::new();
        while !said.ends_with(b"}") {
            assert!(stream.read_buf(&mut said).await.expect("in order") > 0, "the node hung up");
        }
        said.starts_with(b"HTTP/1.1 200")
    };
    timeout(PATIENCE, answer).await.expect("the node answers")
}
