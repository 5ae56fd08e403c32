//! W1 to W6: what frontends ask all day, beside the same statements served without GraphQL.

mod bare;
mod fan_out;
mod load;
mod picture;
mod seed;
pub mod thin;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use quantumvault::domain::UserId;
use qv_tests::{client::Client, database::TestDatabase};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{
    load::{Figures, NUMBER, Request},
    picture::Pair,
    seed::{Seed, Size, username},
};
use super::server::{Server, free_address};

const OWN_RECORD: &str = "{ viewer { email user { id username createdAt } } }";
const CONVERSATION: &str = "query C($with: ID!) { viewer { conversation(with: $with) { messages(first: 50) {
    nodes { id encryptedContent iv createdAt
      sender { id username publicKeys { ecc } } recipient { id username publicKeys { ecc } } }
    pageInfo { hasNextPage } } } } }";
const INBOX: &str = "{ viewer { conversations(first: 20) {
    nodes { id unreadCount peer { id username } lastMessage { id encryptedContent iv createdAt } }
    pageInfo { hasNextPage } } } }";
const SEND: &str = "mutation S($input: SendMessageInput!) { sendMessage(input: $input) {
    message { id createdAt sender { username } } } }";
const NEWEST_OF_EACH: &str = "{ viewer { conversations(first: 50) {
    nodes { peer { id username } messages(first: 3) { nodes { id encryptedContent createdAt } } } } } }";
const UNREAD: &str = "{ viewer { unreadCount } }";
const FEED_END: &str = "subscription { messageFeed { cursor kind } }";
const RESUME: &str = "query R($after: String!, $first: Int!) { viewer { messageFeed(after: $after, first: $first) {
    events { cursor kind message { id encryptedContent createdAt sender { username } } } endCursor hasMore } } }";
/// What a device that resumes its feed has missed.
const MISSED: u32 = 20;
/// How often everything is asked, in turn with its floors: a machine is now faster, now slower. The fastest counts.
const ROUNDS: usize = 5;
const GROWTH_ROUNDS: usize = 3;
/// Users whose sessions the requests are spread over.
const SESSIONS: usize = 64;

/// Everything at one size, or only what is named, beside the floor.
pub async fn measure(folder: &Path, messages: u32, only: &[&str]) {
    let is_asked = |name: &str| only.is_empty() || only.contains(&name);
    let world = World::new(folder, messages).await;
    println!(
        "\n| work | requests/s | p50 ms | p99 ms | server CPU s per 1,000 | ours to it |\n| --- | --- | --- | --- | --- | --- |"
    );
    let mut pairs = Vec::new();
    for work in world.works().await.into_iter().filter(|work| is_asked(work.name)) {
        pairs.push(world.compare(work).await);
    }
    let path = std::env::temp_dir().join("quantumvault-throughput.svg");
    picture::draw(&pairs, &path);
    println!("picture: {}", path.display());
    println!("resident after these: {} MiB", world.server.resident_kib() / 1024);
    if is_asked("W5") {
        fan_out::measure(&world.server, world.seed.size.users).await;
    }
}

/// The same at several sizes, to see what grows. All are there from the beginning and are asked in turn.
pub async fn grow(folder: &Path, sizes: &[u32]) {
    let mut worlds = Vec::new();
    for &messages in sizes {
        worlds.push(World::new(&folder.join(messages.to_string()), messages).await);
    }
    // As many at each size, because how many ask at once for the same decides what can be shared and who waits.
    let readers = worlds.iter().map(|world| world.seed.readers.len()).min().unwrap_or_default();
    let pairs = worlds.iter().map(|world| world.seed.pairs.len()).min().unwrap_or_default();
    println!("{readers} readers and {pairs} pairs at each size");
    let mut asked = Vec::new();
    for world in &mut worlds {
        world.seed.readers.truncate(readers);
        world.seed.pairs.truncate(pairs);
        let mut works: Vec<_> = world.works().await.into_iter().map(|work| (work.name, work.ours)).collect();
        works.extend(world.small_works().await);
        // Sends last: they make a small database a larger one.
        works.sort_by_key(|(name, _)| *name == "W4");
        asked.push(works);
    }
    let columns: Vec<_> = sizes.iter().map(|messages| format!("{messages} messages")).collect();
    println!("\n| work | {} | most to least |\n| --- |{} --- |", columns.join(" | "), " --- |".repeat(sizes.len()));
    for work in 0..asked[0].len() {
        let mut seen: Vec<_> = worlds.iter().map(|_| Figures::default()).collect();
        for _ in 0..GROWTH_ROUNDS {
            for ((world, works), seen) in worlds.iter().zip(&asked).zip(&mut seen) {
                *seen = std::mem::take(seen).beside(load::run(world.server.address, &works[work].1).await);
            }
        }
        let rates = seen.iter().map(|seen| seen.rate);
        let (least, most) = rates.fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(rate), most.max(rate)));
        // Whoever is answered with less has less to wait for.
        let cells: Vec<_> = seen.iter().map(|seen| format!("{:.0} ({} bytes)", seen.rate, seen.bytes)).collect();
        println!("| {} | {} | {:.2} |", asked[0][work].0, cells.join(" | "), most / least);
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
fn row(name: &str, figures: &mut Figures, cpu: Option<Duration>, ours: Option<f64>) {
    let each =
        cpu.map(|cpu| format!("{:.3}", cpu.as_secs_f64() * 1e3 / figures.times.len() as f64)).unwrap_or_default();
    let ratio = ours.map(|ours| format!("{:.2}", ours / figures.rate)).unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (p50, p99) = (ms(figures.percentile(50)), ms(figures.percentile(99)));
    println!("| {name} | {:.0} | {p50:.2} | {p99:.2} | {each} | {ratio} |", figures.rate);
}

