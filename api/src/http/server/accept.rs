//! The accept loop: limits connections, sets their timeouts, and stops without dropping clients.
//!
//! Closing a connection while unread data arrives resets it. A reset can take a response from a client that has not
//! read it yet. So a connection closes in two steps. The node shuts down its own side, then reads until the client
//! closes the other.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use poem::http::header::CONNECTION;
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, StatusCode};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Http;
use crate::http::{AppState, server::deadline::Timer};

/// Room for the longest request target that HTTP libraries send, 64 KiB, and for the other headers. A longer target
/// fails with 414, longer headers with 431.
const HEAD_MAX_BYTES: usize = 80 * 1024;
/// Delay after file descriptors run out. Meanwhile other connections close.
const BACK_OFF: Duration = Duration::from_millis(100);
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// Time that a stopping node leaves idle connections open. A request already on its way is served, and its
/// connection then closes.
const LAST_REQUEST: Duration = Duration::from_millis(500);
/// Time for a client to close its side after the server has closed its own.
const LAST_READ: Duration = Duration::from_secs(1);
/// Limit in bytes up to which the pieces of a response are copied together and written at once.
const TOGETHER: usize = 2048;

/// Serves until the server is stopped. Then stops accepting, lets requests finish and closes sockets. Returns when all
/// tasks have ended or the drain time is over.
pub async fn serve<E>(listener: TcpListener, endpoint: E, state: Arc<AppState>)
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
    });
    let places = Arc::new(Semaphore::new(settings.max_connections));
    tokio::select! {
        () = state.stop.cancelled() => {}
        () = accept(&listener, &server, &state, &places) => {}
    }
    accept_waiting(&listener, &server, &state, &places);
    drop(listener);
    state.tasks.close();
    if timeout(Duration::from_secs(settings.drain_seconds), state.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = state.tasks.len(), "connections did not end in time and are cut");
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

/// Accepts connections without end. At the connection limit, new ones wait in the kernel's queue.
async fn accept<E>(listener: &TcpListener, server: &Arc<Server<E>>, state: &AppState, places: &Arc<Semaphore>)
where
    E: Endpoint<Output = Response> + 'static,
{
    let mut complained: Option<Instant> = None;
    while let Ok(place) = Arc::clone(places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => server.begin(state, (stream, peer), place),
            // The client disconnected before it was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    tracing::error!(%error, "no connection can be accepted: raise the limit of open files");
                    complained = Some(Instant::now());
                }
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Accepts clients that the kernel has already connected. It would reset those left in its queue.
fn accept_waiting<E>(listener: &TcpListener, server: &Arc<Server<E>>, state: &AppState, places: &Arc<Semaphore>)
where
    E: Endpoint<Output = Response> + 'static,
{
    while let Ok(place) = Arc::clone(places).try_acquire_owned() {
        // Without tokio's cooperative budget, which runs out before a long queue is empty.
        match unconstrained(listener.accept()).now_or_never() {
            Some(Ok(accepted)) => server.begin(state, accepted, place),
            Some(Err(error)) if is_of_the_connection(&error) => {}
            Some(Err(_)) | None => return,
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    fn begin(self: &Arc<Self>, state: &AppState, (stream, peer): (TcpStream, SocketAddr), place: OwnedSemaphorePermit) {
        // Responses are written in one piece. Waiting to fill a packet would only add delay.
        if stream.set_nodelay(true).and_then(|()| give_up_within(&stream, self.write_timeout)).is_err() {
            return;
        }
        let local = LocalAddr(stream.local_addr().map(Addr::socket).unwrap_or_default());
        let stream = Guarded {
            stream: Some(stream),
            place: Some(place),
            is_over: false,
            stalled: None,
            write_timeout: self.write_timeout,
            tasks: state.tasks.clone(),
        };
        state.tasks.spawn(Arc::clone(self).connection(stream, local, RemoteAddr(Addr::socket(peer))));
    }

    async fn connection(self: Arc<Self>, stream: Guarded, local: LocalAddr, remote: RemoteAddr) {
        let server = &self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let request = (request, local.clone(), remote.clone(), Scheme::HTTP);
            async move {
                let mut response = server.endpoint.get_response(request.into()).await;
                if server.stop.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<hyper::Response<_>, Infallible>(response.into())
            }
        });
        let mut http = self.http.clone();
        http.timer(Timer::default());
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

/// Sets the time after which the kernel gives up a client that acknowledges nothing (RFC 5482). Writes alone show its
/// absence only once the kernel's buffer is full. An event stream would keep its user's slot for a quarter of an hour.
fn give_up_within(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(patience))?;
    Ok(())
}

/// Connection that releases its permit when closed, and fails when its client stops reading.
struct Guarded {
    /// Taken on drop, together with `place`.
    stream: Option<TcpStream>,
    place: Option<OwnedSemaphorePermit>,
    /// Whether no more data can come from the client.
    is_over: bool,
    stalled: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    tasks: TaskTracker,
}

impl Guarded {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Passes on the result of a write. Fails with `TimedOut` after too long without progress.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let write_timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(write_timeout)));
        stalled.as_mut().poll(cx).map(|()| {
            self.is_over = true;
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl Drop for Guarded {
    /// Closes the connection: shuts down its own side, then reads for a while what the client still sends.
    fn drop(&mut self) {
        let (Some(mut stream), Some(place)) = (self.stream.take(), self.place.take()) else { return };
        let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) else { return };
        let closing = async move {
            if SockRef::from(&stream).shutdown(Shutdown::Write).is_ok() {
                let mut rest = [0; 1024];
                let reading = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
                // A client that does not close in time is disconnected.
                drop(timeout(LAST_READ, reading).await);
            }
            drop(place);
        };
        self.tasks.spawn_on(closing, &runtime);
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, has_room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = self.stream()?.poll_read(cx, buffer);
        let is_end = has_room && buffer.filled().len() == before;
        self.is_over |= matches!(read, Poll::Ready(Err(_))) || is_end && read.is_ready();
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write(cx, bytes);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let result = if slices.len() > 1 && length <= TOGETHER {
            let (mut bytes, mut end) = ([0; TOGETHER], 0);
            for slice in slices {
                bytes[end..end + slice.len()].copy_from_slice(slice);
                end += slice.len();
            }
            self.stream()?.poll_write(cx, &bytes[..end])
        } else {
            self.stream()?.poll_write_vectored(cx, slices)
        };
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_is_told_when_to_give_a_peer_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let patience = Duration::from_secs(7);
        give_up_within(&stream, patience).unwrap();
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(patience));
    }
}
