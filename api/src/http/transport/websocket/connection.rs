//! One socket from its first message to its close.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt, future::BoxFuture};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::budget::{Holder, Reservation};
use crate::domain::{Client, ErrorCode, Viewer};
use crate::http::AppState;
use crate::http::transport::stream_auth::StreamAuth;
use crate::http::transport::websocket::keepalive::{Keepalive, MessageRateLimit};
use crate::http::transport::websocket::metered_stream::{MessageMeter, MessageRefusal};
use crate::http::transport::websocket::operations::{Operations, Step};
use crate::http::transport::websocket::protocol::{self, Close, Incoming};
use crate::http::transport::websocket::send_queue::SendQueue;
use crate::service::{self, sessions};

/// Time for a client to respond to a close frame.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves a socket until it ends.
///
/// Not an `async fn`, and no argument is moved into another variable. A future reserves memory for both sides of a
/// move, and every socket holds this one. Guarded by the benchmark `sockets`.
pub fn run<K, S>(
    state: Arc<AppState>,
    client: Arc<Client>,
    slot: Reservation,
    meter: MessageMeter,
    mut sink: K,
    mut source: S,
) -> impl Future<Output = ()>
where
    K: Sink<Message, Error = Error> + Unpin,
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    let open = state.http_metrics.streams.hold("websocket");
    let mut session = Session::new(state, client, slot, meter);
    async move {
        let _open = open;
        let end = serve(&mut session, &mut sink, &mut source).await;
        // Releases what the session holds, such as its user's slot, before the close handshake.
        drop(session);
        if let End::Close(close) = end {
            // A client that does not respond in time is not waited for.
            let _ = timeout(GOODBYE, say_goodbye(close, &mut sink, &mut source)).await;
        }
    }
}

async fn say_goodbye<K, S>(close: Close, sink: &mut K, source: &mut S) -> Result<(), Error>
where
    K: Sink<Message, Error = Error> + Unpin,
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
    sink.send(Message::Close(Some(frame))).await?;
    while let Some(Ok(_)) = source.next().await {}
    if [Close::TOO_BIG, Close::TRY_AGAIN].contains(&close) {
        // The rest of the message is never read. Closing now would reset the connection before the client has read the
        // code.
        sleep(GOODBYE).await;
    }
    Ok(())
}

/// Reason why a session ends.
enum End {
    /// The server closes the socket with a code.
    Close(Close),
    /// The client has disconnected.
    Gone,
}

struct Session {
    state: Arc<AppState>,
    init_by: Instant,
    has_init: bool,
    is_ready: bool,
    auth: StreamAuth,
    login: Option<Login>,
    /// Slot among the sockets without a session, then among those of the user.
    slot: Reservation,
    meter: MessageMeter,
    /// Time of the last change of an operation, from which a socket without a session is idle.
    active_at: Instant,
    /// Maximum idle time of a socket without a session.
    idle_timeout: Duration,
    /// Maximum time of one incoming message.
    message_timeout: Duration,
    operations: Operations,
    send_queue: SendQueue,
    rate_limit: MessageRateLimit,
    keepalive: Keepalive,
}

/// Token check that runs while the socket is served.
struct Login {
    renews: bool,
    outcome: BoxFuture<'static, Result<Viewer, service::Error>>,
}

async fn serve<K, S>(session: &mut Session, sink: &mut K, source: &mut S) -> End
where
    K: Sink<Message> + Unpin,
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    let stopped = session.state.stop.clone().cancelled_owned();
    let timer = sleep_until(session.deadline());
    tokio::pin!(stopped, timer);
    loop {
        // The timer may fire early and find nothing to do. So it need not be set for each message.
        let deadline = session.deadline();
        if timer.is_elapsed() || deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        let has_room = session.send_queue.has_room();
        let result = tokio::select! {
            biased;
            () = &mut stopped => Err(End::Close(Close::RESTART)),
            () = session.auth.over() => Err(End::Close(Close::FORBIDDEN)),
            () = &mut timer => session.on_time(Instant::now()),
            frame = source.next(), if has_room => session.on_frame(frame),
            (renews, outcome) = checked(&mut session.login) => session.on_login(renews, outcome),
            step = session.operations.next(), if has_room => session.on_step(step).await,
            // Last, so that all ready messages are written together.
            written = session.send_queue.pump(sink), if !session.send_queue.is_idle() => written.map_err(|_| End::Gone),
        };
        if let Err(end) = result {
            return end;
        }
    }
}

