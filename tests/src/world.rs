//! A database, a Redis prefix and a folder that one test has for itself, and the nodes that serve them.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use quantumvault::app::Server;
use quantumvault::config::{self, Config};
use quantumvault::domain::{Clock, Source};
use quantumvault::service::StartError;
use tempfile::TempDir;
use uuid::Uuid;

use crate::client::Client;
use crate::command_line::{create, said};
use crate::database::{SERVER, TestDatabase};
use crate::mail::MailServer;

/// Names the Redis to test on, such as `redis://127.0.0.1:6379`; set exactly where `QV_TEST_DATABASE_URL` is.
const REDIS: &str = "QV_TEST_REDIS_URL";

/// What the nodes of one test share.
pub struct World {
    /// Where messages are.
    pub database: TestDatabase,
    /// Time, ids and randomness of every node.
    pub source: Source,
    /// Where the nodes meet, if there can be several.
    pub redis_url: Option<String>,
    /// What their keys and channels begin with.
    pub redis_prefix: String,
    folder: TempDir,
}

/// A node that serves until the test ends.
#[derive(Clone)]
pub struct Node {
    /// The server itself.
    pub server: Arc<Server>,
    /// What it serves must outlive it.
    _world: Arc<World>,
}

impl World {
    /// An empty one of the shape that the environment names.
    pub async fn new() -> Arc<Self> {
        Self::with_clock(Clock::System).await
    }

    /// An empty one whose nodes go by this clock.
    pub async fn with_clock(clock: Clock) -> Arc<Self> {
        let redis_url = env::var(REDIS).ok();
        let has_server = env::var_os(SERVER).is_some();
        assert_eq!(has_server, redis_url.is_some(), "set both {SERVER} and {REDIS}, or neither");
        Self::over(TestDatabase::create().await, redis_url, clock)
    }

    /// An empty one over SQLite, whatever the environment says.
    pub fn embedded() -> Arc<Self> {
        Self::over(TestDatabase::embedded(), None, Clock::System)
    }

    /// An empty one over PostgreSQL and Redis.
    ///
    /// # Panics
    /// When the environment does not name both.
    pub async fn clustered() -> Arc<Self> {
        for name in [SERVER, REDIS] {
            let is_set = env::var_os(name).is_some();
            assert!(is_set, "{name} is not set: this test needs PostgreSQL and Redis, see CONTRIBUTING.md");
        }
        Self::new().await
    }

