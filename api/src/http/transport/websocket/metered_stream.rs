//! Counts the bytes of unfinished WebSocket messages before they are buffered.
//!
//! The WebSocket library allocates a message as soon as its header announces the length. So the headers are read here
//! first: a message without a reservation never reaches the library.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io, sync::Arc};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::budget::{Budget, Exhausted, FREE_BYTES, Holder, Reservation};

/// Longest frame header (RFC 6455, section 5.2): two bytes, a length of eight, a mask of four.
const HEADER_MAX_BYTES: usize = 14;

/// Reason why a message is not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRefusal {
    /// The message is longer than the socket may send.
    TooLong,
    /// There is no memory for the message.
    Memory(Exhausted),
}

/// Accounting of a socket's unfinished message. Shared by the stream and the session.
#[derive(Clone)]
pub struct MessageMeter(Arc<Mutex<Meter>>);

struct Meter {
    header: [u8; HEADER_MAX_BYTES],
    header_bytes: usize,
    /// Bytes of the current frame's payload that have not arrived.
    missing: u64,
    /// Announced bytes of the current message.
    announced: u64,
    max_bytes: usize,
    is_last_frame: bool,
    is_control_frame: bool,
    /// Time at which an unfinished message began.
    began_at: Option<Instant>,
    memory: Reservation,
}

/// Stream whose incoming messages are counted.
pub struct MeteredStream<S> {
    stream: S,
    meter: MessageMeter,
}

impl MessageMeter {
    /// Creates the accounting of a socket without a session, whose messages are short.
    pub fn anonymous(memory: &Arc<Budget>, holder: Holder) -> Self {
        Self(Arc::new(Mutex::new(Meter {
            header: [0; HEADER_MAX_BYTES],
            header_bytes: 0,
            missing: 0,
            announced: 0,
            max_bytes: FREE_BYTES,
            is_last_frame: true,
            is_control_frame: true,
            began_at: None,
            memory: memory.nothing(holder),
        })))
    }

    /// Allows messages up to `max_bytes`, and reserves them from `memory`.
    pub fn sign_in(&self, memory: Reservation, max_bytes: usize) {
        let mut meter = self.0.lock();
        (meter.memory, meter.max_bytes) = (memory, max_bytes);
    }

    /// Returns the time at which an unfinished message began.
    pub fn began_at(&self) -> Option<Instant> {
        self.0.lock().began_at
    }

    /// Releases the memory of received messages, unless another has begun.
    pub fn release(&self) {
        let mut meter = self.0.lock();
        if meter.announced == 0 {
            meter.memory.shrink_to(0);
        }
    }
}

impl Meter {
    /// Reads the headers of frames in bytes from the client.
    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), MessageRefusal> {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let taken = bytes.len().min(usize::try_from(self.missing).unwrap_or(usize::MAX));
                self.missing -= taken as u64;
                bytes = &bytes[taken..];
            } else {
                self.header[self.header_bytes] = bytes[0];
                self.header_bytes += 1;
                bytes = &bytes[1..];
                if self.header_bytes < header_length(&self.header[..self.header_bytes]) {
                    continue;
                }
                self.begin_frame()?;
            }
            if self.missing == 0 && self.is_last_frame && !self.is_control_frame {
                self.announced = 0;
            }
        }
        let is_unfinished = self.header_bytes > 0 || self.missing > 0 || self.announced > 0;
        self.began_at = is_unfinished.then(|| self.began_at.unwrap_or_else(Instant::now));
        Ok(())
    }

    fn begin_frame(&mut self) -> Result<(), MessageRefusal> {
        let header = self.header;
        self.header_bytes = 0;
        self.missing = match header[1] & 0x7f {
            126 => u16::from_be_bytes([header[2], header[3]]).into(),
            127 => header[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
            length => length.into(),
        };
        self.is_last_frame = header[0] & 0x80 != 0;
        self.is_control_frame = header[0] & 0x08 != 0;
        if self.is_control_frame {
            return Ok(());
        }
        self.announced = self.announced.saturating_add(self.missing);
        let announced = usize::try_from(self.announced).unwrap_or(usize::MAX);
        if announced > self.max_bytes {
            return Err(MessageRefusal::TooLong);
        }
        let lacking = announced.saturating_sub(self.memory.amount());
        if announced > FREE_BYTES && lacking > 0 {
            self.memory.grow(lacking).map_err(MessageRefusal::Memory)?;
        }
        Ok(())
    }
}

