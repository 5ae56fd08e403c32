//! A client of the graphql-sse protocol in distinct connections mode.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::client::Client;

/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Open event stream.
pub struct Events {
    response: Response,
    received: Vec<u8>,
}

/// Event of a stream.
#[derive(Debug)]
pub struct Event {
    /// `next` or `complete`.
    pub name: String,
    /// Id to resume the stream after, if the event has one.
    pub id: Option<String>,
    /// GraphQL response; null if the event is empty.
    pub data: Value,
}

impl Events {
    /// Starts an operation as this client, after the last received event.
    pub async fn open(client: &Client, query: &str, last_event_id: Option<&str>) -> Self {
        let response = Self::ask(client, query, last_event_id).await;
        assert_eq!(response.status(), 200);
        let media = response.headers()["content-type"].to_str().expect("text");
        assert!(media.starts_with("text/event-stream"), "{media}");
        Self { response, received: Vec::new() }
    }

    /// Starts an operation; returns the response if the node rejects it.
    pub async fn try_open(client: &Client, query: &str) -> Result<Self, Response> {
        let response = Self::ask(client, query, None).await;
        if response.status() == 200 { Ok(Self { response, received: Vec::new() }) } else { Err(response) }
    }

    async fn ask(client: &Client, query: &str, last_event_id: Option<&str>) -> Response {
        let mut request = reqwest::Client::new().post(client.url("/graphql")).header("accept", "text/event-stream");
        if let Some(token) = &client.token {
            request = request.bearer_auth(token);
        }
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        request.json(&json!({ "query": query })).send().await.expect("the node answers")
    }

    /// Returns the next event, without comments; none when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name| block.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned()));
            if let Some(name) = field("event:") {
                let data = field("data:").filter(|data| !data.is_empty());
                let data = data.map_or(Value::Null, |data| serde_json::from_str(&data).expect("JSON"));
                return Some(Event { name, id: field("id:"), data });
            }
        }
    }

    /// Returns the next event or comment unparsed; none when the stream has ended.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.received.drain(..end + 2).collect();
                return Some(String::from_utf8(block).expect("text"));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("no event arrived in time");
            self.received.extend(chunk.expect("the stream is in order")?);
        }
    }

    /// Returns the next event of a feed, whose event id must be its cursor.
    pub async fn feed_event(&mut self) -> Value {
        let event = self.next().await.expect("the stream goes on");
        let item = &event.data["data"]["messageFeed"];
        assert_eq!((event.name.as_str(), event.id.as_deref()), ("next", item["cursor"].as_str()), "{:?}", event.data);
        item.clone()
    }
}
