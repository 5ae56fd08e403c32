//! Connections as the HTTP server reads and writes them: with a slot, a write timeout, and a budget for heads.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::budget::{Exhausted, Reservation};

/// Bytes of a head that every connection may send without a reservation: the HTTP server's first buffer.
const FREE_HEAD_BYTES: usize = 8 * 1024;
/// Time for a client to close its side after the server has closed its own.
const LAST_READ: Duration = Duration::from_secs(1);
/// Limit in bytes up to which the pieces of a response are copied together and written at once.
const TOGETHER: usize = 2048;

/// Memory of the head that a connection is receiving.
#[derive(Clone)]
pub(super) struct Head(Arc<Mutex<HeadState>>);

struct HeadState {
    memory: Reservation,
    received: usize,
    /// Whether a request is served. Its body and its socket have reservations of their own.
    is_complete: bool,
}

impl Head {
    /// Creates the accounting of a connection, which reserves from `memory`.
    pub(super) fn new(memory: Reservation) -> Self {
        Self(Arc::new(Mutex::new(HeadState { memory, received: 0, is_complete: false })))
    }

    /// Counts bytes from the client. Fails if a long head finds no memory.
    fn receive(&self, bytes: usize) -> Result<(), Exhausted> {
        let mut head = self.0.lock();
        if bytes == 0 || head.is_complete {
            return Ok(());
        }
        head.received += bytes;
        if head.received <= FREE_HEAD_BYTES {
            return Ok(());
        }
        // Buffers grow by doubling.
        let missing = head.received.next_power_of_two().saturating_sub(head.memory.amount());
        if missing > 0 { head.memory.grow(missing) } else { Ok(()) }
    }

    /// Releases the head, because its request is served now.
    pub(super) fn complete(&self) {
        let mut head = self.0.lock();
        head.is_complete = true;
        head.memory.shrink_to(0);
    }

    /// Expects the next head.
    pub(super) fn expect(&self) {
        let mut head = self.0.lock();
        (head.is_complete, head.received) = (false, 0);
    }
}

/// Returns the response to a connection that is closed before its request is read.
fn refusal(exhausted: Exhausted) -> &'static str {
    match exhausted {
        Exhausted::Holder => {
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
        Exhausted::Node => {
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
    }
}

/// Sets the time after which the kernel drops a client that acknowledges nothing (RFC 5482). Without it, writes fail
/// only once the kernel's buffer is full. An event stream would keep its user's slot for a quarter of an hour.
pub(super) fn give_up_within(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(patience))?;
    Ok(())
}

/// Connection with a slot, which it releases when closed. It fails when its client stops reading, and reserves memory
/// for long heads.
pub(super) struct Guarded {
    /// Taken on drop, together with `slot`. A connection over the limits has no slot.
    stream: Option<TcpStream>,
    slot: Option<Reservation>,
    head: Head,
    /// Whether no more data can come from the client.
    is_over: bool,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Wakes a read that waits until the client reads again.
    reader: Option<Waker>,
    write_timeout: Duration,
    tasks: TaskTracker,
}

impl Guarded {
    /// Guards a connection. `head` is shared with the task that serves its requests.
    pub(super) fn new(
        stream: TcpStream,
        slot: Option<Reservation>,
        head: Head,
        write_timeout: Duration,
        tasks: TaskTracker,
    ) -> Self {
        Self { stream: Some(stream), slot, head, is_over: false, stalled: None, reader: None, write_timeout, tasks }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Passes on the result of a write. Fails with `TimedOut` after too long without progress.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
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
    /// Closes the connection: shuts down its own side, then discards the client's remaining data for a while.
    fn drop(&mut self) {
        let (Some(mut stream), Some(slot)) = (self.stream.take(), self.slot.take()) else { return };
        let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) else { return };
        let closing = async move {
            if SockRef::from(&stream).shutdown(Shutdown::Write).is_ok() {
                let mut rest = [0; 1024];
                let reading = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
                // A client that does not close in time is disconnected.
                drop(timeout(LAST_READ, reading).await);
            }
            drop(slot);
        };
        self.tasks.spawn_on(closing, &runtime);
    }
}

impl AsyncRead for Guarded {
    /// Reads nothing while the client does not read, because each request would add a waiting response.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.stalled.is_some() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (before, has_room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = self.stream()?.poll_read(cx, buffer);
        let received = buffer.filled().len() - before;
        self.is_over |= matches!(read, Poll::Ready(Err(_))) || has_room && received == 0 && read.is_ready();
        if let Err(exhausted) = self.head.receive(received) {
            // Best effort: the kernel's buffer has room for an answer this short.
            let _ = self.stream()?.try_write(refusal(exhausted).as_bytes());
            return Poll::Ready(Err(io::Error::other(exhausted)));
        }
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
    use tokio::net::TcpListener;

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