/// Returns the length of a frame's header. More bytes of the header may increase it.
fn header_length(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 != 0 { 4 } else { 0 }
}

impl<S> MeteredStream<S> {
    /// Counts the messages of a stream.
    pub fn new(stream: S, meter: MessageMeter) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MeteredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Err(refusal) = self.meter.0.lock().receive(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(refusal)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MeteredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Display for MessageRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the message is too long"),
            Self::Memory(exhausted) => exhausted.fmt(f),
        }
    }
}

impl std::error::Error for MessageRefusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    const CLIENT: Holder = Holder::Proxy;

    fn meter(max_bytes: usize) -> (Arc<Budget>, MessageMeter) {
        let budget = Budget::new(Limits::unlimited(100_000));
        let meter = MessageMeter::anonymous(&budget, CLIENT);
        meter.sign_in(budget.nothing(CLIENT), max_bytes);
        (budget, meter)
    }

    /// Returns a masked frame of a client.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(0xfe);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0xff);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.resize(frame.len() + length, 0xff);
        frame
    }

    #[test]
    fn a_long_message_is_reserved_when_its_header_comes() {
        let (budget, meter) = meter(90_000);
        let message = frame(0x81, 70_000);
        // In whatever pieces the bytes arrive.
        for byte in &message[..14] {
            meter.0.lock().receive(&[*byte]).unwrap();
        }
        assert!(meter.began_at().is_some());
        assert_eq!(budget.used(), 70_000);
        meter.0.lock().receive(&message[14..]).unwrap();
        assert_eq!(meter.began_at(), None);
        meter.release();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn fragments_add_up_and_control_frames_stand_between_them() {
        let (budget, meter) = meter(10_000);
        let receive = |bytes: &[u8]| meter.0.lock().receive(bytes);
        receive(&frame(0x01, 4_000)).unwrap();
        receive(&frame(0x8a, 5)).unwrap();
        assert!(meter.began_at().is_some(), "a pong does not finish a message");
        receive(&frame(0x00, 5_000)).unwrap();
        assert_eq!(budget.used(), 9_000);
        meter.release();
        assert_eq!(budget.used(), 9_000, "the message is unfinished");
        assert_eq!(receive(&frame(0x00, 1_001)), Err(MessageRefusal::TooLong));
    }

    #[test]
    fn many_messages_of_one_read_are_told_apart() {
        let (budget, meter) = meter(5_000);
        let bytes = [frame(0x81, 3_000), frame(0x89, 0), frame(0x81, 0), frame(0x81, 4_900)].concat();
        meter.0.lock().receive(&bytes).unwrap();
        assert_eq!((budget.used(), meter.began_at()), (4_900, None));
    }

    #[test]
    fn a_message_without_memory_is_refused() {
        let budget = Budget::new(Limits { network: 5_000, ..Limits::unlimited(100_000) });
        let holder = Holder::network(None);
        let meter = MessageMeter::anonymous(&budget, holder);
        assert_eq!(meter.0.lock().receive(&frame(0x81, FREE_BYTES + 1)), Err(MessageRefusal::TooLong));
        let meter = MessageMeter::anonymous(&budget, holder);
        meter.sign_in(budget.nothing(holder), 10_000);
        let refusal = meter.0.lock().receive(&frame(0x81, 6_000));
        assert_eq!(refusal, Err(MessageRefusal::Memory(Exhausted::Holder)));
    }
}
