//! A load generator that does little: requests are made beforehand, answers are looked at and thrown away.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CONNECTIONS: usize = 32;
/// How long anything is asked.
pub const TIME: Duration = Duration::from_secs(2);
/// Stands where every request has a number of its own.
pub const NUMBER: &str = "#number#########";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A request as it goes over the wire, and what its answer must contain.
pub struct Request {
    bytes: Vec<u8>,
    number_at: Option<usize>,
    expected: Vec<u8>,
}

/// What was seen.
#[derive(Default)]
pub struct Figures {
    pub rate: f64,
    /// How long each answer took.
    pub times: Vec<Duration>,
    /// The length of an answer's body, on average.
    pub bytes: usize,
}

impl Figures {
    /// The better rate of two rounds, and the times of both.
    pub fn beside(mut self, mut other: Self) -> Self {
        self.rate = self.rate.max(other.rate);
        self.times.append(&mut other.times);
        Self { bytes: other.bytes, ..self }
    }

    /// What so many of a hundred answers took at most.
    pub fn percentile(&mut self, percent: usize) -> Duration {
        self.times.sort_unstable();
        self.times[(self.times.len() * percent / 100).min(self.times.len() - 1)]
    }
}

impl Request {
    pub fn post(path: &str, token: Option<&str>, body: &str, expected: &str) -> Self {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{authorization}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { number_at: text.find(NUMBER), bytes: text.into_bytes(), expected: expected.as_bytes().to_vec() }
    }
}

/// Sends the requests in turn over all connections until the time is over; every answer must be 200 and as expected.
pub async fn run(address: SocketAddr, requests: &Arc<Vec<Request>>) -> Figures {
    run_for(TIME, address, requests).await
}

/// The same for some other time.
pub async fn run_for(time: Duration, address: SocketAddr, requests: &Arc<Vec<Request>>) -> Figures {
    let begin = Instant::now();
    let tasks: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(keep_asking(address, Arc::clone(requests), begin + time))).collect();
    let (mut times, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        let (taken, received) = task.await.expect("every answer is right");
        times.extend(taken);
        bytes += received;
    }
    let bytes = bytes / times.len().max(1);
    let elapsed = begin.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let rate = times.len() as f64 / elapsed.as_secs_f64();
    Figures { rate, times, bytes }
}

async fn keep_asking(address: SocketAddr, requests: Arc<Vec<Request>>, end: Instant) -> (Vec<Duration>, usize) {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    stream.set_nodelay(true).expect("an option");
    let (mut times, mut out, mut answer, mut received) = (Vec::new(), Vec::new(), Vec::new(), 0);
    while Instant::now() < end {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let request = &requests[usize::try_from(n).expect("a number") % requests.len()];
        out.clone_from(&request.bytes);
        if let Some(at) = request.number_at {
            out[at..at + NUMBER.len()].copy_from_slice(format!("{n:016x}").as_bytes());
        }
        let asked = Instant::now();
        stream.write_all(&out).await.expect("it reads");
        read(&mut stream, &mut answer).await;
        times.push(asked.elapsed());
        received += answer.len();
        let is_right = answer.starts_with(b"HTTP/1.1 200") && contains(&answer, &request.expected);
        assert!(is_right && !contains(&answer, b"\"errors\""), "{}", String::from_utf8_lossy(&answer));
    }
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let bodies = received.saturating_sub(head * times.len());
    (times, bodies)
}

/// Reads one answer whole.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    let mut whole = None;
    while whole.is_none_or(|whole| answer.len() < whole) {
        answer.reserve(16 << 10);
        assert!(stream.read_buf(answer).await.expect("it answers") > 0, "the connection was closed");
        whole = whole.or_else(|| length(answer));
    }
}

/// The length of head and body, once the head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head").to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a length");
    Some(head + body.trim().parse::<usize>().expect("a number"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
