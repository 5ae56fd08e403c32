//! The WebSocket handshake of the graphql-transport-ws protocol.

mod connection;
mod keepalive;
mod operations;
mod protocol;
mod send_queue;

use std::sync::Arc;

use futures_util::StreamExt;
use poem::http::{StatusCode, header};
use poem::web::websocket::{WebSocket, WebSocketConfig, WebSocketStream};
use poem::{IntoResponse, Request, Response};

use crate::config::Sockets;
use crate::domain::Client;
use crate::http::{AppState, answer::Answer, client_info, headers::Origin, transport::negotiation::Media};

/// The only sub-protocol. The older `graphql-ws` is not supported.
const PROTOCOL: &str = "graphql-transport-ws";
/// Size of the read buffer that every open socket holds. A longer message allocates memory while it arrives.
const READ_BUFFER_BYTES: usize = 512;
/// Size from which messages are written before the queue is empty.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Responds to a WebSocket handshake.
pub async fn upgrade(state: &Arc<AppState>, request: &Request, client: Arc<Client>) -> Response {
    let refuse = |status, message: &str| refuse(status, message, &client.request_id);
    let headers = request.headers();
    if Origin::of(headers, &state.deps.http.allowed_origins) == Origin::Foreign {
        return refuse(StatusCode::FORBIDDEN, "This origin may not open a WebSocket.");
    }
    if client_info::text(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
        let mut response = refuse(StatusCode::UPGRADE_REQUIRED, "Use version 13 of the WebSocket protocol.");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
        return response;
    }
    let offered = client_info::text(headers, header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    if !offered.split(',').any(|name| name.trim() == PROTOCOL) {
        return refuse(StatusCode::BAD_REQUEST, "Offer the sub-protocol graphql-transport-ws.");
    }
    let Ok(socket) = <WebSocket as poem::FromRequest>::from_request_without_body(request).await else {
        return refuse(StatusCode::BAD_REQUEST, "This is not a WebSocket handshake.");
    };
    let socket = socket.protocols([PROTOCOL]).config(config(&state.deps.sockets));
    let state = Arc::clone(state);
    let run = move |stream: WebSocketStream| {
        // Split here, because the future would reserve memory for the stream as well as for its halves. Guarded by the
        // benchmark `sockets`.
        let (sink, source) = stream.split();
        let tasks = state.tasks.clone();
        tasks.track_future(connection::run(state, client, sink, source))
    };
    socket.on_upgrade(run).into_response()
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
