//! GraphQL over HTTP, Server-Sent Events and WebSocket.

pub mod http;
pub mod negotiation;
pub mod request_body;
pub mod sse;
pub mod stream_auth;
pub mod websocket;