    fn over(database: TestDatabase, redis_url: Option<String>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            database,
            source: Source::with_clock(clock),
            redis_url,
            redis_prefix: format!("test-{}:", Uuid::from_bytes(Source::default().random.bytes())),
            folder: private_folder(),
        })
    }

    /// Whether several nodes can serve it.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.redis_url.is_some()
    }

    /// The environment that a node of this world is started with; `node` names its data folder.
    #[must_use]
    pub fn environment(&self, node: &str) -> Vec<(String, String)> {
        let data_dir = self.folder.path().join(node);
        let settings = [
            ("DATA_DIR", data_dir.display().to_string()),
            ("DATABASE__URL", self.database.url.clone()),
            ("REDIS__URL", self.redis_url.clone().unwrap_or_default()),
            ("REDIS__PREFIX", self.redis_prefix.clone()),
            ("HTTP__LISTEN", "127.0.0.1:0".to_owned()),
            // A test does in a second what a person does in an hour.
            ("RATE_LIMITS__ENABLED", "false".to_owned()),
            // Hashing as the product does it would take most of a test's time.
            ("PASSWORDS__MEMORY_KIB", "64".to_owned()),
            ("PASSWORDS__PASSES", "1".to_owned()),
            // What a node records of itself would be counted among what a test does.
            ("METRICS__SAMPLE_SECONDS", "0".to_owned()),
        ];
        settings.map(|(name, value)| (format!("QUANTUMVAULT__{name}"), value)).into()
    }

    /// The environment of a node, as above, with changed settings.
    #[must_use]
    pub fn environment_with(&self, node: &str, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let changes = settings.iter().map(|(name, value)| (format!("QUANTUMVAULT__{name}"), (*value).to_owned()));
        self.environment(node).into_iter().chain(changes).collect()
    }

    /// The settings of a node.
    #[must_use]
    pub fn config(&self, node: &str) -> Config {
        config::load(self.environment(node)).expect("the settings of a test are valid")
    }

    /// The settings of a node that sends its mails to this port.
    #[must_use]
    pub fn mail_config(&self, node: &str, port: u16) -> Config {
        let environment = self.environment(node).into_iter().chain(MailServer::settings(port));
        config::load(environment).expect("the settings of a test are valid")
    }

    /// Starts a node with the defaults.
    pub async fn node(self: &Arc<Self>) -> Node {
        self.try_node(self.config("one")).await.expect("a node starts")
    }

    /// Starts a node with the defaults but for what the test changes.
    pub async fn node_with(self: &Arc<Self>, change: impl FnOnce(&mut Config)) -> Node {
        let mut config = self.config("one");
        change(&mut config);
        self.try_node(config).await.expect("a node starts")
    }

    /// Starts a node with settings of the test's own.
    pub async fn try_node(self: &Arc<Self>, config: Config) -> Result<Node, StartError> {
        let server = Server::start(config, self.source.clone()).await?;
        Ok(Node { server: Arc::new(server), _world: Arc::clone(self) })
    }

    /// Starts a node with the defaults and registers alice and bob there.
    pub async fn pair(self: &Arc<Self>) -> (Node, Client, Client) {
        self.pair_with(|_| ()).await
    }

    /// Starts a node with changed settings and registers alice and bob there.
    pub async fn pair_with(self: &Arc<Self>, change: impl FnOnce(&mut Config)) -> (Node, Client, Client) {
        let node = self.node_with(change).await;
        let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
        (node, alice, bob)
    }

    /// Starts a node and signs in as an operator there.
    pub async fn operated(self: &Arc<Self>) -> (Node, Client) {
        self.operated_with(|_| ()).await
    }

    /// Starts a node with changed settings and signs in as an operator there.
    pub async fn operated_with(self: &Arc<Self>, change: impl FnOnce(&mut Config)) -> (Node, Client) {
        // Before the node starts, which would forget what statements are counted without.
        create(self, "root-operator", "root-operator@example.org");
        said(self, &["user", "promote", "root-operator"]);
        let node = self.node_with(change).await;
        let operator = node.client().login("root-operator").await;
        (node, operator)
    }

    /// Two nodes of a cluster, each with a data folder of its own; twice the same where there can be only one.
    pub async fn two_nodes(self: &Arc<Self>) -> (Node, Node) {
        self.two_nodes_with(|_| ()).await
    }

    /// Two nodes, as above, each with changed settings.
    pub async fn two_nodes_with(self: &Arc<Self>, change: impl Fn(&mut Config)) -> (Node, Node) {
        let one = self.node_with(&change).await;
        if !self.is_clustered() {
            return (one.clone(), one);
        }
        let mut config = self.config("two");
        change(&mut config);
        let two = self.try_node(config).await.expect("a second node starts");
        (one, two)
    }
}

impl Node {
    /// Somebody who talks to this node without a session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.server.address)
    }

    /// Stops the node, which waits for its requests and its mails.
    pub async fn stop(self) {
        Arc::into_inner(self.server).expect("the only one").stop().await;
    }

    /// The statements that a future runs on this node.
    pub async fn statements<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.server.backend.statement_count();
        let done = work.await;
        (done, self.server.backend.statement_count() - before)
    }

    /// The same of questions to Redis.
    pub async fn commands<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.server.backend.redis_command_count();
        let done = work.await;
        (done, self.server.backend.redis_command_count() - before)
    }
}

/// A temporary folder that nobody else can look into.
#[must_use]
pub fn private_folder() -> TempDir {
    tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .expect("a temporary folder can be made")
}

/// A clock that stands at the present until the test moves it.
#[must_use]
pub fn manual_clock() -> Clock {
    Clock::Manual(Arc::new(AtomicI64::new(Clock::System.now().timestamp_micros())))
}
