//! The accept loop: limits connections, sets their timeouts, and stops without dropping clients.
//!
//! Closing a connection while unread data arrives resets it. A reset can take a response from a client that has not
//! read it yet. So a connection closes in two steps. The node shuts down its own side, then reads until the client
//! closes the other.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use poem::http::header::CONNECTION;
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, StatusCode};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, unconstrained};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::budget::{Budget, Exhausted, Holder};
use crate::config::Http;
use crate::http::AppState;
use crate::http::server::deadline::Timer;
use crate::http::server::stream::{Guarded, Head, give_up_within};

/// Room for the longest request target that HTTP libraries send, 64 KiB, and for the other headers. A longer target
/// fails with 414, longer headers with 431.
const HEAD_MAX_BYTES: usize = 80 * 1024;
/// Delay after file descriptors run out. Meanwhile other connections close.
const BACK_OFF: Duration = Duration::from_millis(100);
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// Time that a stopping node leaves idle connections open. A request already on its way is served, and its
/// connection then closes.
const LAST_REQUEST: Duration = Duration::from_millis(500);
/// Time for a connection over the limit to send its request.
const EXCESS_HEADER_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of connections over the limits served at once. Their health checks succeed, other requests fail.
const EXCESS_MAX: usize = 256;

/// Serves until the server is stopped. Then stops accepting, lets requests finish and closes sockets. Returns when all
/// tasks have ended or the drain time is over.
pub async fn serve<E>(listener: TcpListener, endpoint: E, state: Arc<AppState>, connections: Arc<Budget>)
where
    E: Endpoint<Output = Response> + 'static,
{
    let settings = &state.deps.http;
    let server = Arc::new(Server {
        endpoint,
        http: builder(settings),
        stop: state.stop.clone(),
        cut: CancellationToken::new(),
        write_timeout: Duration::from_secs(settings.write_timeout_seconds),
        connections,
        excess: Mutex::default(),
    });
    tokio::select! {
        () = state.stop.cancelled() => {}
        () = accept(&listener, &server, &state) => {}
    }
    accept_waiting(&listener, &server, &state);
    drop(listener);
    state.tasks.close();
    if timeout(Duration::from_secs(settings.drain_seconds), state.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = state.tasks.len(), "connections did not finish in time; closing them");
        server.cut.cancel();
    }
}

struct Server<E> {
    endpoint: E,
    http: http1::Builder,
    stop: CancellationToken,
    /// Token that ends the connections still open after the drain time.
    cut: CancellationToken,
    write_timeout: Duration,
    /// Open connections within the limits.
    connections: Arc<Budget>,
    /// Tasks of the latest connections over the limits.
    excess: Mutex<VecDeque<AbortHandle>>,
}

/// Returns a server for HTTP/1.1 only. HTTP/2 is left to a proxy, with its flood attacks.
fn builder(settings: &Http) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Also applies before the first byte and between requests.
        .header_read_timeout(Duration::from_secs(settings.header_timeout_seconds))
        .max_buf_size(HEAD_MAX_BYTES);
    builder
}

/// Accepts connections until it is cancelled.
async fn accept<E>(listener: &TcpListener, server: &Arc<Server<E>>, state: &AppState)
where
    E: Endpoint<Output = Response> + 'static,
{
    let mut complained: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => server.begin(state, stream, peer),
            // The client disconnected before it was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    tracing::error!(%error, "connections cannot be accepted: raise the limit of open files");
                    complained = Some(Instant::now());
                }
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Accepts clients that the kernel has already connected. It would reset those left in its queue.
fn accept_waiting<E>(listener: &TcpListener, server: &Arc<Server<E>>, state: &AppState)
where
    E: Endpoint<Output = Response> + 'static,
{
    loop {
        // Without tokio's cooperative budget, which runs out before a long queue is empty.
        match unconstrained(listener.accept()).now_or_never() {
            Some(Ok((stream, peer))) => server.begin(state, stream, peer),
            Some(Err(error)) if is_of_the_connection(&error) => {}
            Some(Err(_)) | None => return,
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Returns the holder of a connection. Trusted proxies carry the connections of many clients.
fn holder(address: IpAddr, settings: &Http) -> Holder {
    let is_trusted = settings.trusted_proxies.iter().any(|network| network.contains(address.to_canonical()));
    if is_trusted { Holder::Proxy } else { Holder::network(Some(address)) }
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves a connection. A connection over the limit gets a single request.
    fn begin(self: &Arc<Self>, state: &AppState, stream: TcpStream, peer: SocketAddr) {
        // Responses are written in one piece. Waiting to fill a packet would only add delay.
        if stream.set_nodelay(true).and_then(|()| give_up_within(&stream, self.write_timeout)).is_err() {
            return;
        }
        let holder = holder(peer.ip(), &state.deps.http);
        let (slot, exhausted) = match self.connections.reserve(holder, 1) {
            Ok(slot) => (Some(slot), None),
            Err(exhausted) => (None, Some(exhausted)),
        };
        let local = LocalAddr(stream.local_addr().map(Addr::socket).unwrap_or_default());
        let head = Head::new(state.deps.backend.memory.nothing(holder));
        let stream = Guarded::new(stream, slot, head.clone(), self.write_timeout, state.tasks.clone());
        let peer = RemoteAddr(Addr::socket(peer));
        let task = state.tasks.spawn(Arc::clone(self).connection(stream, head, exhausted, local, peer));
        if exhausted.is_some() {
            self.make_room(task.abort_handle());
        }
    }

    /// Adds a connection over the limits, and aborts the oldest if they are too many. A client with a request sends it
    /// at once, so the oldest has had its time.
    fn make_room(&self, newest: AbortHandle) {
        let mut excess = self.excess.lock();
        if excess.len() == EXCESS_MAX
            && let Some(oldest) = excess.pop_front()
        {
            oldest.abort();
        }
        excess.push_back(newest);
    }

    async fn connection(
        self: Arc<Self>,
        stream: Guarded,
        head: Head,
        exhausted: Option<Exhausted>,
        local: LocalAddr,
        remote: RemoteAddr,
    ) {
        let (server, head) = (&self, &head);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            head.complete();
            if let Some(exhausted) = exhausted {
                request.extensions_mut().insert(exhausted);
            }
            let request = (request, local.clone(), remote.clone(), Scheme::HTTP);
            async move {
                let mut response = server.endpoint.get_response(request.into()).await;
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    head.expect();
                    if exhausted.is_some() || server.stop.is_cancelled() {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                }
                Ok::<hyper::Response<_>, Infallible>(response.into())
            }
        });
        let mut http = self.http.clone();
        http.timer(Timer::default());
        if exhausted.is_some() {
            http.header_read_timeout(EXCESS_HEADER_TIMEOUT);
        }
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = self.stop.cancelled() => {}
        }
        tokio::select! {
            _ = &mut connection => return,
            () = sleep(LAST_REQUEST) => connection.as_mut().graceful_shutdown(),
            () = self.cut.cancelled() => return,
        }
        tokio::select! {
            _ = connection => {}
            () = self.cut.cancelled() => {}
        }
    }
}
