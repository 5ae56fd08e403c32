//! The memory cost of an open socket with a feed.

use std::path::Path;

use qv_tests::client::Client;

use super::server::{Server, binary};

pub async fn measure(folder: &Path, count: u64) {
    let environment = [("QUANTUMVAULT__HTTP__MAX_CONNECTIONS", "100000")];
    let server = Server::start_with(&binary(), folder, &environment).await;
    let name = format!("user{}", std::process::id());
    let user = Client::new(server.address).register(&name).await;
    let before = server.resident_kib();
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = user.feed(None).await;
        socket.backlog().await;
        sockets.push(socket);
    }
    let grown = server.resident_kib() - before;
    println!(
        "{count} sockets with a feed each: {:.1} KiB a socket, {} MiB resident",
        tenths(grown * 10 / count),
        (before + grown) / 1024
    );
}

fn tenths(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / 10.0
}
