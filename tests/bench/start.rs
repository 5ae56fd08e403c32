//! How soon the server is ready on an existing database, and how much it holds while nobody asks.

use std::path::Path;

use super::server::{Server, binary};

pub async fn measure(folder: &Path) {
    drop(Server::start(folder).await);
    let mut times = Vec::new();
    let mut resident = 0;
    for _ in 0..10 {
        let server = Server::start(folder).await;
        times.push(server.ready_in);
        resident = resident.max(server.resident_kib());
    }
    times.sort_unstable();
    let size = std::fs::metadata(binary()).expect("the binary").len();
    println!("start, existing database: {:.0?} fastest, {:.0?} median of 10", times[0], times[5]);
    println!("idle: {:.1} MiB resident; binary: {:.1} MiB", mib(resident * 1024), mib(size));
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
