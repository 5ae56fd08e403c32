//! Attacks of one client on the memory and the connections of a node. Each leaves its connections open.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::client::{Client, base64};
use crate::operation;

/// Time for a node to accept some connections.
const BETWEEN_PARTS: Duration = Duration::from_millis(20);
/// Bytes of the largest message.
const MESSAGE_BYTES: usize = 64 * 1024;

const UPGRADE: &str = "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";

/// Fills a user's conversation with itself with 60 of the largest messages.
pub async fn fill(user: &Client) {
    let content = base64(vec![7; MESSAGE_BYTES]);
    for id in 0..60 {
        let input = json!({
            "recipientId": user.id, "encryptedContent": content, "iv": base64("twelve bytes"),
            "clientMessageId": id.to_string(),
        });
        user.run(operation!("send_message"), json!({ "input": input })).await.data();
    }
}

/// Returns a query of `pages` pages of the largest messages, each with `copies` of the ciphertext.
#[must_use]
pub fn pages(peer: &Client, pages: usize, copies: usize, first: usize) -> String {
    let content: Vec<_> = (0..copies).map(|n| format!("c{n}: encryptedContent")).collect();
    let content = content.join(" ");
    let page = |n| {
        let messages = format!("messages(first: {first}) {{ nodes {{ {content} }} }}");
        format!("p{n}: conversation(with: \"{}\") {{ {messages} }} ", peer.id)
    };
    format!("{{ viewer {{ {} }} }}", (0..pages).map(page).collect::<String>())
}

/// Opens sockets without a session that announce a long message and never send it. Returns the statuses too.
pub async fn unfinished_messages(address: SocketAddr, count: usize) -> (Vec<Option<u16>>, Vec<TcpStream>) {
    let mut open = join_all((0..count).map(|_| write(address, UPGRADE.as_bytes()))).await;
    let statuses = join_all(open.iter_mut().map(status)).await;
    // The header of a text frame without FIN.
    let mut frame = vec![0x01, 0xff];
    frame.extend(260_000_u64.to_be_bytes());
    frame.extend([0; 4]);
    for stream in &mut open {
        // A refused connection may be closed already.
        let _ = stream.write_all(&frame).await;
    }
    (statuses, open)
}

/// Sends requests whose bodies never end.
pub async fn endless_bodies(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 262144\r\n\r\n";
    let bytes = format!("{head}{}", " ".repeat(200_000));
    join_all((0..count).map(|_| write(address, bytes.as_bytes()))).await
}

/// Sends long heads that never end.
pub async fn endless_heads(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let head = format!("GET /graphql?query={} HTTP/1.1\r\nHost: x\r\n", "x".repeat(70_000));
    join_all((0..count).map(|_| write(address, head.as_bytes()))).await
}

/// Opens connections that send one byte.
pub async fn silent_connections(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    // In parts: the kernel drops what its queue has no room for, and the byte makes it try again soon.
    while open.len() < count {
        let part = (count - open.len()).min(100);
        open.extend(join_all((0..part).map(|_| write(address, b"G"))).await);
        sleep(BETWEEN_PARTS).await;
    }
    open
}

/// Sends a query on many connections and reads no answer.
pub async fn unread_answers(user: &Client, query: &str, count: usize) -> Vec<TcpStream> {
    let request = post(user, query);
    let unread = async |_| {
        let socket = TcpSocket::new_v4().expect("a socket");
        // A small window, so that the node cannot hand the answer to the kernel.
        socket.set_recv_buffer_size(4_096).expect("a window");
        let mut stream = socket.connect(user.address).await.expect("the node accepts");
        stream.write_all(request.as_bytes()).await.expect("the node listens");
        stream
    };
    join_all((0..count).map(unread)).await
}

/// Returns a signed-in request for a query, as bytes.
#[must_use]
pub fn post(user: &Client, query: &str) -> String {
    let (token, body) = (user.token.as_deref().expect("a session"), json!({ "query": query }).to_string());
    format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Follows the feed many times on many sockets, and reads nothing.
pub async fn unread_feeds(user: &Client, sockets: usize, feeds: usize) -> Vec<crate::socket::Socket> {
    let mut open = Vec::new();
    for _ in 0..sockets {
        let mut socket = user.socket().await;
        for id in 0..feeds {
            let query = "subscription { messageFeed { kind message { encryptedContent } } }";
            socket.subscribe(&id.to_string(), query, Value::Null).await;
        }
        open.push(socket);
    }
    open
}

/// Returns the status of the response on a connection; none if the node closes it without one.
pub async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut head = Vec::new();
    while !head.windows(2).any(|two| two == b"\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or_default() == 0 {
            return None;
        }
    }
    String::from_utf8_lossy(&head).split(' ').nth(1)?.parse().ok()
}

/// Writes bytes on a new connection, and leaves it open.
async fn write(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the node accepts");
    // A node that refuses may close before all is written.
    let _ = stream.write_all(bytes).await;
    stream
}