/// A floor that has a rate only, and how much of it was reached.
fn alone(name: &str, floor: f64, rate: f64) {
    println!("| {name} | {floor:.0} | | | | {:.2} |", rate / floor);
}

/// Requests to the product and the same to the floor, and the statement alone where it is one of an id.
struct Work {
    name: &'static str,
    title: &'static str,
    ours: Arc<Vec<Request>>,
    thin: Arc<Vec<Request>>,
    bare: Option<(&'static str, Vec<Uuid>)>,
}

/// A seeded database with the product and the floor in front of it.
struct World {
    server: Server,
    thin: Thin,
    seed: Seed,
    database: TestDatabase,
}

impl World {
    async fn new(folder: &Path, messages: u32) -> Self {
        let size = Size { users: 10_000.min(messages / 100), messages };
        let database = TestDatabase::create().await;
        let url = database.url.clone();
        assert!(url.starts_with("postgres:"), "name a PostgreSQL in QV_TEST_DATABASE_URL");
        let redis = std::env::var("QV_TEST_REDIS_URL").unwrap_or_default();
        let environment = [
            ("QUANTUMVAULT__DATABASE__URL", url.as_str()),
            ("QUANTUMVAULT__REDIS__URL", redis.as_str()),
            ("QUANTUMVAULT__REDIS__PREFIX", &format!("bench-{}-{messages}:", std::process::id())),
            // Signing in is not what is measured.
            ("QUANTUMVAULT__PASSWORDS__MEMORY_KIB", "64"),
            ("QUANTUMVAULT__PASSWORDS__PASSES", "1"),
        ];
        let server = Server::start_with(folder, &environment).await;
        Client::new(server.address).register("somebody").await;
        let seed = seed::fill(&url, size).await;
        Self { thin: Thin::start(&url).await, server, seed, database }
    }

    /// One work beside its floors.
    async fn compare(&self, work: Work) -> Pair {
        let (url, sends) = (&self.database.url, &self.seed.pairs[..SESSIONS.min(self.seed.pairs.len())]);
        let (mut ours, mut cpu, mut thin) = (Figures::default(), Duration::ZERO, Figures::default());
        let (mut bare, mut together, mut constant) = (0.0_f64, 0.0_f64, 0.0_f64);
        for _ in 0..ROUNDS {
            let before = self.server.cpu();
            ours = ours.beside(load::run(self.server.address, &work.ours).await);
            cpu += self.server.cpu().saturating_sub(before);
            thin = thin.beside(load::run(self.thin.address, &work.thin).await);
            let body = Request::post(&format!("/constant/{}", ours.bytes), None, "", "x");
            constant = constant.max(load::run(self.thin.address, &Arc::new(vec![body])).await.rate);
            if let Some((sql, ids)) = &work.bare {
                bare = bare.max(bare::reads(url, sql, ids).await);
            } else {
                // The same pairs: who writes to whom decides who waits for whom.
                bare = bare.max(bare::sends(url, sends, 1, bare::CONNECTIONS).await);
                together = together.max(bare::sends(url, sends, 16, 2).await);
            }
        }
        row(work.name, &mut ours, Some(cpu), None);
        row(&format!("{} thin", work.name), &mut thin, None, Some(ours.rate));
        alone(&format!("{} statement by a bare client", work.name), bare, ours.rate);
        if work.bare.is_none() {
            alone(&format!("{} statement by a bare client, 16 sends each", work.name), together, ours.rate);
        }
        alone(&format!("{} constant body of {} bytes by poem", work.name, ours.bytes), constant, ours.rate);
        Pair { name: work.title, ours: ours.rate, thin: thin.rate }
    }

