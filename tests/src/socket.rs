//! A client of the graphql-transport-ws protocol.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);
const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

/// Open socket.
#[derive(Debug)]
pub struct Socket {
    /// Headers of the node's upgrade response.
    pub headers: HeaderMap,
    stream: WebSocketStream<TcpStream>,
}

/// Close of a socket by the node.
#[derive(Debug)]
pub struct Closing {
    /// Protocol messages received before the close.
    pub messages: Vec<Value>,
    /// Close code.
    pub code: u16,
    /// Close reason.
    pub reason: String,
}

impl Socket {
    /// Opens a socket and waits until it is acknowledged.
    pub async fn open(address: SocketAddr, token: Option<&str>) -> Self {
        Self::try_open(address, token).await.expect("the node acknowledges")
    }

    /// Opens a socket and waits until it is acknowledged or closed.
    pub async fn try_open(address: SocketAddr, token: Option<&str>) -> Result<Self, Closing> {
        let mut socket = Self::connect(address).await;
        let payload = token.map(|token| json!({ "Authorization": format!("Bearer {token}") }));
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        let message = socket.try_receive().await?;
        assert_eq!(message["type"], "connection_ack");
        Ok(socket)
    }

    /// Connects without sending a message.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::upgrade(address, &[PROTOCOL]).await.expect("the node upgrades")
    }

    /// Connects with these headers; returns the status if the node rejects the upgrade.
    pub async fn upgrade(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("an address");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let stream = TcpStream::connect(address).await.expect("the node accepts");
        match client_async(request, stream).await {
            Ok((stream, response)) => Ok(Self { headers: response.headers().clone(), stream }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("neither upgraded nor rejected: {error}"),
        }
    }

    /// Sends a protocol message.
    pub async fn send(&mut self, message: Value) {
        self.frame(Message::text(message.to_string())).await;
    }

    /// Sends a frame unchanged.
    pub async fn frame(&mut self, message: Message) {
        self.stream.send(message).await.expect("the socket is open");
    }

    /// Sends a text message as one frame for each part.
    pub async fn fragments(&mut self, parts: &[&str]) {
        for (index, part) in parts.iter().enumerate() {
            let data = if index == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(part.to_string(), OpCode::Data(data), index + 1 == parts.len());
            self.frame(Message::Frame(frame)).await;
        }
    }

    /// Sends a new token over the open socket.
    pub async fn renew(&mut self, token: &str) {
        let payload = json!({ "Authorization": format!("Bearer {token}") });
        self.send(json!({ "type": "ping", "payload": payload })).await;
    }

    /// Sends a ping and waits for its pong, which fails on a closed socket.
    pub async fn answers_pings(&mut self) {
        let payload = json!({ "from": "a test" });
        self.send(json!({ "type": "ping", "payload": payload })).await;
        while self.receive().await != json!({ "type": "pong", "payload": payload }) {}
    }

    /// Starts an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    /// Returns the next protocol message.
    pub async fn receive(&mut self) -> Value {
        self.try_receive().await.expect("the socket stays open")
    }

    /// Returns the code that the node closes the socket with. Skips messages before it.
    pub async fn closed(&mut self) -> u16 {
        self.closing().await.code
    }

    /// Waits until the node closes the socket; returns the close and the messages before it.
    pub async fn closing(&mut self) -> Closing {
        let mut messages = Vec::new();
        loop {
            match self.try_receive().await {
                Ok(message) => messages.push(message),
                Err(closing) => return Closing { messages, ..closing },
            }
        }
    }

    /// Returns the next event of the feed that this socket follows.
    pub async fn event(&mut self) -> Value {
        let message = self.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        assert!(message["payload"].get("errors").is_none(), "{message}");
        message["payload"]["data"]["messageFeed"].clone()
    }

    /// Returns the feed's events up to CAUGHT_UP, and the cursor of CAUGHT_UP.
    pub async fn backlog(&mut self) -> (Vec<Value>, String) {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            if event["kind"] == "CAUGHT_UP" {
                return (events, event["cursor"].as_str().expect("a cursor").to_owned());
            }
            events.push(event);
        }
    }

    /// Returns the next protocol message unparsed, for tests that count more than they read.
    pub async fn text(&mut self) -> Utf8Bytes {
        self.try_text().await.expect("the socket stays open")
    }

    async fn try_receive(&mut self) -> Result<Value, Closing> {
        Ok(serde_json::from_str(&self.try_text().await?).expect("JSON"))
    }

    async fn try_text(&mut self) -> Result<Utf8Bytes, Closing> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("no message arrived in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(Some(frame)))) => {
                    let (code, reason) = (frame.code.into(), frame.reason.to_string());
                    return Err(Closing { messages: Vec::new(), code, reason });
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("neither a message nor a close code: {other:?}"),
            }
        }
    }
}
