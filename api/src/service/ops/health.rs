//! Whether the parts that the server stands on answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::service::{Admin, Backend};

/// How long a part may take to answer: with the time to write it down, a probe is answered within two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// For how long an answer is good: any number of probes ask each part once in it.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What the whole server or a part of it can do; a worse one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Everything.
    Ok,
    /// Everything, slower and by itself: a part that it can do without is away.
    Degraded,
    /// Nothing.
    Down,
}

/// A part, as it was when it was asked.
#[derive(Debug, Clone)]
pub struct Component {
    /// What it is called.
    pub name: &'static str,
    /// What it can do.
    pub status: Status,
    /// How long it took to answer, if it had to be asked and did.
    pub latency: Option<Duration>,
    /// What is wrong and who must hear of it, for operators only.
    pub message: Option<String>,
}

/// The server and its parts.
#[derive(Debug, Clone)]
pub struct Health {
    /// That of the worst part.
    pub status: Status,
    /// All of them, always in the same order.
    pub components: Vec<Component>,
}

/// The latest answer. Whoever finds it too old asks anew while the others wait for the same.
#[derive(Debug, Default)]
pub struct Latest(tokio::sync::Mutex<Option<(Instant, Arc<Health>)>>);

/// What an operator is told.
pub struct Report {
    /// The server and its parts.
    pub health: Arc<Health>,
    /// The release.
    pub version: &'static str,
    /// For how long it has been serving.
    pub uptime: Duration,
}

/// The server and its parts, at most a second ago.
pub async fn check(backend: &Backend) -> Arc<Health> {
    let mut latest = backend.health.0.lock().await;
    if let Some((at, health)) = latest.as_ref()
        && at.elapsed() < GOOD_FOR
    {
        return Arc::clone(health);
    }
    let health = Arc::new(probe(backend).await);
    if latest.as_ref().is_none_or(|(_, before)| before.status != health.status) {
        log_change(&health);
    }
    *latest = Some((Instant::now(), Arc::clone(&health)));
    health
}

/// The same with what only operators need to know.
pub async fn report(admin: Admin<'_>) -> Report {
    let backend = &admin.backend;
    Report { health: check(backend).await, version: env!("CARGO_PKG_VERSION"), uptime: backend.started.elapsed() }
}

/// Probes every part once.
async fn probe(backend: &Backend) -> Health {
    let ((database, migrations), cache) = tokio::join!(database(backend), cache(backend));
    let components = vec![database, migrations, cache, bus(backend), mail(backend)];
    let status = components.iter().map(|component| component.status).max().unwrap_or(Status::Ok);
    Health { status, components }
}

/// A part that went silent is known by its silence, so both answers together have one time limit.
async fn database(backend: &Backend) -> (Component, Component) {
    let (started, answered) = (Instant::now(), backend.store.statement_count());
    let asked = timeout(PATIENCE, async {
        backend.store.ping().await?;
        Ok::<_, crate::store::Error>((started.elapsed(), backend.store.pending_migrations().await?))
    });
    let down = |name, message: String| Component { name, status: Status::Down, latency: None, message: Some(message) };
    let unknown = || down("migrations", "unknown while the database is away".to_owned());
    match asked.await {
        Ok(Ok((latency, pending))) => {
            let migrations = match pending.as_slice() {
                [] => healthy("migrations", None),
                pending => down("migrations", format!("not applied: {}", pending.join(", "))),
            };
            (healthy("database", Some(latency)), migrations)
        }
        Ok(Err(error)) => (down("database", error.to_string()), unknown()),
        // Those before us got their answers: there is much to do, and it is done.
        Err(_) if backend.store.statement_count() > answered => (
            degraded("database", "too busy to answer in time".to_owned()),
            degraded("migrations", "unknown while the database is busy".to_owned()),
        ),
        Err(_) => (down("database", "no answer in time".to_owned()), unknown()),
    }
}

async fn cache(backend: &Backend) -> Component {
    let started = Instant::now();
    match backend.cache.ping().await {
        Ok(()) => healthy("cache", backend.config.redis.is_set().then(|| started.elapsed())),
        Err(why) => degraded("cache", why),
    }
}

fn bus(backend: &Backend) -> Component {
    if backend.bus.is_connected() {
        healthy("bus", None)
    } else {
        degraded("bus", "hints of other nodes do not arrive: feeds look by themselves".to_owned())
    }
}

fn mail(backend: &Backend) -> Component {
    if backend.outbox.is_failing() {
        degraded("mail", format!("mails are refused or not taken; {} wait", backend.outbox.waiting()))
    } else {
        healthy("mail", None)
    }
}

fn healthy(name: &'static str, latency: Option<Duration>) -> Component {
    Component { name, status: Status::Ok, latency, message: None }
}

fn degraded(name: &'static str, message: String) -> Component {
    Component { name, status: Status::Degraded, latency: None, message: Some(message) }
}

/// Logs a changed status.
fn log_change(health: &Health) {
    if health.status == Status::Ok {
        tracing::info!("every part answers");
    }
    for Component { name, message, .. } in health.components.iter().filter(|part| part.status != Status::Ok) {
        tracing::warn!(component = name, cause = message, "a part of the server does not answer");
    }
}
