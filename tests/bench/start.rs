//! The time until the server is ready on an existing database, and its memory without requests.

use std::{path::Path, time::Duration};

use qv_tests::client::Client;

use super::server::{Server, binary};

/// Number of health probes before the memory of a watched server is read.
const PROBES: u32 = 10;

pub async fn measure(folder: &Path) {
    drop(Server::start(folder).await);
    let mut times = Vec::new();
    let mut resident = 0;
    for _ in 0..10 {
        let server = Server::start(folder).await;
        times.push(server.ready_in);
        resident = resident.max(server.resident_kib());
    }
    let watched = watched(folder).await;
    times.sort_unstable();
    let size = std::fs::metadata(binary()).expect("the binary").len();
    println!("start, existing database: {:.0?} fastest, {:.0?} median of 10", times[0], times[5]);
    println!(
        "idle: {:.1} MiB resident once it is probed, {:.1} MiB when it becomes ready; binary: {:.1} MiB",
        mib(watched * 1024),
        mib(resident * 1024),
        mib(size)
    );
}

/// Returns the memory of a server that receives only health probes.
async fn watched(folder: &Path) -> u64 {
    let server = Server::start(folder).await;
    for _ in 0..PROBES {
        reqwest::get(Client::new(server.address).url("/health/ready")).await.expect("the server responds");
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    server.resident_kib()
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
