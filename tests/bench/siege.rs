//! The delay of one user's requests while another client attacks the node, at default limits.

use std::path::Path;
use std::time::{Duration, Instant};

use qv_tests::attacks::{self, pages};
use qv_tests::client::Client;
use serde_json::Value;

use super::logins::percentile;
use super::server::{Server, binary};

/// Requests that are timed during each attack, and the interval between them.
const REQUESTS: usize = 300;
const INTERVAL: Duration = Duration::from_millis(10);
const VIEWER: &str = "{ viewer { user { username } } }";

pub async fn measure(folder: &Path) {
    // The servers of these benchmarks have no rate limits. This one has the defaults.
    let environment = [
        ("QUANTUMVAULT__RATE_LIMITS__ENABLED", "true"),
        ("QUANTUMVAULT__SOCKETS__MAX_PER_USER", "10"),
        ("QUANTUMVAULT__BUDGETS__CONNECTIONS_PER_ADDRESS", "1000"),
    ];
    let server = Server::start_with(&binary(), folder, &environment).await;
    let (address, suffix) = (server.address, std::process::id());
    let bob = Client::new(address).from_address([127, 0, 0, 2].into()).register(&format!("bob{suffix}")).await;
    let mallory = Client::new(address).register(&format!("mallory{suffix}")).await;
    attacks::fill(&mallory).await;
    let page = pages(&mallory, 5, 1, 16);

    report("no attack", &bob, &server, async {}).await;
    report("300 unfinished messages", &bob, &server, attacks::unfinished_messages(address, 300)).await;
    report("400 endless bodies", &bob, &server, attacks::endless_bodies(address, 400)).await;
    report("600 endless heads", &bob, &server, attacks::endless_heads(address, 600)).await;
    report("1,000 silent connections", &bob, &server, attacks::silent_connections(address, 1_000)).await;
    report("90 unread answers of 7 MB", &bob, &server, attacks::unread_answers(&mallory, &page, 90)).await;
    report("500 unread feeds", &bob, &server, attacks::unread_feeds(&mallory, 10, 50)).await;
}

/// Runs an attack beside the requests of a user, and prints the delay of these.
async fn report<T>(name: &str, bob: &Client, server: &Server, attack: impl Future<Output = T>) {
    let requests = async {
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let asked = Instant::now();
            bob.run(VIEWER, Value::Null).await.data();
            times.push(asked.elapsed());
            tokio::time::sleep(INTERVAL).await;
        }
        times
    };
    let (held, mut times) = tokio::join!(attack, requests);
    let resident = server.resident_kib() / 1024;
    let (median, slowest) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("{name}: another user's requests p50 {median:.1?}, p99 {slowest:.1?}; {resident} MiB resident");
    drop(held);
}
