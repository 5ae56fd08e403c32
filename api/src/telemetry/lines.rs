//! Log lines on their way out, written by a thread of their own: a slow reader of the log holds no request up.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use super::counters::Counter;

/// Lines that may wait; past it they are lost and counted.
const WAITING: usize = 8 * 1024;
/// How long the end waits for lines under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lines that this process has lost.
pub static LOST: Counter = Counter::new();

/// Takes lines from everywhere.
#[derive(Clone)]
pub(super) struct Lines(SyncSender<Message>);

/// Knows when all lines are written.
pub(super) struct Written {
    lines: SyncSender<Message>,
    done: Receiver<()>,
}

/// One line as it is put together; it goes out when it is dropped.
pub(super) struct Line<'a> {
    text: Vec<u8>,
    lines: &'a SyncSender<Message>,
}

enum Message {
    Line(Vec<u8>),
    End,
}

/// A way for lines to the standard error.
pub(super) fn open() -> io::Result<(Lines, Written)> {
    let (lines, messages) = sync_channel(WAITING);
    let (tell_done, done) = sync_channel(1);
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        write_all(&messages, io::stderr());
        // Whoever wanted to know may have given up.
        let _ = tell_done.send(());
    })?;
    Ok((Lines(lines.clone()), Written { lines, done }))
}

impl Written {
    pub(super) fn finish(self) {
        let ended = self.lines.try_send(Message::End).is_ok();
        if ended && self.done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("quantumvault: the last lines of the log were not written");
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { text: Vec::with_capacity(256), lines: &self.0 }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() && self.lines.try_send(Message::Line(text)).is_err() {
            LOST.add();
        }
    }
}

/// Writes what comes, together what waits together. A log that cannot be written is no reason to stop.
fn write_all(messages: &Receiver<Message>, mut out: impl Write) {
    let mut text = Vec::new();
    while let Ok(Message::Line(first)) = messages.recv() {
        text.extend(first);
        let mut is_over = false;
        while text.len() < 64 * 1024 && !is_over {
            match messages.try_recv() {
                Ok(Message::Line(next)) => text.extend(next),
                Ok(Message::End) => is_over = true,
                Err(_) => break,
            }
        }
        if out.write_all(&text).is_err() {
            LOST.add();
        }
        text.clear();
        if is_over {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_up_to_the_end_and_what_finds_no_room_is_counted() {
        let (lines, messages) = sync_channel(3);
        let lines = Lines(lines);
        for text in ["one\n", "two\n", "three\n", "lost\n"] {
            let mut line = lines.make_writer();
            line.write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(LOST.read(), 1);
        drop(lines);
        let mut out = Vec::new();
        write_all(&messages, &mut out);
        assert_eq!(out, b"one\ntwo\nthree\n");
    }
}