async fn checked(login: &mut Option<Login>) -> (bool, Result<Viewer, service::Error>) {
    let Some(Login { renews, outcome }) = login else {
        return pending().await;
    };
    let result = (*renews, outcome.await);
    *login = None;
    result
}

impl Session {
    fn new(state: Arc<AppState>, client: Arc<Client>, slot: Reservation, meter: MessageMeter) -> Self {
        let settings = &state.deps.sockets;
        let memory = state.deps.backend.memory.nothing(Holder::network(client.ip));
        Self {
            init_by: Instant::now() + Duration::from_secs(settings.init_timeout_seconds),
            has_init: false,
            is_ready: false,
            auth: StreamAuth::new(&state, None),
            login: None,
            slot,
            meter,
            active_at: Instant::now(),
            idle_timeout: Duration::from_secs(settings.anonymous_idle_seconds),
            message_timeout: Duration::from_secs(settings.message_timeout_seconds),
            operations: Operations::new(Arc::clone(&state), client),
            send_queue: SendQueue::new(settings, memory),
            rate_limit: MessageRateLimit::new(settings),
            keepalive: Keepalive::new(settings),
            state,
        }
    }

    fn deadline(&self) -> Instant {
        let init_by = (!self.is_ready).then_some(self.init_by);
        [init_by, self.idle_at(), self.overdue_at(), self.send_queue.patience_ends()]
            .into_iter()
            .flatten()
            .fold(self.keepalive.next(), Instant::min)
    }

    /// Returns when a socket without a session and without an operation ends.
    fn idle_at(&self) -> Option<Instant> {
        let is_idle = self.is_ready && self.auth.viewer().is_none() && self.operations.is_empty();
        is_idle.then(|| self.active_at + self.idle_timeout)
    }

    /// Returns when an unfinished message has taken too long.
    fn overdue_at(&self) -> Option<Instant> {
        self.meter.began_at().map(|began| began + self.message_timeout)
    }

