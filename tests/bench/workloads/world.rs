//! A filled database with a server in front of it, and the services behind both.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use qv_tests::{client::Client, servers::Backing};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::super::server::Server;
use super::figures::Round;
use super::fill::Database;
use super::load::{self, Answers, Request};
use super::seed::{self, Seed, Size, username};
use super::works::{Mode, Work};

/// Duration of one round of a closed loop.
const ROUND: Duration = Duration::from_secs(2);
/// Sign-ins in flight at a time.
const SIGN_INS: usize = 16;
/// Settings of the measured PostgreSQL. Commits are durable, as by default.
const POSTGRES: [&str; 3] = ["shared_buffers=4GB", "max_connections=120", "max_wal_size=8GB"];

/// PostgreSQL and Redis for the benchmark alone, or SQLite.
pub enum Shape {
    Clustered(Box<Services>),
    Embedded,
}

/// PostgreSQL and Redis of a cluster.
pub struct Services {
    postgres: Backing,
    redis: Backing,
}

/// Server of one binary over a filled database.
pub struct World {
    pub server: Server,
    pub seed: Arc<Seed>,
    place: Place,
    starts: usize,
    clients: HashMap<u32, Client>,
}

/// Settings for the start of a server.
struct Place {
    binary: PathBuf,
    folder: PathBuf,
    database: String,
    redis: String,
}

impl Shape {
    pub async fn start(is_embedded: bool) -> Self {
        if is_embedded {
            return Self::Embedded;
        }
        let (postgres, redis) = tokio::join!(Backing::durable_postgres(&POSTGRES), Backing::redis());
        Self::Clustered(Box::new(Services { postgres, redis }))
    }

    /// Returns the processor time that the database and Redis have used.
    pub fn cpu(&self) -> Duration {
        match self {
            Self::Clustered(services) => services.postgres.cpu() + services.redis.cpu(),
            Self::Embedded => Duration::ZERO,
        }
    }

    /// Returns the URL of Redis, or an empty string.
    pub fn redis(&self) -> String {
        match self {
            Self::Clustered(services) => services.redis.url(services.redis.address),
            Self::Embedded => String::new(),
        }
    }

    /// Creates an empty database, or a copy of one without connections; returns its URL.
    async fn make_database(&self, folder: &Path, original: Option<&str>) -> String {
        let Self::Clustered(services) = self else {
            fs::create_dir_all(folder).expect("a folder");
            let file = folder.join("messages.db");
            if let Some(original) = original {
                // A stopped server's write-ahead log belongs to the database.
                for end in ["", "-wal"] {
                    let from = format!("{}{end}", original.trim_start_matches("sqlite://"));
                    if Path::new(&from).exists() {
                        fs::copy(from, format!("{}{end}", file.display())).expect("room for a copy");
                    }
                }
            }
            return format!("sqlite://{}", file.display());
        };
        let url = services.postgres.url(services.postgres.address);
        let name = format!("bench_{}", name_of(folder));
        let original = original.map_or("template0", |url| url.rsplit(['/', '?']).nth(1).expect("a name"));
        let mut db = PgConnection::connect(&url).await.expect("the database answers");
        let sql = format!("CREATE DATABASE {name} TEMPLATE {original}");
        db.execute(AssertSqlSafe(sql)).await.expect("a new database");
        url.replace("/postgres?", &format!("/{name}?"))
    }
}

impl World {
    /// Fills a database for a binary, which creates the schema and then serves the rows.
    pub async fn fill(shape: &Shape, binary: &Path, folder: &Path, messages: u32) -> Self {
        let begin = Instant::now();
        let database = shape.make_database(folder, None).await;
        let place = Place { binary: binary.to_owned(), folder: folder.to_owned(), database, redis: shape.redis() };
        let server = place.start(0).await;
        Client::new(server.address).register("somebody").await;
        drop(server);
        let size = Size { users: 10_000.min(messages / 10), messages };
        let mut database = Database::connect(&place.database).await;
        let seed = Arc::new(seed::fill(&mut database, size).await);
        drop(database);
        eprintln!("filled with {} users and {messages} messages in {:.0?}", size.users, begin.elapsed());
        Self { server: place.start(1).await, seed, place, starts: 2, clients: HashMap::new() }
    }