    async fn works(&self) -> Vec<Work> {
        let users: Vec<_> = self.seed.readers.iter().map(|n| seed::user_id(*n)).collect();
        let conversations = self.seed.pairs.iter().take(SESSIONS).map(|pair| pair.conversation_id).collect();
        let mut works = [
            ("W1", "W1 one's own record", Some((thin::OWN_RECORD, users.clone()))),
            ("W2", "W2 50 messages", Some((thin::NEWEST, conversations))),
            ("W3", "W3 the inbox", Some((thin::INBOX, users.clone()))),
            ("W4", "W4 a durable send", None),
            ("W6", "W6 50 conversations", Some((thin::NEWEST_OF_EACH, users))),
        ]
        .map(|(name, title, bare)| {
            (Work { name, title, ours: Arc::default(), thin: Arc::default(), bare }, Vec::new(), Vec::new())
        });
        let nobody = Client::new(self.server.address);
        for &n in &self.seed.readers {
            let (name, id) = (username(n), seed::user_id(n));
            let user = nobody.login(&name).await;
            for (work, query, path) in [(0, OWN_RECORD, "w1"), (2, INBOX, "w3"), (4, NEWEST_OF_EACH, "w6")] {
                let expected = if work == 0 { &name } else { "user0" };
                works[work].1.push(ask(&user, query, &Value::Null, expected));
                works[work].2.push(Request::post(&format!("/{path}/{id}"), None, "", expected));
            }
        }
        for pair in self.seed.pairs.iter().take(SESSIONS) {
            let user = nobody.login(&pair.one).await;
            let with = UserId(pair.other_id).to_string();
            works[1].1.push(ask(&user, CONVERSATION, &json!({ "with": with }), "hasNextPage"));
            works[1].2.push(Request::post(&format!("/w2/{}", pair.conversation_id), None, "", "hasNextPage"));
            let content = "A".repeat(400);
            let input = json!({ "recipientId": with, "encryptedContent": content, "iv": "AAAAAAAAAAAAAAAA", "clientMessageId": NUMBER });
            works[3].1.push(ask(&user, SEND, &json!({ "input": input }), "createdAt"));
            let path = format!("/w4/{}/{}/{}", pair.one_id, pair.other_id, pair.conversation_id);
            works[3].2.push(Request::post(&path, None, &format!("{NUMBER}{}", "A".repeat(300)), "createdAt"));
        }
        works.map(|(work, ours, thin)| Work { ours: ours.into(), thin: thin.into(), ..work }).into()
    }

    /// What is asked for so little that there is no floor to it: counts, and a feed from where a device has left it.
    async fn small_works(&self) -> [(&'static str, Arc<Vec<Request>>); 2] {
        let (mut counts, mut resumes) = (Vec::new(), Vec::new());
        let sender = Client::new(self.server.address).login(&username(self.seed.size.users)).await;
        for n in &self.seed.readers {
            let user = Client::new(self.server.address).login(&username(*n)).await;
            let mut socket = user.socket().await;
            socket.subscribe("feed", FEED_END, Value::Null).await;
            let (_, end) = socket.backlog().await;
            for n in 0..MISSED {
                sender.send(&user, "missed", &format!("{}-{n}", user.username)).await.data();
            }
            counts.push(ask(&user, UNREAD, &Value::Null, "unreadCount"));
            resumes.push(ask(&user, RESUME, &json!({ "after": end, "first": MISSED }), "\"hasMore\":false"));
        }
        [("unread counts", counts.into()), ("feed resume", resumes.into())]
    }
}

fn ask(user: &Client, query: &str, variables: &Value, expected: &str) -> Request {
    let body = json!({ "query": query, "variables": variables }).to_string();
    Request::post("/graphql", user.token.as_deref(), &body, expected)
}

/// The floor as a process of its own.
struct Thin {
    child: Child,
    address: SocketAddr,
}

impl Thin {
    async fn start(url: &str) -> Self {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        let child = command.args(["thin", &address.to_string(), url]).spawn().expect("it starts");
        let begin = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "the floor does not get ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { child, address }
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