    fn on_time(&mut self, now: Instant) -> Result<(), End> {
        if !self.is_ready && now >= self.init_by {
            return Err(End::Close(Close::INIT_TIMEOUT));
        }
        if self.idle_at().is_some_and(|end| now >= end) {
            return Err(End::Close(Close::IDLE));
        }
        if self.overdue_at().is_some_and(|end| now >= end) {
            return Err(End::Close(Close::SLOW_WRITER));
        }
        if self.send_queue.patience_ends().is_some_and(|end| now >= end) {
            return Err(End::Close(Close::SLOW_READER));
        }
        if self.keepalive.is_dead(now) {
            return Err(End::Gone);
        }
        if self.keepalive.wants_ping(now) {
            // A ping frame, because every WebSocket library responds to it, even while the client's own code is busy.
            self.send_queue.push(Message::Ping(Bytes::new()));
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), End> {
        let now = Instant::now();
        let frame = frame.ok_or(End::Gone)?.map_err(|error| broken(&error))?;
        self.keepalive.heard(now);
        if !self.rate_limit.allows(now) {
            return Err(End::Close(Close::TOO_MANY_MESSAGES));
        }
        match frame {
            Message::Text(text) => {
                self.meter.release();
                self.on_message(Incoming::parse(&text).map_err(|reason| End::Close(Close::invalid(reason)))?)
            }
            Message::Binary(_) | Message::Frame(_) => {
                Err(End::Close(Close::invalid("Binary messages are not supported")))
            }
            // The WebSocket layer responds to pings and closes.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        }
    }

    fn on_message(&mut self, incoming: Incoming) -> Result<(), End> {
        match incoming {
            Incoming::Init(_) if self.has_init => return Err(End::Close(Close::TOO_MANY_INITS)),
            Incoming::Init(token) => {
                self.has_init = true;
                match token {
                    Some(token) => self.check(token, false),
                    None => self.begin(None)?,
                }
            }
            Incoming::Ping(payload) => self.on_ping(payload),
            Incoming::Pong => {}
            Incoming::Subscribe(..) if !self.is_ready => return Err(End::Close(Close::UNAUTHORIZED)),
            Incoming::Subscribe(id, _) if self.operations.has(&id) => return Err(End::Close(Close::DUPLICATE_ID)),
            Incoming::Subscribe(id, call) => {
                self.active_at = Instant::now();
                if let Err(answer) = self.operations.start(&id, call, self.auth.viewer()) {
                    self.state.http_metrics.answer(&answer);
                    self.send(protocol::error(&id, &answer));
                }
            }
            Incoming::Complete(id) => self.operations.stop(&id),
        }
        Ok(())
    }

    /// Responds to a ping. A ping with a token first renews the authorization, and its pong contains the expiry.
    fn on_ping(&mut self, payload: Option<Map<String, Value>>) {
        match protocol::token(payload.as_ref()) {
            Some(token) if self.is_ready => self.check(token, true),
            Some(_) | None => self.send(protocol::pong(payload)),
        }
    }

    fn check(&mut self, token: String, renews: bool) {
        let backend = Arc::clone(&self.state.deps.backend);
        let outcome = async move { sessions::authenticate(&backend, &token).await }.boxed();
        self.login = Some(Login { renews, outcome });
    }

    fn on_login(&mut self, renews: bool, outcome: Result<Viewer, service::Error>) -> Result<(), End> {
        let viewer = outcome.map_err(|error| {
            End::Close(match error.code() {
                // The token may be valid, and a client discards its token on 4403.
                ErrorCode::Unavailable | ErrorCode::RateLimited | ErrorCode::InternalServerError => Close::TRY_AGAIN,
                _ => Close::FORBIDDEN,
            })
        })?;
        if !renews {
            return self.begin(Some(viewer));
        }
        let expires_at = self.auth.renew(viewer).ok_or(End::Close(Close::FORBIDDEN))?;
        let payload = Map::from_iter([("accessTokenExpiresAt".to_owned(), expires_at.to_rfc3339().into())]);
        self.send(protocol::pong(Some(payload)));
        Ok(())
    }

    fn begin(&mut self, viewer: Option<Viewer>) -> Result<(), End> {
        if let Some(viewer) = viewer {
            let (holder, memory) = (Holder::User(viewer.user_id), &self.state.deps.backend.memory);
            let slot = self.state.user_streams.reserve(holder, 1);
            self.slot = slot.map_err(|_| End::Close(Close::TOO_MANY_CONNECTIONS))?;
            self.meter.sign_in(memory.nothing(holder), self.state.deps.sockets.message_max_bytes);
            self.send_queue.sign_in(memory.nothing(holder));
            self.auth = StreamAuth::new(&self.state, Some(viewer));
        }
        self.is_ready = true;
        self.send(protocol::ack());
        Ok(())
    }

    async fn on_step(&mut self, step: Step) -> Result<(), End> {
        if !self.auth.admits().await {
            return Err(End::Close(Close::FORBIDDEN));
        }
        let message = self.operations.message(step);
        self.active_at = Instant::now();
        self.send(message);
        Ok(())
    }

    fn send(&mut self, text: String) {
        self.send_queue.push(Message::Text(text.into()));
    }
}

/// Returns how a session ends after an error of its stream.
fn broken(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Close(Close::TOO_BIG),
        Error::Io(error) => match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(MessageRefusal::TooLong) => End::Close(Close::TOO_BIG),
            Some(MessageRefusal::Memory(_)) => End::Close(Close::TRY_AGAIN),
            None => End::Gone,
        },
        _ => End::Gone,
    }
}