    /// Copies the database for another binary, which migrates the copy to its own schema.
    pub async fn copy(self, shape: &Shape, binary: &Path, folder: &Path) -> (Self, Self) {
        let Self { server, seed, place, .. } = self;
        drop(server);
        let database = shape.make_database(folder, Some(&place.database)).await;
        let copy = Place { binary: binary.to_owned(), folder: folder.to_owned(), database, redis: shape.redis() };
        let serve = async |place: Place| {
            let (server, seed) = (place.start(0).await, Arc::clone(&seed));
            Self { server, seed, place, starts: 1, clients: HashMap::new() }
        };
        (serve(place).await, serve(copy).await)
    }

    /// Returns the URL of the database.
    pub fn database(&self) -> &str {
        &self.place.database
    }

    /// Signs in the users without a session; returns clients of all users in the given order.
    pub async fn sign_in(&mut self, users: impl IntoIterator<Item = u32>) -> Vec<Client> {
        let users: Vec<_> = users.into_iter().collect();
        let nobody = Client::new(self.server.address);
        let missing: Vec<_> = users.iter().copied().filter(|user| !self.clients.contains_key(user)).collect();
        let signing_in = missing.into_iter().map(|user| {
            let nobody = nobody.clone();
            async move { (user, nobody.login(&username(user)).await) }
        });
        self.clients.extend(stream::iter(signing_in).buffer_unordered(SIGN_INS).collect::<Vec<_>>().await);
        users.iter().map(|user| self.clients[user].at(self.server.address)).collect()
    }

    /// Runs one round of a work.
    pub async fn round(&mut self, shape: &Shape, work: &Work) -> Round {
        if work.mode == Mode::Once {
            self.restart().await;
        }
        self.measure(shape, ask(self.server.address, work.mode, &work.ours)).await
    }

    /// Measures the processor time of the server and the database during `work`.
    pub async fn measure(&self, shape: &Shape, work: impl Future<Output = Answers>) -> Round {
        measure(shape, || self.server.cpu(), work).await
    }

    /// Restarts the server with empty caches, in memory and in Redis.
    async fn restart(&mut self) {
        self.server.stop();
        self.server = self.place.start(self.starts).await;
        self.starts += 1;
    }
}

impl Place {
    async fn start(&self, starts: usize) -> Server {
        let environment = [
            ("QUANTUMVAULT__DATABASE__URL", self.database.as_str()),
            ("QUANTUMVAULT__REDIS__URL", &self.redis),
            ("QUANTUMVAULT__REDIS__PREFIX", &format!("{}-{starts}:", name_of(&self.folder))),
            ("QUANTUMVAULT__ACCOUNTS__ACCESS_TOKEN_TTL_SECONDS", "43200"),
            // Sign-ins are not measured.
            ("QUANTUMVAULT__PASSWORDS__MEMORY_KIB", "64"),
            ("QUANTUMVAULT__PASSWORDS__PASSES", "1"),
        ];
        Server::start_with(&self.binary, &self.folder, &environment).await
    }
}

/// Measures the processor time of a server, read by `cpu`, and of the database during `work`.
pub async fn measure(shape: &Shape, cpu: impl Fn() -> Duration, work: impl Future<Output = Answers>) -> Round {
    let (server, database) = (cpu(), shape.cpu());
    let answers = work.await;
    Round { answers, server: cpu().saturating_sub(server), database: shape.cpu().saturating_sub(database) }
}

/// Runs one round of requests.
pub async fn ask(address: std::net::SocketAddr, mode: Mode, requests: &Arc<Vec<Request>>) -> Answers {
    match mode {
        Mode::Loop => load::ask_for(ROUND, address, requests).await,
        Mode::Once => load::ask_each(address, requests).await,
    }
}

fn name_of(folder: &Path) -> &str {
    folder.file_name().and_then(|name| name.to_str()).expect("a name")
}
