//! What an open socket with a feed costs in memory.

use std::path::Path;

use qv_tests::client::Client;

use super::server::Server;

const SOCKETS: u64 = 1_000;

pub async fn measure(folder: &Path) {
    let server = Server::start(folder).await;
    let name = format!("user{}", std::process::id());
    let user = Client::new(server.address).register(&name).await;
    let before = server.resident_kib();
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let mut socket = user.feed(None).await;
        socket.backlog().await;
        sockets.push(socket);
    }
    let grown = server.resident_kib() - before;
    println!("{SOCKETS} sockets with a feed each: {} KiB a socket", grown / SOCKETS);
}
