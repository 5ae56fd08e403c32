//! The WebSocket handshake of the graphql-transport-ws protocol.

mod connection;
mod keepalive;
mod metered_stream;
mod operations;
mod protocol;
mod send_queue;

use std::sync::Arc;

use futures_util::StreamExt;
use poem::http::{Method, StatusCode, header};
use poem::{Request, Response};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::budget::Holder;
use crate::config::Sockets;
use crate::domain::Client;
use crate::http::answer::{self, Answer};
use crate::http::headers::Origin;
use crate::http::transport::negotiation::Media;
use crate::http::transport::websocket::metered_stream::{MessageMeter, MeteredStream};
use crate::http::{AppState, client_info};

/// The only sub-protocol. The older `graphql-ws` is not supported.
const PROTOCOL: &str = "graphql-transport-ws";
/// Size of the read buffer that every open socket holds. A longer message allocates memory while it arrives.
const READ_BUFFER_BYTES: usize = 512;
/// Size from which messages are written before the queue is empty.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Responds to a WebSocket handshake.
pub fn upgrade(state: &Arc<AppState>, request: &Request, client: Arc<Client>) -> Response {
    let refuse = |status, message: &str| refuse(status, message, &client.request_id);
    let headers = request.headers();
    if Origin::of(headers, &state.deps.http.allowed_origins) == Origin::Foreign {
        return refuse(StatusCode::FORBIDDEN, "This origin is not allowed to open a WebSocket.");
    }
    if client_info::text(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
        let mut response = refuse(StatusCode::UPGRADE_REQUIRED, "Use version 13 of the WebSocket protocol.");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
        return response;
    }
    let offered = client_info::text(headers, header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    if !offered.split(',').any(|name| name.trim() == PROTOCOL) {
        return refuse(StatusCode::BAD_REQUEST, "Request the subprotocol graphql-transport-ws.");
    }
    let is_upgrade = client_info::text(headers, header::CONNECTION)
        .is_some_and(|names| names.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")));
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_upgrade && request.method() == Method::GET);
    let (Some(key), Ok(upgrade)) = (key, request.take_upgrade()) else {
        return refuse(StatusCode::BAD_REQUEST, "The WebSocket handshake is malformed.");
    };
    let holder = Holder::network(client.ip);
    let slot = match state.anonymous_sockets.reserve(holder, 1) {
        Ok(slot) => slot,
        Err(exhausted) => return answer::exhausted(exhausted, &client.request_id),
    };
    let accept = derive_accept_key(key.as_bytes());
    let meter = MessageMeter::anonymous(&state.deps.backend.memory, holder);
    let (config, state) = (config(&state.deps.sockets), Arc::clone(state));
    let tasks = state.tasks.clone();
    tokio::spawn(tasks.track_future(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let stream = MeteredStream::new(upgraded, meter.clone());
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        // Split here: the future of the session would hold the stream as well as its halves. The benchmark
        // `sockets` guards this.
        let (sink, source) = stream.split();
        connection::run(state, client, slot, meter, sink, source).await;
    }));
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .finish()
}

fn refuse(status: StatusCode, message: &str, request_id: &str) -> Response {
    let answer = Answer::rejection(status, message, request_id);
    Response::builder().status(status).header(header::CONTENT_TYPE, Media::Json.of_results()).body(answer.body)
}

/// Returns a socket's settings. The write buffer needs no limit: the session writes single messages and bounds its
/// queue.
fn config(settings: &Sockets) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(settings.message_max_bytes))
        .max_frame_size(Some(settings.message_max_bytes))
}
