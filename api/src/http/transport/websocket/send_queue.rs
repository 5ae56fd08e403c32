//! Bounded queue of messages to a socket, which detects a client that has stopped reading.

use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, future::poll_fn, time::Duration};

use futures_util::{Sink, SinkExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::budget::{FREE_BYTES, Reservation};
use crate::config::Sockets;

/// Number of messages for which an empty queue keeps room.
const IDLE_ITEMS: usize = 4;
/// Bytes by which the reservation grows.
const STEP: usize = 4 * 1024;

/// Queue of outgoing messages.
pub struct SendQueue {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Memory of all messages that have not been written, including those in the sink.
    memory: Reservation,
    /// Whether the sink holds a message that has not been written.
    unflushed: bool,
    /// Time at which the client last took a message, or the queue began to wait.
    moved_at: Instant,
    max_items: usize,
    max_bytes: usize,
    patience: Duration,
}

impl SendQueue {
    /// Creates an empty queue.
    pub fn new(settings: &Sockets, memory: Reservation) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            memory,
            unflushed: false,
            moved_at: Instant::now(),
            max_items: settings.queue_items,
            max_bytes: settings.queue_bytes,
            patience: Duration::from_secs(settings.slow_reader_seconds),
        }
    }

    /// Appends a message. The caller checks `has_room` before creating one.
    pub fn push(&mut self, message: Message) {
        if self.is_idle() {
            self.moved_at = Instant::now();
        }
        self.bytes += message.len();
        let missing = self.bytes.saturating_sub(self.memory.amount().max(FREE_BYTES));
        if missing > 0 {
            self.memory.grow_required(missing.next_multiple_of(STEP));
        }
        self.messages.push_back(message);
    }

    /// Charges waiting and later messages to the user who has signed in.
    pub fn sign_in(&mut self, mut memory: Reservation) {
        memory.grow_required(self.memory.amount());
        self.memory = memory;
    }

    /// Whether there is room. Without room, the socket reads neither its streams nor its client.
    pub fn has_room(&self) -> bool {
        let is_within = self.messages.len() < self.max_items && self.bytes < self.max_bytes;
        is_within && (self.bytes <= FREE_BYTES || self.memory.has_room())
    }

    /// Whether everything has been written.
    pub fn is_idle(&self) -> bool {
        self.messages.is_empty() && !self.unflushed
    }

    /// Returns when the client counts as a slow reader, if messages wait for it.
    pub fn patience_ends(&self) -> Option<Instant> {
        (!self.is_idle()).then(|| self.moved_at + self.patience)
    }

    /// Writes until the queue is empty. Cancel safe.
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
                self.bytes -= message.len();
                sink.start_send_unpin(message)?;
            }
            self.unflushed = true;
            self.moved_at = Instant::now();
        }
        ready!(sink.poll_flush_unpin(cx))?;
        self.unflushed = false;
        self.messages.shrink_to(IDLE_ITEMS);
        self.memory.shrink_to(0);
        Poll::Ready(Ok(()))
    }
}
