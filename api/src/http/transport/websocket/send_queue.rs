//! What waits to be written to a socket: bounded, and aware of a reader that has stopped.

use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, future::poll_fn, time::Duration};

use futures_util::{Sink, SinkExt};
use poem::web::websocket::Message;
use tokio::time::Instant;

use crate::config::Sockets;

/// Room for so many messages is kept where none waits.
const IDLE_ITEMS: usize = 4;

/// A queue of messages on their way out.
pub struct SendQueue {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Whether the sink holds something that has not been written.
    unflushed: bool,
    /// When the reader last took something, or the queue began to wait for it.
    moved_at: Instant,
    max_items: usize,
    max_bytes: usize,
    patience: Duration,
}

impl SendQueue {
    /// An empty one.
    pub fn new(settings: &Sockets) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            unflushed: false,
            moved_at: Instant::now(),
            max_items: settings.queue_items,
            max_bytes: settings.queue_bytes,
            patience: Duration::from_secs(settings.slow_reader_seconds),
        }
    }

    /// Puts a message at the end. The caller asks `has_room` before it makes one.
    pub fn push(&mut self, message: Message) {
        if self.is_idle() {
            self.moved_at = Instant::now();
        }
        self.bytes += message.as_bytes().len();
        self.messages.push_back(message);
    }

    /// Whether more may be made; if not, nothing is taken from streams or from the client.
    pub fn has_room(&self) -> bool {
        self.messages.len() < self.max_items && self.bytes < self.max_bytes
    }

    /// Whether all has been written.
    pub fn is_idle(&self) -> bool {
        self.messages.is_empty() && !self.unflushed
    }

    /// When the reader counts as slow, if something waits for it.
    pub fn patience_ends(&self) -> Option<Instant> {
        (!self.is_idle()).then(|| self.moved_at + self.patience)
    }

    /// Writes until all is written. May be dropped at any time and called again.
    pub async fn pump<S: Sink<Message> + Unpin>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        poll_fn(|cx| self.poll_pump(sink, cx)).await
    }

    fn poll_pump<S: Sink<Message> + Unpin>(
        &mut self,
        sink: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        while !self.messages.is_empty() {
            ready!(sink.poll_ready_unpin(cx))?;
            if let Some(message) = self.messages.pop_front() {
                self.bytes -= message.as_bytes().len();
                sink.start_send_unpin(message)?;
            }
            self.unflushed = true;
            self.moved_at = Instant::now();
        }
        ready!(sink.poll_flush_unpin(cx))?;
        self.unflushed = false;
        self.messages.shrink_to(IDLE_ITEMS);
        Poll::Ready(Ok(()))
    }
}
