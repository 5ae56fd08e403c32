//! W5: how soon a message arrives, how many can be delivered, and how soon what was missed is caught up.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use qv_tests::{client::Client, socket::Socket};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{super::server::Server, load, seed::username};

pub const SOCKETS: u32 = 1_000;
const SENDS_A_SECOND: u32 = 200;
const PACED_SENDS: usize = 2_000;
const CROWD: u32 = 20;
/// For how long they write.
const CROWDED: Duration = Duration::from_secs(6);
const MISSED: usize = 10_000;
const FEED: &str = "subscription { messageFeed { cursor kind message { id encryptedContent } } }";

/// On users who have no messages yet.
pub async fn measure(server: &Server, users_with_messages: u32) {
    let nobody = Client::new(server.address);
    let mut users = Vec::new();
    for n in 1..=SOCKETS {
        users.push(nobody.login(&username(users_with_messages + n)).await);
    }
    paced(&users).await;
    crowded(server, &users[..CROWD as usize]).await;
    catch_up(&nobody).await;
}

/// 1,000 sockets of as many users, 200 sends a second among them.
async fn paced(users: &[Client]) {
    let sent: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let mut readers = Vec::new();
    for user in users {
        let (mut socket, sent, times) = (live_feed(user).await, Arc::clone(&sent), Arc::clone(&times));
        let own = user.id.clone();
        readers.push(tokio::spawn(async move {
            loop {
                let content = socket.event().await["message"]["encryptedContent"].clone();
                let Some((sender, n)) = parse(&content) else { continue };
                if sender != own {
                    let at = sent.lock().unwrap_or_else(PoisonError::into_inner)[n];
                    times.lock().unwrap_or_else(PoisonError::into_inner).push(at.elapsed());
                }
            }
        }));
    }
    let mut tick = interval(Duration::from_secs(1) / SENDS_A_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sends = Vec::new();
    for n in 0..PACED_SENDS {
        tick.tick().await;
        let (from, to) = (users[n % users.len()].clone(), users[(n * 7 + 13) % users.len()].clone());
        sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        sends.push(tokio::spawn(async move {
            from.send(&to, &format!("{} {n}", from.id), &format!("paced-{n}")).await.data();
        }));
    }
    for send in sends {
        send.await.expect("it is sent");
    }
    let begin = Instant::now();
    while times.lock().unwrap_or_else(PoisonError::into_inner).len() < PACED_SENDS {
        assert!(begin.elapsed() < Duration::from_secs(20), "messages are missing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable();
    println!(
        "W5: {} sockets, {SENDS_A_SECOND} sends a second: delivered in {:.1?} median, {:.1?} p99",
        users.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

/// Who sent a message, and which it was.
fn parse(content: &Value) -> Option<(String, usize)> {
    use base64::{Engine, prelude::BASE64_STANDARD};

    let bytes = BASE64_STANDARD.decode(content.as_str()?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (sender, n) = text.split_once(' ')?;
    Some((sender.to_owned(), n.parse().ok()?))
}

/// 1,000 sockets of twenty users, who write to each other as fast as the server takes it.
async fn crowded(server: &Server, users: &[Client]) {
    let delivered = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::new();
    for n in 0..SOCKETS as usize {
        let (mut socket, delivered) = (live_feed(&users[n % users.len()]).await, Arc::clone(&delivered));
        readers.push(tokio::spawn(async move {
            loop {
                assert!(socket.text().await.contains("SENT"));
                delivered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let requests: Vec<_> = (0..CROWD as usize)
        .map(|n| {
            let (from, to) = (&users[n], &users[(n + 7) % users.len()]);
            let input = json!({ "recipientId": to.id, "encryptedContent": "A".repeat(400), "iv": "AAAAAAAAAAAAAAAA",
                "clientMessageId": load::NUMBER });
            super::ask(from, super::SEND, &json!({ "input": input }), "createdAt")
        })
        .collect();
    let (cpu, begin) = (server.cpu(), Instant::now());
    let figures = load::run_for(CROWDED, server.address, &requests.into()).await;
    let (elapsed, count, cpu) = (begin.elapsed(), delivered.load(Ordering::Relaxed), server.cpu().saturating_sub(cpu));
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let rate = count as f64 / elapsed.as_secs_f64();
    println!(
        "W5x: {SOCKETS} sockets of {CROWD} users: {rate:.0} deliveries/s of {:.0} sends/s, {:.1?} of server CPU in {elapsed:.1?}; \
         {} MiB resident",
        figures.rate,
        cpu,
        server.resident_kib() / 1024
    );
    readers.iter().for_each(tokio::task::JoinHandle::abort);
}

/// What a device reads that was away for ten thousand messages.
async fn catch_up(nobody: &Client) {
    let (from, to) = (nobody.register("busy").await, nobody.register("away").await);
    let (mut count, mut round) = (0, 0);
    while count < MISSED {
        round += 1;
        let input = json!({ "recipientId": to.id, "encryptedContent": "A".repeat(400), "iv": "AAAAAAAAAAAAAAAA",
            "clientMessageId": format!("{round}-{}", load::NUMBER) });
        let request = super::ask(&from, super::SEND, &json!({ "input": input }), "createdAt");
        count += load::run(nobody.address, &vec![request].into()).await.times.len();
    }
    let (mut socket, mut events, begin) = (to.socket().await, 0, Instant::now());
    socket.subscribe("feed", FEED, Value::Null).await;
    while !socket.text().await.contains("CAUGHT_UP") {
        events += 1;
    }
    println!("catching up with {events} missed events: {:.0?}", begin.elapsed());
}

/// A feed that has caught up.
async fn live_feed(user: &Client) -> Socket {
    let mut socket = user.socket().await;
    socket.subscribe("feed", FEED, Value::Null).await;
    socket.backlog().await;
    socket
}
