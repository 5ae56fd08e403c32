//! Queue of log lines with a writer thread, so that a slow reader of the log delays no request.

use std::sync::mpsc::{Receiver, sync_channel};
use std::{io, io::Write, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::counters::Counter;

/// Maximum bytes of queued lines. Further lines are lost and counted.
const WAITING: usize = 4 * 1024 * 1024;
/// Time for which lines are collected, so that the thread does not wake for each. Guarded by the benchmark `tricks`.
const GATHERED_FOR: Duration = Duration::from_millis(5);
/// Capacity that the writer's buffer keeps, in bytes.
const GATHERED: usize = 64 * 1024;
/// Maximum wait for queued lines at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Number of lines that this process has lost.
pub static LOST: Counter = Counter::new();

/// Queue of lines, shared by all threads.
#[derive(Clone, Default)]
pub struct Lines(Arc<Shared>);

/// Handle that waits until all lines are written.
pub struct Written {
    lines: Lines,
    done: Receiver<()>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    is_over: bool,
}

/// Starts the thread that writes lines to `out`.
pub fn open(out: impl Write + Send + 'static) -> io::Result<(Lines, Written)> {
    let lines = Lines::default();
    let (writing, (tell_done, done)) = (lines.clone(), sync_channel(1));
    thread::Builder::new().name("log".to_owned()).spawn(move || {
        writing.write_all(out);
        // The receiver may have timed out.
        let _ = tell_done.send(());
    })?;
    Ok((lines.clone(), Written { lines, done }))
}

impl Written {
    /// Waits for queued lines, but not for a reader that has stopped.
    pub fn finish(self) {
        self.lines.0.waiting.lock().is_over = true;
        self.lines.0.changed.notify_one();
        let _ = self.done.recv_timeout(PATIENCE);
    }
}

impl Lines {
    fn put(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        if waiting.text.len() + line.len() > WAITING {
            return LOST.add();
        }
        waiting.text.extend_from_slice(line);
        if waiting.text.len() == line.len() {
            self.0.changed.notify_one();
        }
    }

    /// Writes queued lines together until the end. A failed write is counted and does not end the thread.
    fn write_all(&self, mut out: impl Write) {
        let mut text = Vec::new();
        loop {
            let mut waiting = self.0.waiting.lock();
            self.0.changed.wait_while(&mut waiting, |waiting| waiting.text.is_empty() && !waiting.is_over);
            let is_over = waiting.is_over;
            drop(waiting);
            if !is_over {
                thread::sleep(GATHERED_FOR);
            }
            std::mem::swap(&mut text, &mut self.0.waiting.lock().text);
            if out.write_all(&text).is_err() {
                LOST.add();
            }
            text.clear();
            text.shrink_to(GATHERED);
            if is_over {
                return;
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// Receives complete lines from `tracing-subscriber`.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_up_to_the_end_and_what_finds_no_room_is_counted() {
        let lines = Lines::default();
        for text in ["one\n".to_owned(), "two\n".to_owned(), "x".repeat(WAITING), "three\n".to_owned()] {
            assert_eq!(lines.make_writer().write(text.as_bytes()).unwrap(), text.len());
        }
        assert_eq!(LOST.read(), 1);
        lines.0.waiting.lock().is_over = true;
        let mut out = Vec::new();
        lines.write_all(&mut out);
        assert_eq!(out, b"one\ntwo\nthree\n");
    }
}
