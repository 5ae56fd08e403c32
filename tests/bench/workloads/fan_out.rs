//! W5 and W5x: the delay until a message arrives, and the server's deliveries per second.
//!
//! A delivery is the event of a received message on a socket of its recipient. Senders have no sockets.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{StreamExt, stream};
use qv_tests::{client::Client, socket::Socket};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::figures::{Round, Rounds, percentile};
use super::load::{self, Answers, Request};
use super::works;
use super::world::{Shape, World};

const SOCKETS: usize = 1_000;
const SENDS_PER_SECOND: u32 = 200;
const PACED_SENDS: usize = 1_000;
/// Users who share the sockets of W5x.
const CROWD: usize = 20;
const CROWD_SENDS: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
/// Sockets that are opened at the same time.
const OPENING: usize = 16;
const MISSED: usize = 10_000;
const END: &str = "subscription { messageFeed { cursor kind } }";
const FEED: &str = "subscription F($after: String) { messageFeed(after: $after) { cursor kind
    message { id encryptedContent sender { id } } } }";

/// Users with histories who follow their feeds, each with another user who sends to them.
pub struct Audience {
    listeners: Vec<Listener>,
}

struct Listener {
    client: Client,
    /// Cursor at the end of the feed when the audience was gathered.
    cursor: String,
    sender: Client,
}

impl Audience {
    /// Signs the users in and reads each listener's feed to its end.
    pub async fn gather(world: &mut World) -> Self {
        let seed = Arc::clone(&world.seed);
        let step = usize::try_from(seed.size.users).expect("few") / SOCKETS;
        let listening: BTreeSet<_> = (1..=seed.size.users).step_by(step.max(2)).collect();
        let pairs: Vec<_> = listening
            .iter()
            .filter_map(|user| {
                let sender = seed.peers.get(user)?.iter().find(|peer| !listening.contains(peer))?;
                Some((*user, *sender))
            })
            .collect();
        let clients = world.sign_in(pairs.iter().map(|(user, _)| *user)).await;
        let senders = world.sign_in(pairs.iter().map(|(_, sender)| *sender)).await;
        let reading = clients.into_iter().zip(senders).map(|(client, sender)| async move {
            let mut socket = client.socket().await;
            socket.subscribe("end", END, Value::Null).await;
            let (_, cursor) = socket.backlog().await;
            Listener { client, cursor, sender }
        });
        Self { listeners: stream::iter(reading).buffered(OPENING).collect().await }
    }

    /// Opens a thousand sockets, shared by the first `listeners` users, with feeds that have caught up.
    async fn open(&self, world: &World, listeners: usize) -> Vec<(usize, Socket)> {
        let listeners = listeners.min(self.listeners.len());
        let opening = (0..SOCKETS).map(|n| async move {
            let Listener { client, cursor, .. } = &self.listeners[n % listeners];
            let mut socket = client.at(world.server.address).socket().await;
            socket.subscribe("feed", FEED, json!({ "after": cursor })).await;
            socket.backlog().await;
            (n % listeners, socket)
        });
        stream::iter(opening).buffer_unordered(OPENING).collect().await
    }

    /// Opens the sockets and discards all events until the returned tasks are dropped.
    pub async fn listen(&self, world: &World) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for (_, mut socket) in self.open(world, SOCKETS).await {
            tasks.spawn(async move {
                loop {
                    socket.text().await;
                }
            });
        }
        tasks
    }

    /// Returns a message to each listener.
    pub fn messages(&self) -> Vec<Request> {
        self.messages_to(SOCKETS)
    }

    fn messages_to(&self, listeners: usize) -> Vec<Request> {
        self.listeners.iter().take(listeners).map(|to| works::message(&to.sender, &to.client.id)).collect()
    }
}

/// Prints W5: the median of the rounds.
pub async fn paced_rounds(shape: &Shape, world: &World, audience: &Audience) {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.push(paced(shape, world, audience).await);
    }
    println!(
        "W5: {SOCKETS} sockets, {SENDS_PER_SECOND} sends/s of others: delivered in {:.1} ms median, {:.1} ms p99",
        rounds.median(|round| round.percentile(50)),
        rounds.median(|round| round.percentile(99)),
    );
}

