//! The nodes, the proxies between all parts, and the faults that break them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use qv_tests::{dice::Dice, node_process::NodeProcess, proxy::Proxy, world::World};
use sea_orm::{ConnectionTrait, DbBackend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Number of times that each fault was injected.
pub type Faults = BTreeMap<&'static str, usize>;

const ALONE: [&str; 6] = ["kill", "terminate", "pause", "cut clients", "cut clients", "hold the write lock"];
const CLUSTERED: [&str; 18] = [
    "kill",
    "terminate",
    "pause",
    "cut clients",
    "cut database",
    "silence database",
    "silence old connections",
    "refuse database",
    "delay database",
    "end backends",
    "cut Redis",
    "cut subscribers",
    "silence Redis",
    "refuse Redis",
    "delay Redis",
    "lose hints",
    "lose hints",
    "double hints",
];

/// Nodes of a run.
pub struct Stage {
    places: Vec<Place>,
}

/// Node with the proxies in front of and behind it.
struct Place {
    world: Arc<World>,
    node: NodeProcess,
    clients: Proxy,
    database: Option<Proxy>,
    redis: Option<Proxy>,
}

impl Stage {
    /// Starts two nodes, or one where there can be only one.
    pub async fn set(world: &Arc<World>) -> Self {
        let mut places = vec![Place::new(world, "one").await];
        if world.is_clustered() {
            places.push(Place::new(world, "two").await);
        }
        Self { places }
    }

    /// Returns the addresses that clients connect to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.places.iter().map(|place| place.clients.address).collect()
    }

    /// Injects faults at all nodes until the deadline, and heals each of them.
    pub async fn suffer(&mut self, dice: &mut Dice, deadline: Instant) -> Faults {
        let suffering = self.places.iter_mut().map(|place| place.suffer(dice.fork(), deadline));
        let mut faults = Faults::new();
        for (fault, count) in join_all(suffering).await.into_iter().flatten() {
            *faults.entry(fault).or_default() += count;
        }
        faults
    }

    /// Stops the nodes gracefully.
    pub async fn end(self) {
        for mut place in self.places {
            place.node.signal("TERM");
            assert_eq!(place.node.ended().await.code(), Some(0));
        }
    }
}

impl Place {
    async fn new(world: &Arc<World>, name: &str) -> Self {
        let mut settings = vec![
            // A device reconnects long before its node has noticed the disconnection.
            ("SOCKETS__MAX_PER_USER", "1000".to_owned()),
            ("ACCOUNTS__ACCESS_TOKEN_TTL_SECONDS", "86400".to_owned()),
            // Feeds find events with polls where hints are lost.
            ("FEED__POLL_SECONDS", "2".to_owned()),
            // Injected faults need no log lines.
            ("LOG__FILTER", "off".to_owned()),
        ];
        let (mut database, mut redis) = (None, None);
        if let Some(redis_url) = &world.redis_url {
            for (name, url, path) in
                [("DATABASE__URL", &world.database.url, &mut database), ("REDIS__URL", redis_url, &mut redis)]
            {
                let (proxy, url) = Proxy::to_url(url).await;
                settings.push((name, url));
                *path = Some(proxy);
            }
        }
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let node = NodeProcess::start(world, name, &settings).await;
        let clients = Proxy::to(node.address).await;
        Self { world: Arc::clone(world), node, clients, database, redis }
    }

    async fn suffer(&mut self, mut dice: Dice, deadline: Instant) -> Faults {
        let mut faults = Faults::new();
        while Instant::now() < deadline {
            sleep(Duration::from_millis(100 + dice.below(400) as u64)).await;
            let fault = *if self.world.is_clustered() { dice.pick(&CLUSTERED) } else { dice.pick(&ALONE) };
            *faults.entry(fault).or_default() += 1;
            let moment = Duration::from_millis(50 + dice.below(1_500) as u64);
            match (&self.database, &self.redis) {
                (Some(database), _) if fault.ends_with("database") || fault == "silence old connections" => {
                    harm(database, fault, moment).await;
                }
                (_, Some(redis))
                    if ["Redis", "subscribers"].iter().any(|end| fault.ends_with(end)) || fault == "lose hints" =>
                {
                    harm(redis, fault, moment).await;
                }
                _ => self.suffer_otherwise(fault, moment).await,
            }
        }
        faults
    }

    async fn suffer_otherwise(&mut self, fault: &str, moment: Duration) {
        match fault {
            "kill" => {
                self.node.kill();
                self.node.restart().await;
            }
            "terminate" => {
                self.node.signal("TERM");
                assert_eq!(self.node.ended().await.code(), Some(0), "it ends in order");
                self.node.restart().await;
            }
            "pause" => {
                self.node.signal("STOP");
                sleep(moment).await;
                self.node.signal("CONT");
            }
            "cut clients" => self.clients.cut(),
            "hold the write lock" => hold_the_write_lock(&self.world, moment).await,
            "end backends" => end_backends(&self.world).await,
            "double hints" => double_hints(&self.world).await,
            other => panic!("{other} is no fault"),
        }
    }
}

/// Injects a fault into a proxied path for a moment.
async fn harm(path: &Proxy, fault: &str, moment: Duration) {
    match fault.split(' ').next().unwrap_or_default() {
        "cut" if fault.ends_with("subscribers") => path.cut_subscribers(),
        "cut" => path.cut(),
        "refuse" => path.refuse(),
        "delay" => path.delay(Duration::from_millis(50)),
        "lose" => path.lose_hints(),
        "silence" if fault.ends_with("connections") => path.silence_old(),
        "silence" => path.silence(),
        other => panic!("{other} harms no path"),
    }
    sleep(moment).await;
    path.heal();
}

async fn hold_the_write_lock(world: &World, moment: Duration) {
    let lock = world.database.begin().await;
    assert_eq!(lock.get_database_backend(), DbBackend::Sqlite);
    sleep(moment).await;
    lock.rollback().await.expect("unlocked");
}

async fn end_backends(world: &World) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'quantumvault'";
    world.database.connect().await.execute_unprepared(sql).await.expect("they are ended");
}

/// Publishes each hint twice on every channel of this world.
async fn double_hints(world: &World) {
    let url = reqwest::Url::parse(world.redis_url.as_deref().expect("a Redis")).expect("a URL");
    let address = (url.host_str().expect("a host"), url.port().expect("a port"));
    let mut stream = TcpStream::connect(address).await.expect("Redis accepts");
    let prefix = format!("{}bus:", world.redis_prefix);
    stream.write_all(format!("PUBSUB CHANNELS {prefix}*\r\nPING\r\n").as_bytes()).await.expect("Redis listens");
    let mut said = Vec::new();
    while !said.ends_with(b"+PONG\r\n") {
        assert!(stream.read_buf(&mut said).await.expect("an answer") > 0, "Redis hung up");
    }
    let said = String::from_utf8(said).expect("text");
    for channel in said.lines().filter(|line| line.starts_with(&prefix)) {
        let hint = format!("PUBLISH {channel} doubled\r\n");
        stream.write_all(hint.repeat(2).as_bytes()).await.expect("Redis listens");
    }
}
