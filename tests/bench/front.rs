//! The share of poem's own speed that remains with all guards on: the cached viewer against a constant body.

use std::{net::SocketAddr, path::Path, process::Command};

use poem::{Route, Server as Poem, endpoint::make_sync, listener::TcpListener};
use qv_tests::{client::Client, node_process::free_address};

use super::server::Server;

const ROUNDS: usize = 3;
const QUERY: &str = "{ viewer { user { username } } }";

pub async fn measure(folder: &Path) {
    let server = Server::start(folder).await;
    let user = Client::new(server.address).register(&format!("front{}", std::process::id())).await;
    let body = user.run(QUERY, serde_json::Value::Null).await.0.to_string();
    let constant = free_address();
    let route = Route::new().at("/graphql", make_sync(move |_| body.clone()));
    let serving = tokio::spawn(Poem::new(TcpListener::bind(constant)).run(route));

    let token = user.token.unwrap_or_default();
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let cpu = server.cpu();
        let rate = load(server.address, &token).await;
        let each = server.cpu().saturating_sub(cpu).as_secs_f64() / (rate * 5.0) * 1e6;
        let constant = load(constant, &token).await;
        println!(
            "front: {rate:.0} requests/s at {each:.1} µs of server CPU each, constant body {constant:.0} requests/s, ratio {:.2}",
            rate / constant
        );
        ours.push(rate);
        floor.push(constant);
    }
    println!("front: ratio {:.2} over all rounds", ours.iter().sum::<f64>() / floor.iter().sum::<f64>());
    serving.abort();
}

/// Returns the requests per second that wrk counts. Every response must be 200.
async fn load(address: SocketAddr, token: &str) -> f64 {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/post.lua");
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c32", "-d5s", "-s", script, &format!("http://{address}/graphql")]);
    wrk.env("BENCH_TOKEN", token).env("BENCH_QUERY", QUERY);
    let output = tokio::task::spawn_blocking(move || wrk.output()).await.expect("wrk runs").expect("install wrk");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("wrk printed no rate: {text}"))
}
