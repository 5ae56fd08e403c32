//! The bytes on the wire: HTTP, WebSocket and SSE, their limits, errors and failures.

mod attacks;
mod browser_pages;
mod errors;
mod faults;
mod http;
mod rate_limits;
mod streams;
mod websocket;
