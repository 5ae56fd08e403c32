//! The accept loop: bounded, timed, and able to stop without dropping anyone.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use poem::{
    Addr, Endpoint, Response,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Front, timer::Timer};
use crate::config::Http;

/// Room for the longest request target that HTTP libraries send, 64 KiB, and the other headers. A longer target is
/// answered 414, longer headers 431.
const HEAD_MAX_BYTES: usize = 80 * 1024;
/// How long to wait when no descriptor is left; meanwhile others are closed.
const BACK_OFF: Duration = Duration::from_millis(100);
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// Up to so many bytes, the pieces of an answer are written as one: the kernel takes one piece by a shorter way.
const TOGETHER: usize = 2048;

/// Serves until the front is stopped: then accepts no more, lets requests finish, tells sockets to come back, and
/// returns when all have ended or the time for draining is over.
pub async fn serve<E>(listener: TcpListener, endpoint: E, front: Arc<Front>)
where
    E: Endpoint<Output = Response> + 'static,
{
    let settings = &front.parts.http;
    let server = Arc::new(Server {
        endpoint,
        http: builder(settings),
        stop: front.stop.clone(),
        cut: CancellationToken::new(),
        write_timeout: Duration::from_secs(settings.write_timeout_seconds),
    });
    tokio::select! {
        () = front.stop.cancelled() => {}
        () = accept(&listener, &server, &front) => {}
    }
    drop(listener);
    front.tasks.close();
    if timeout(Duration::from_secs(settings.drain_seconds), front.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = front.tasks.len(), "connections did not end in time and are cut");
        server.cut.cancel();
    }
}

struct Server<E> {
    endpoint: E,
    http: http1::Builder,
    stop: CancellationToken,
    /// Ends what has not ended by itself.
    cut: CancellationToken,
    write_timeout: Duration,
}

/// HTTP/1.1 only: HTTP/2 is a proxy's business, and its floods with it.
fn builder(settings: &Http) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Also runs before the first byte and between requests.
        .header_read_timeout(Duration::from_secs(settings.header_timeout_seconds))
        .max_buf_size(HEAD_MAX_BYTES);
    builder
}

/// Accepts for ever. At the limit of connections new ones wait in the kernel's queue.
async fn accept<E>(listener: &TcpListener, server: &Arc<Server<E>>, front: &Front)
where
    E: Endpoint<Output = Response> + 'static,
{
    let places = Arc::new(Semaphore::new(front.parts.http.max_connections));
    let mut complained: Option<Instant> = None;
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let stream = Guarded { stream, stalled: None, write_timeout: server.write_timeout, _place: place };
                front.tasks.spawn(Arc::clone(server).connection(stream, peer));
            }
            // The client has gone before it was accepted.
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

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    async fn connection(self: Arc<Self>, stream: Guarded, peer: SocketAddr) {
        // Answers are written whole: waiting to fill a packet would only add delay.
        if stream.stream.set_nodelay(true).and_then(|()| give_up_within(&stream.stream, self.write_timeout)).is_err() {
            return;
        }
        let remote = RemoteAddr(Addr::socket(peer));
        let local = LocalAddr(stream.stream.local_addr().map(Addr::socket).unwrap_or_default());
        let endpoint = &self.endpoint;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let request = (request, local.clone(), remote.clone(), Scheme::HTTP);
            async move {
                let response = endpoint.get_response(request.into()).await;
                Ok::<hyper::Response<_>, Infallible>(response.into())
            }
        });
        let mut http = self.http.clone();
        http.timer(Timer::default());
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection => {}
            () = self.cut.cancelled() => {}
        }
    }
}

/// A client that has vanished acknowledges nothing, which writing alone does not show until the kernel's buffer is
/// full: without this an event stream would keep its user's place for a quarter of an hour (RFC 5482).
fn give_up_within(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(patience))?;
    Ok(())
}

/// A connection that gives its place back when it is closed, and fails when its peer stops reading.
struct Guarded {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl Guarded {
    /// Passes the result of a write on, unless writing has made no progress for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let write_timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(write_timeout)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
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
            Pin::new(&mut self.stream).poll_write(cx, &bytes[..end])
        } else {
            Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
        };
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
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
        assert_eq!(socket2::SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(patience));
    }
}
