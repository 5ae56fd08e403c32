//! HTTP/1.1 written by hand, for requests that no well-behaved client sends.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);
const DRIP_EVERY: Duration = Duration::from_millis(100);

/// HTTP response.
#[derive(Debug)]
pub struct Raw {
    /// Status code.
    pub status: u16,
    /// Bytes after the head.
    pub body: Vec<u8>,
    head: String,
}

impl Raw {
    /// Returns all values of a header, joined with commas.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let values: Vec<_> =
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the code of the first error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("headers are text");
        let status = head.split(' ').nth(1)?.parse().expect("a status");
        Some(Self { status, head, body: bytes[end + 4..].to_vec() })
    }

    fn is_whole(&self) -> bool {
        self.header("content-length").is_some_and(|length| length.parse() == Ok(self.body.len()))
    }
}

/// Sends a request with these headers and this body. Announces the body's length unless a header frames the body.
pub async fn request(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Raw {
    let mut text = format!("{line} HTTP/1.1\r\nHost: {address}\r\n");
    let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !has("transfer-encoding") && !has("content-length") && !body.is_empty() {
        text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
    }
    if !has("connection") {
        text += "Connection: close\r\n";
    }
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    exchange(address, &(text + "\r\n" + body)).await
}

/// Posts JSON to the GraphQL endpoint.
pub async fn post(address: SocketAddr, headers: &[(&str, &str)], body: &Value) -> Raw {
    let headers = [&[("content-type", "application/json")], headers].concat();
    request(address, "POST /graphql", &headers, &body.to_string()).await
}

/// Requests a page.
pub async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Raw {
    request(address, &format!("GET {target}"), headers, "").await
}

/// Sends `first` and then one `drop` after another; returns the node's output up to its hang-up.
pub async fn drip(address: SocketAddr, first: &str, drop: &str) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.expect("the node accepts").into_split();
    writer.write_all(first.as_bytes()).await.expect("the node listens");
    let dripping = async {
        let mut ticks = interval(DRIP_EVERY);
        while writer.write_all(drop.as_bytes()).await.is_ok() {
            ticks.tick().await;
        }
        std::future::pending::<()>().await;
    };
    let mut bytes = Vec::new();
    let hung_up = async {
        // A connection reset ends the reading as well.
        while matches!(reader.read_buf(&mut bytes).await, Ok(1..)) {}
    };
    let race = async {
        tokio::select! { () = hung_up => {}, () = dripping => {} }
    };
    timeout(PATIENCE, race).await.expect("the node never hangs up");
    String::from_utf8(bytes).expect("text")
}

async fn exchange(address: SocketAddr, text: &str) -> Raw {
    let mut stream = TcpStream::connect(address).await.expect("the node accepts");
    let mut bytes = Vec::new();
    let work = async {
        // A node that rejects a request early may hang up before it has read everything.
        drop(stream.write_all(text.as_bytes()).await);
        while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            if Raw::parse(&bytes).is_some_and(|raw| raw.is_whole()) {
                break;
            }
        }
    };
    timeout(PATIENCE, work).await.expect("no response arrived in time");
    Raw::parse(&bytes).expect("an answer")
}
