//! Works on databases of several sizes, to find costs that grow.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::server::binary;
use super::Trial;
use super::figures::{Round, Rounds};
use super::load::Request;
use super::seed::username;
use super::works::{Mode, Work, query};
use super::world::{Shape, World};

const ROUNDS: usize = 3;
/// Users who query their unread counts and resume their feeds.
const READERS: usize = 64;
/// Messages that a device has missed before it resumes its feed.
const MISSED: u32 = 20;
const UNREAD: &str = "{ viewer { unreadCount } }";
const FEED_END: &str = "subscription { messageFeed { cursor kind } }";
const RESUME: &str = "query R($after: String!, $first: Int!) { viewer { messageFeed(after: $after, first: $first) {
    events { cursor kind message { id encryptedContent createdAt sender { username } } } endCursor hasMore } } }";

/// Measures at several sizes. All databases exist from the start and are measured in turn.
pub async fn grow(trial: &Trial<'_>, sizes: &[u32]) {
    let shape = Shape::start(trial.is_embedded).await;
    let (mut worlds, mut works) = (Vec::new(), Vec::new());
    for &messages in sizes {
        worlds.push(World::fill(&shape, &binary(), &trial.folder.join(messages.to_string()), messages).await);
    }
    for world in &mut worlds {
        let mut of_this = Vec::new();
        for name in ["W1", "W2", "W3", "W6c"] {
            of_this.push(Work::new(world, name).await);
        }
        of_this.extend(small_works(world).await);
        // Sends come last, because they enlarge a small database.
        of_this.push(Work::new(world, "W4").await);
        works.push(of_this);
    }
    for n in 0..works[0].len() {
        // Equal numbers of users, because the number decides how much they share and how long they wait.
        let count = works.iter().map(|works| works[n].ours.len()).min().unwrap_or_default();
        println!("{}: {count} users or conversations at each size", works[0][n].title);
        for works in &mut works {
            works[n].truncate(count);
        }
    }
    let columns: Vec<_> = sizes.iter().map(|messages| format!("{messages} messages")).collect();
    println!("\n| work | {} | most to least |\n| --- |{} --- |", columns.join(" | "), " --- |".repeat(sizes.len()));
    for n in 0..works[0].len() {
        let mut seen: Vec<_> = sizes.iter().map(|_| Rounds::default()).collect();
        for _ in 0..ROUNDS {
            for ((world, works), seen) in worlds.iter_mut().zip(&works).zip(&mut seen) {
                seen.push(world.round(&shape, &works[n]).await);
            }
        }
        let rates: Vec<_> = seen.iter().map(|rounds| rounds.median(Round::rate)).collect();
        // A shorter response takes less time, whatever the size of the database.
        let cells: Vec<_> =
            rates.iter().zip(&seen).map(|(rate, seen)| format!("{rate:.0} ({} bytes)", seen.bytes())).collect();
        let (least, most) =
            rates.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
        println!("| {} | {} | {:.2} |", works[0][n].title, cells.join(" | "), most / least);
    }
}

/// Creates works with responses too small to compare with a floor: counts, and a feed that resumes.
async fn small_works(world: &mut World) -> [Work; 2] {
    let (mut counts, mut resumes) = (Vec::new(), Vec::new());
    let users: Vec<_> = world.seed.users_with(20).into_iter().take(READERS).collect();
    let last = world.seed.size.users;
    let sender = world.sign_in([last]).await.remove(0);
    assert_eq!(sender.username, username(last));
    for user in world.sign_in(users).await {
        let mut socket = user.socket().await;
        socket.subscribe("feed", FEED_END, Value::Null).await;
        let (_, end) = socket.backlog().await;
        for n in 0..MISSED {
            sender.send(&user, "missed", &format!("{}-{n}", user.username)).await.data();
        }
        counts.push(query(&user, UNREAD, &Value::Null, "unreadCount"));
        resumes.push(query(&user, RESUME, &json!({ "after": end, "first": MISSED }), "\"hasMore\":false"));
    }
    [work("unread counts", counts), work("a feed that resumes, 20 events missed", resumes)]
}

fn work(title: &'static str, ours: Vec<Request>) -> Work {
    Work { title, mode: Mode::Loop, ours: Arc::new(ours), floor: Arc::default() }
}
