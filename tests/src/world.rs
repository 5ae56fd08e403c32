//! A database, a Redis prefix and a folder for a single test, and the nodes that use them.

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

/// Environment variable with the URL of the Redis to test on, such as `redis://127.0.0.1:6379`. Required if and only if
/// `QV_TEST_DATABASE_URL` is set.
const REDIS: &str = "QV_TEST_REDIS_URL";

/// Resources that the nodes of one test share.
pub struct World {
    /// Database of the nodes.
    pub database: TestDatabase,
    /// Source of time, ids and randomness for every node.
    pub source: Source,
    /// URL of the nodes' Redis, if there can be several nodes.
    pub redis_url: Option<String>,
    /// Prefix of the nodes' keys and channels in Redis.
    pub redis_prefix: String,
    folder: TempDir,
}

/// Node that serves until the test ends.
#[derive(Clone)]
pub struct Node {
    /// Server of the node.
    pub server: Arc<Server>,
    /// Keeps the server's database and folder alive.
    _world: Arc<World>,
}

impl World {
    /// Creates an empty world of the kind that the environment selects.
    pub async fn new() -> Arc<Self> {
        Self::with_clock(Clock::System).await
    }

    /// Creates an empty world whose nodes use this clock.
    pub async fn with_clock(clock: Clock) -> Arc<Self> {
        let redis_url = env::var(REDIS).ok();
        let has_server = env::var_os(SERVER).is_some();
        assert_eq!(has_server, redis_url.is_some(), "set both {SERVER} and {REDIS}, or neither");
        Self::over(TestDatabase::create().await, redis_url, clock)
    }

    /// Creates an empty world on SQLite, whatever the environment selects.
    pub fn embedded() -> Arc<Self> {
        Self::over(TestDatabase::embedded(), None, Clock::System)
    }

    /// Creates an empty world on PostgreSQL and Redis.
    ///
    /// # Panics
    /// If the environment does not name both.
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

    /// Whether several nodes can share this world.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.redis_url.is_some()
    }

    /// Returns the environment of a node; `node` names its data folder.
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
            // Hashing with the product's parameters would take most of a test's time.
            ("PASSWORDS__MEMORY_KIB", "64".to_owned()),
            ("PASSWORDS__PASSES", "1".to_owned()),
            // A node's samples of itself would count as work of the test.
            ("METRICS__SAMPLE_SECONDS", "0".to_owned()),
        ];
        settings.map(|(name, value)| (format!("QUANTUMVAULT__{name}"), value)).into()
    }

    /// Returns the environment of a node with changed settings.
    #[must_use]
    pub fn environment_with(&self, node: &str, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let changes = settings.iter().map(|(name, value)| (format!("QUANTUMVAULT__{name}"), (*value).to_owned()));
        self.environment(node).into_iter().chain(changes).collect()
    }

    /// Returns the settings of a node.
    #[must_use]
    pub fn config(&self, node: &str) -> Config {
        config::load(self.environment(node)).expect("the settings of a test are valid")
    }

    /// Returns the settings of a node that sends its mails to this port.
    #[must_use]
    pub fn mail_config(&self, node: &str, port: u16) -> Config {
        let environment = self.environment(node).into_iter().chain(MailServer::settings(port));
        config::load(environment).expect("the settings of a test are valid")
    }

    /// Starts a node with the default settings.
    pub async fn node(self: &Arc<Self>) -> Node {
        self.try_node(self.config("one")).await.expect("a node starts")
    }

    /// Starts a node with changed settings.
    pub async fn node_with(self: &Arc<Self>, change: impl FnOnce(&mut Config)) -> Node {
        let mut config = self.config("one");
        change(&mut config);
        self.try_node(config).await.expect("a node starts")
    }

    /// Starts a node with the settings of the test.
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
        // Before the node starts: a running node would invalidate cached values, which changes the counts of
        // statements.
        create(self, "root-operator", "root-operator@example.org");
        said(self, &["user", "promote", "root-operator"]);
        let node = self.node_with(change).await;
        let operator = node.client().login("root-operator").await;
        (node, operator)
    }

    /// Starts two nodes of a cluster, each with its own data folder. On SQLite, both values are one node.
    pub async fn two_nodes(self: &Arc<Self>) -> (Node, Node) {
        self.two_nodes_with(|_| ()).await
    }

    /// Starts two nodes with changed settings.
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
    /// Returns a client of this node without a session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.server.address)
    }

    /// Stops the node, which first finishes its requests and mails.
    pub async fn stop(self) {
        Arc::into_inner(self.server).expect("no other owner of the server").stop().await;
    }

    /// Runs a future and returns the number of statements that this node executed meanwhile.
    pub async fn statements<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.server.backend.statement_count();
        let done = work.await;
        (done, self.server.backend.statement_count() - before)
    }

    /// Runs a future and returns the number of commands that this node sent to Redis meanwhile.
    pub async fn commands<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.server.backend.redis_command_count();
        let done = work.await;
        (done, self.server.backend.redis_command_count() - before)
    }
}

/// Creates a temporary folder that no other user can enter.
#[must_use]
pub fn private_folder() -> TempDir {
    tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .expect("a temporary folder can be created")
}

/// Returns a clock that starts at the present and moves only when the test moves it.
#[must_use]
pub fn manual_clock() -> Clock {
    Clock::Manual(Arc::new(AtomicI64::new(Clock::System.now().timestamp_micros())))
}
