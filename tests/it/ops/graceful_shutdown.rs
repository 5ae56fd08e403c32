//! A node that stops while clients write on keep-alive connections: none of them is reset.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qv_tests::{node_process::NodeProcess, patience::until, world::World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

const ROUNDS: usize = 6;
const CLIENTS: usize = 32;
const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn no_request_is_reset_by_a_node_that_stops() {
    let world = World::new().await;
    let mut node = NodeProcess::start(&world, "one", &[]).await;
    let mut unanswered = 0;
    for _ in 0..ROUNDS {
        let answers = Arc::<AtomicUsize>::default();
        let clients: Vec<_> =
            (0..CLIENTS).map(|n| tokio::spawn(write_until_told(node.address, n, Arc::clone(&answers)))).collect();
        until("answers on every connection", async || answers.load(Ordering::Relaxed) >= 10 * CLIENTS).await;

        node.signal("TERM");

        for client in clients {
            let was_answered = client.await.expect("no panic").expect("no reset");
            unanswered += usize::from(!was_answered);
        }
        assert!(node.ended().await.success());
        node.restart().await;
    }
    assert!(unanswered * 10 < ROUNDS * CLIENTS, "{unanswered} requests were closed upon");
}

#[tokio::test]
async fn a_request_that_crosses_the_end_of_its_connection_meets_no_reset() {
    let world = World::new().await;
    let mut node = NodeProcess::start(&world, "one", &[]).await;
    let mut stream = TcpStream::connect(node.address).await.expect("a connection");
    stream.write_all(REQUEST).await.expect("it is written");
    answer(&mut stream).await.expect("no reset").expect("an answer");

    node.signal("TERM");
    assert!(answer(&mut stream).await.expect("no reset").is_none(), "it ends");
    stream.write_all(REQUEST).await.expect("it is written");

    // Over the loopback, a reset would have arrived by now.
    assert!(stream.take_error().expect("the state of the connection").is_none(), "a reset");
    assert_eq!(stream.read(&mut [0]).await.expect("no reset"), 0);
    drop(stream);
    assert!(node.ended().await.success());
}

/// Sends requests until a response announces the end of the connection, or the node closes it; returns whether
/// announced.
async fn write_until_told(address: SocketAddr, n: usize, answers: Arc<AtomicUsize>) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    // Some connections are busy when the node stops, others are idle.
    let mut pace = interval(Duration::from_millis(1 + n as u64 % 20));
    loop {
        pace.tick().await;
        stream.write_all(REQUEST).await?;
        let Some(head) = answer(&mut stream).await? else { return Ok(false) };
        answers.fetch_add(1, Ordering::Relaxed);
        if head.to_ascii_lowercase().contains("connection: close") {
            return Ok(true);
        }
    }
}

/// Reads the next response completely and returns its head; none at the end of the connection.
async fn answer(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = lengths.next().map_or(0, |(_, value)| value.parse().expect("a length"));
        if body.len() >= length {
            return Ok(Some(head.to_owned()));
        }
    }
    Ok(None)
}