/// Prints W5x: the median and the fastest of the rounds.
pub async fn crowded_rounds(shape: &Shape, world: &World, audience: &Audience) {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.push(crowded(shape, world, audience).await);
    }
    println!(
        "W5x: {SOCKETS} sockets of {CROWD} users: {:.0} deliveries/s in the median round, {:.0} in the fastest, \
         {:.4} ms of server CPU each; {} MiB resident",
        rounds.median(Round::rate),
        rounds.fastest(),
        rounds.median(Round::server_ms),
        world.server.resident_kib() / 1024
    );
}

/// Measures W5: a thousand sockets of a thousand users, and 200 sends per second by others. Times are from send to
/// delivery.
pub async fn paced(shape: &Shape, world: &World, audience: &Audience) -> Round {
    let sent: Arc<Mutex<HashMap<usize, Instant>>> = Arc::default();
    let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (mut readers, mut sockets) = (JoinSet::new(), vec![0; audience.listeners.len()]);
    for (listener, mut socket) in audience.open(world, SOCKETS).await {
        sockets[listener] += 1;
        let (sent, times) = (Arc::clone(&sent), Arc::clone(&times));
        readers.spawn(async move {
            loop {
                let content = socket.event().await["message"]["encryptedContent"].clone();
                let at = sent.lock().unwrap_or_else(PoisonError::into_inner)[&number(&content)];
                times.lock().unwrap_or_else(PoisonError::into_inner).push(at.elapsed());
            }
        });
    }
    let sending = async {
        let begin = Instant::now();
        let mut tick = interval(Duration::from_secs(1) / SENDS_PER_SECOND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sends, mut due) = (JoinSet::new(), 0);
        for n in 0..PACED_SENDS {
            tick.tick().await;
            let listener = (n * 7 + 13) % audience.listeners.len();
            due += sockets[listener];
            let Listener { client, sender, .. } = &audience.listeners[listener];
            let (from, to) = (sender.at(world.server.address), client.clone());
            sent.lock().unwrap_or_else(PoisonError::into_inner).insert(n, Instant::now());
            let id = format!("paced-{n}-{}", world.server.cpu().as_nanos());
            sends.spawn(async move {
                from.send(&to, &n.to_string(), &id).await.data();
            });
        }
        sends.join_all().await;
        let waiting = Instant::now();
        while times.lock().unwrap_or_else(PoisonError::into_inner).len() < due {
            assert!(waiting.elapsed() < Duration::from_secs(20), "messages are missing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
        Answers { elapsed: begin.elapsed(), count: times.len(), times, ..Answers::default() }
    };
    world.measure(shape, sending).await
}

/// Returns the number of a message in its round.
fn number(content: &Value) -> usize {
    let bytes = BASE64_STANDARD.decode(content.as_str().expect("text")).expect("base 64");
    String::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// Measures W5x: a thousand sockets of twenty users, to whom others send as fast as the server accepts.
pub async fn crowded(shape: &Shape, world: &World, audience: &Audience) -> Round {
    let delivered = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for (_, mut socket) in audience.open(world, CROWD).await {
        let delivered = Arc::clone(&delivered);
        readers.spawn(async move {
            loop {
                assert!(socket.text().await.contains("SENT"));
                delivered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let requests = Arc::new(audience.messages_to(CROWD));
    let sending = async {
        let begin = Instant::now();
        load::ask_for(CROWD_SENDS, world.server.address, &requests).await;
        let (elapsed, count) = (begin.elapsed(), delivered.load(Ordering::Relaxed));
        Answers { elapsed, count, ..Answers::default() }
    };
    world.measure(shape, sending).await
}

/// Prints the time that a device needs to read the events that it has missed.
pub async fn catch_up(world: &World) {
    let nobody = Client::new(world.server.address);
    let (from, to) = (nobody.register("busy").await, nobody.register("away").await);
    let (request, mut count) = (Arc::new(vec![works::message(&from, &to.id)]), 0);
    while count < MISSED {
        count += load::ask_for(Duration::from_secs(1), nobody.address, &request).await.count;
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (mut socket, begin) = (to.socket().await, Instant::now());
        socket.subscribe("feed", FEED, Value::Null).await;
        while !socket.text().await.contains("CAUGHT_UP") {}
        times.push(begin.elapsed());
    }
    println!("catching up with {count} missed events: {:.0} ms", percentile(times, 50));
}
