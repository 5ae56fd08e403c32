//! A device that follows a feed while servers and networks fail.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{client::Client, operation};

/// Open feed. Dropping it drops the connection without a close message.
pub struct Follower(WebSocketStream<TcpStream>);

/// Reason why a feed ended.
#[derive(Debug)]
pub enum Broken {
    /// Broken connection, or a close by the node.
    Gone,
    /// Errors that the node returned.
    Refused(Value),
}

impl Follower {
    /// Follows the client's feed after a cursor, at the address of a node or of a proxy.
    pub async fn open(client: &Client, address: SocketAddr, after: Option<&str>) -> Result<Self, Broken> {
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(address).await.map_err(|_| Broken::Gone)?;
        let (mut stream, _) = client_async(request, stream).await?;
        let payload = json!({ "Authorization": format!("Bearer {}", client.token.as_deref().unwrap_or_default()) });
        let subscription = json!({ "query": operation!("message_feed"), "variables": { "after": after } });
        stream.send(message(&json!({ "type": "connection_init", "payload": payload }))).await?;
        stream.send(message(&json!({ "type": "subscribe", "id": "feed", "payload": subscription }))).await?;
        Ok(Self(stream))
    }

    /// Returns the next event.
    pub async fn next(&mut self) -> Result<Value, Broken> {
        loop {
            let text = match self.0.next().await.ok_or(Broken::Gone)?? {
                Message::Text(text) => text,
                Message::Ping(_) | Message::Pong(_) => continue,
                _ => return Err(Broken::Gone),
            };
            let mut message: Value = serde_json::from_str(&text).expect("JSON");
            let mut payload = message["payload"].take();
            match message["type"].as_str() {
                Some("next") if payload.get("errors").is_none() => return Ok(payload["data"]["messageFeed"].take()),
                Some("next") => return Err(Broken::Refused(payload["errors"].take())),
                Some("error") => return Err(Broken::Refused(payload)),
                Some("complete") => return Err(Broken::Gone),
                _ => {}
            }
        }
    }
}

impl From<Error> for Broken {
    fn from(_: Error) -> Self {
        Self::Gone
    }
}

fn message(value: &Value) -> Message {
    Message::text(value.to_string())
}
