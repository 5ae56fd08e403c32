//! A TCP proxy that fails in the ways networks do, without affecting other tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Start of a published message in RESP3, the protocol of Redis.
const HINT: &[u8] = b">3\r\n$7\r\nmessage\r\n";

/// Proxy to one server, which ends with the test.
pub struct Proxy {
    /// Address that clients connect to.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

/// State of a proxy, which numbers connections in the order of their arrival.
#[derive(Debug, Clone, Default)]
struct State {
    next: u64,
    is_refusing: bool,
    /// Connections below this number are cut.
    cut_before: u64,
    /// Connections below this number are cut if they have subscribed to Redis channels.
    subscribers_cut_before: u64,
    /// Connections below this number stay open but carry nothing.
    silent_before: u64,
    delay: Duration,
    is_losing_hints: bool,
    /// Requests that contain these bytes lose their response.
    unanswered: Option<Arc<[u8]>>,
    /// Requests that contain these bytes are held back.
    late: Option<Arc<[u8]>>,
}

impl Proxy {
    /// Opens a proxy to a server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = watch::Sender::new(State::default());
        let accepting = tokio::spawn(accept(listener, server, state.clone()));
        Self { address, state, accepting }
    }

    /// Opens a proxy to the server of a URL; returns the URL that leads through the proxy.
    pub async fn to_url(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("a URL");
        let server = (url.host_str().expect("a host"), url.port().expect("a port"));
        let server = tokio::net::lookup_host(server).await.expect("its address").next().expect("an address");
        let proxy = Self::to(server).await;
        url.set_ip_host(proxy.address.ip()).expect("a host can be set");
        url.set_port(Some(proxy.address.port())).expect("a port can be set");
        (proxy, url.into())
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cut_before = state.next);
    }

    /// Closes the connections that have subscribed to Redis channels.
    pub fn cut_subscribers(&self) {
        self.state.send_modify(|state| state.subscribers_cut_before = state.next);
    }

    /// Closes every connection, including new ones.
    pub fn refuse(&self) {
        self.state.send_modify(|state| (state.is_refusing, state.cut_before) = (true, state.next));
    }

    /// Forwards nothing more, on new connections either, as if packets were lost.
    pub fn silence(&self) {
        self.state.send_modify(|state| state.silent_before = u64::MAX);
    }

    /// Forwards nothing more on existing connections. New connections work.
    pub fn silence_old(&self) {
        self.state.send_modify(|state| state.silent_before = state.next);
    }

    /// Delays everything.
    pub fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Drops the messages of Redis channels, most of which arrive alone in their packets.
    pub fn lose_hints(&self) {
        self.state.send_modify(|state| state.is_losing_hints = true);
    }

    /// Forwards requests that contain these bytes, but closes the connection instead of returning the response.
    pub fn lose_answers_to(&self, question: &[u8]) {
        self.state.send_modify(|state| state.unanswered = Some(question.into()));
    }

    /// Holds back requests that contain these bytes until [`Self::heal`], even if the client disconnects before.
    pub fn hold_back(&self, question: &[u8]) {
        self.state.send_modify(|state| state.late = Some(question.into()));
    }

    /// Returns the number of connections so far, including refused ones.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.borrow().next
    }

    /// Forwards everything again, including requests that were held back.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            *state = State {
                next: state.next,
                cut_before: state.cut_before,
                subscribers_cut_before: state.subscribers_cut_before,
                ..State::default()
            };
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.refuse();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Sender<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = state.borrow().next;
        state.send_modify(|state| state.next += 1);
        let path = Path { number, is_subscriber: AtomicBool::new(false), is_unanswered: AtomicBool::new(false) };
        let watched = state.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = path.until_cut(watched.clone()) => {}
                () = path.carry(client, server, &watched) => {}
            }
        });
    }
}

/// Connection through the proxy.
struct Path {
    number: u64,
    is_subscriber: AtomicBool,
    /// Whether the next bytes from the server belong to a response to drop.
    is_unanswered: AtomicBool,
}

/// Direction in which bytes flow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Path {
    async fn until_cut(&self, mut state: watch::Receiver<State>) {
        let is_cut = |state: &State| {
            let is_subscriber = self.is_subscriber.load(Ordering::Relaxed);
            state.is_refusing
                || self.number < state.cut_before
                || (is_subscriber && self.number < state.subscribers_cut_before)
        };
        // An error means that the proxy has been dropped.
        drop(state.wait_for(is_cut).await);
    }

    async fn carry(&self, client: TcpStream, server: SocketAddr, state: &watch::Receiver<State>) {
        self.until_audible(&mut state.clone()).await;
        let Ok(server) = TcpStream::connect(server).await else { return };
        // Small packets must not wait for more.
        if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
            return;
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = self.pump(Direction::ToServer, from_client, to_server, state.clone()) => {}
            () = self.pump(Direction::ToClient, from_server, to_client, state.clone()) => {}
        }
    }

    async fn pump(
        &self,
        direction: Direction,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        mut state: watch::Receiver<State>,
    ) {
        let mut bytes = Vec::with_capacity(16 * 1024);
        while matches!(from.read_buf(&mut bytes).await, Ok(1..)) {
            self.until_audible(&mut state).await;
            let State { delay, is_losing_hints, unanswered, late, .. } = state.borrow().clone();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if contains(&bytes, b"SUBSCRIBE") {
                self.is_subscriber.store(true, Ordering::Relaxed);
            }
            let has = |marker: &Option<Arc<[u8]>>| marker.as_ref().is_some_and(|marker| contains(&bytes, marker));
            match direction {
                Direction::ToServer if has(&unanswered) => self.is_unanswered.store(true, Ordering::Relaxed),
                // An error means that the proxy has been dropped.
                Direction::ToServer if has(&late) => drop(state.wait_for(|state| state.late.is_none()).await),
                Direction::ToClient if self.is_unanswered.load(Ordering::Relaxed) => return,
                _ => {}
            }
            let is_lost = is_losing_hints && bytes.starts_with(HINT);
            if !is_lost && to.write_all(&bytes).await.is_err() {
                return;
            }
            bytes.clear();
        }
    }

    async fn until_audible(&self, state: &mut watch::Receiver<State>) {
        drop(state.wait_for(|state| self.number >= state.silent_before).await);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
