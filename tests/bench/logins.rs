//! The cost of a flood of sign-ins for other requests, and the delay until a revocation closes a socket.

use std::path::Path;
use std::time::{Duration, Instant};

use qv_tests::client::Client;
use serde_json::{Value, json};

use super::server::Server;

const LOGINS: usize = 200;
const REVOCATIONS: usize = 20;
const LOGIN: &str = "mutation L($input: LoginInput!) { login(input: $input) { accessToken } }";
const VIEWER: &str = "{ viewer { user { username } } }";

pub async fn measure(folder: &Path) {
    let server = Server::start(folder).await;
    let user = Client::new(server.address).register(&format!("flood{}", std::process::id())).await;
    flood(&server, &user).await;
    revoke(folder, &server).await;
}

async fn flood(server: &Server, user: &Client) {
    let before = server.resident_kib();
    let input = json!({ "input": { "login": user.username, "password": "not the right one" } });
    let begin = Instant::now();
    let logins: Vec<_> = (0..LOGINS)
        .map(|_| {
            let (client, input) = (Client::new(server.address), input.clone());
            tokio::spawn(async move { client.run(LOGIN, input).await.error().0.to_owned() })
        })
        .collect();
    let (mut others, mut peak) = (Vec::new(), before);
    while !logins.iter().all(tokio::task::JoinHandle::is_finished) {
        let asked = Instant::now();
        user.run(VIEWER, Value::Null).await.data();
        others.push(asked.elapsed());
        peak = peak.max(server.resident_kib());
    }
    let took = begin.elapsed();
    let mut refused = 0;
    for login in logins {
        refused += usize::from(login.await.expect("an answer") == "UNAVAILABLE");
    }
    println!(
        "{LOGINS} sign-ins at once: {took:.1?}, {refused} rejected with UNAVAILABLE; meanwhile {} other requests, p99 {:.1?}; \
         {} MiB more resident at the peak",
        others.len(),
        percentile(&mut others, 99),
        (peak - before) / 1024
    );
}

/// Measures revocations on two nodes if the environment names a cluster, otherwise on one.
async fn revoke(folder: &Path, one: &Server) {
    let is_clustered = std::env::var_os("QUANTUMVAULT__REDIS__URL").is_some();
    let two = if is_clustered { Some(Server::start(&folder.join("two")).await) } else { None };
    let there = two.as_ref().map_or(one.address, |server| server.address);
    let mut times = Vec::new();
    for round in 0..REVOCATIONS {
        let name = format!("gone{}-{round}", std::process::id());
        let user = Client::new(one.address).register(&name).await;
        let mut socket = user.at(there).feed(None).await;
        socket.backlog().await;
        let asked = Instant::now();
        user.run("mutation { logout { revokedSessionId } }", Value::Null).await.data();
        assert_eq!(socket.closed().await, 4403);
        times.push(asked.elapsed());
    }
    let nodes = if is_clustered { "two nodes" } else { "one node" };
    println!(
        "logout to closed socket, {nodes}: {:.1?} median, {:.1?} slowest of {REVOCATIONS}",
        percentile(&mut times, 50),
        percentile(&mut times, 100)
    );
}

pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
