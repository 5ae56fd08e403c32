//! A load generator with little overhead: requests are prepared beforehand, responses are checked and dropped.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections of a closed loop, each with one request in flight.
const CONNECTIONS: usize = 32;
/// Most connections of an open loop. Further requests wait, and their times include the wait.
const OPEN_CONNECTIONS: usize = 128;
/// Longest time that an open loop keeps an idle connection. The server closes it after ten seconds.
const IDLE: Duration = Duration::from_secs(5);
/// Placeholder in a request for a unique number.
pub const NUMBER: &str = "#number#########";

static NUMBERS: AtomicUsize = AtomicUsize::new(0);

/// Request as its bytes on the wire, and the bytes that its response must contain.
pub struct Request {
    bytes: Vec<u8>,
    number_at: Option<usize>,
    expected: Vec<u8>,
}

/// Responses to some requests, with their times.
#[derive(Default)]
pub struct Answers {
    /// Time from the first request to the last response.
    pub elapsed: Duration,
    /// Number of correct responses, or of deliveries.
    pub count: usize,
    /// Time of each response.
    pub times: Vec<Duration>,
    /// Number of requests with a wrong response.
    pub failed: usize,
    /// Bytes of all responses, including heads.
    pub bytes: usize,
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

    /// Whether a response is 200, contains the expected bytes, and reports no errors.
    fn is_answered_by(&self, answer: &[u8]) -> bool {
        answer.starts_with(b"HTTP/1.1 200") && contains(answer, &self.expected) && !contains(answer, b"\"errors\"")
    }
}

/// Sends the requests in turn until the time is over. Panics at the first wrong response.
pub async fn ask_for(time: Duration, address: SocketAddr, requests: &Arc<Vec<Request>>) -> Answers {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let end = Instant::now() + time;
    let next = move || (Instant::now() < end).then(|| NEXT.fetch_add(1, Ordering::Relaxed));
    closed_loop(address, requests, next).await
}

/// Sends each request once. Panics at the first wrong response.
pub async fn ask_each(address: SocketAddr, requests: &Arc<Vec<Request>>) -> Answers {
    let (taken, count) = (Arc::new(AtomicUsize::new(0)), requests.len());
    let next = move || Some(taken.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < count);
    closed_loop(address, requests, next).await
}

async fn closed_loop(
    address: SocketAddr,
    requests: &Arc<Vec<Request>>,
    next: impl Fn() -> Option<usize> + Clone + Send + 'static,
) -> Answers {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (requests, next) = (Arc::clone(requests), next.clone());
        tasks.spawn(async move {
            let (mut connection, mut answers) = (Connection::open(address).await, Answers::default());
            while let Some(n) = next() {
                let (request, asked) = (&requests[n % requests.len()], Instant::now());
                let answer = connection.ask(request).await;
                answers.times.push(asked.elapsed());
                answers.bytes += answer.len();
                assert!(request.is_answered_by(answer), "{}", String::from_utf8_lossy(answer));
            }
            answers
        });
    }
    let mut all = Answers::default();
    for answers in tasks.join_all().await {
        all.times.extend(answers.times);
        all.bytes += answers.bytes;
    }
    Answers { elapsed: begin.elapsed(), count: all.times.len(), ..all }
}

/// Open loop: requests start by the clock, whether earlier ones are finished or not. Times count from the moment when a
/// request was due.
pub struct OpenLoop {
    address: SocketAddr,
    requests: Arc<Vec<Request>>,
    idle: Mutex<Vec<(Connection, Instant)>>,
    turns: Semaphore,
    answers: Mutex<Answers>,
}

impl OpenLoop {
    pub fn new(address: SocketAddr, requests: Arc<Vec<Request>>) -> Arc<Self> {
        let (idle, turns) = (Mutex::default(), Semaphore::new(OPEN_CONNECTIONS));
        Arc::new(Self { address, requests, idle, turns, answers: Mutex::default() })
    }

    /// Sends the nth request and records its response.
    pub async fn ask(self: Arc<Self>, n: usize, due: Instant) {
        let turn = self.turns.acquire().await.expect("never closed");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some((connection, since)) if since.elapsed() < IDLE => connection,
            _ => Connection::open(self.address).await,
        };
        let request = &self.requests[n % self.requests.len()];
        let is_right = request.is_answered_by(connection.ask(request).await);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, Instant::now()));
        drop(turn);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.times.push(due.elapsed());
        answers.count += usize::from(is_right);
        answers.failed += usize::from(!is_right);
    }

    /// Returns the records so far and starts new ones.
    pub fn take(&self) -> Answers {
        std::mem::take(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Connection with buffers that all its requests use.
struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("an option");
        Self { stream, out: Vec::new(), answer: Vec::new() }
    }

    /// Sends a request and reads its complete response.
    async fn ask(&mut self, request: &Request) -> &[u8] {
        self.out.clone_from(&request.bytes);
        if let Some(at) = request.number_at {
            let number = format!("{:016x}", NUMBERS.fetch_add(1, Ordering::Relaxed));
            self.out[at..at + NUMBER.len()].copy_from_slice(number.as_bytes());
        }
        self.stream.write_all(&self.out).await.expect("the server reads");
        self.answer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.answer.len() < whole) {
            self.answer.reserve(16 << 10);
            let read = self.stream.read_buf(&mut self.answer).await.expect("the server responds");
            assert!(read > 0, "the connection was closed");
            whole = whole.or_else(|| length(&self.answer));
        }
        &self.answer
    }
}

/// Returns the length of head and body, once the head is complete.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head").to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a length");
    Some(head + body.trim().parse::<usize>().expect("a number"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
