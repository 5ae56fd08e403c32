//! Health checks of the server's components.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::service::{Admin, Backend};

/// Time limit for one component. It leaves time to write the response, so that a probe completes within two seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Lifetime of a health result. Each component is probed at most once in this time, however many requests arrive.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Status of the server or of a component. A worse status is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Fully working.
    Ok,
    /// Working, possibly slower: an optional component is unavailable.
    Degraded,
    /// Not working.
    Down,
}

/// A component and its status at the latest probe.
#[derive(Debug, Clone)]
pub struct Component {
    /// Name of the component.
    pub name: &'static str,
    /// Status of the component.
    pub status: Status,
    /// Response time. `None` if the component was not queried or did not respond.
    pub latency: Option<Duration>,
    /// Description of the problem, for operators only.
    pub message: Option<String>,
}

/// Health of the server and its components.
#[derive(Debug, Clone)]
pub struct Health {
    /// Status of the worst component.
    pub status: Status,
    /// All components, in a fixed order.
    pub components: Vec<Component>,
}

/// Latest health result. If it is stale, one caller refreshes it while the others wait for that result.
#[derive(Debug, Default)]
pub struct Latest(tokio::sync::Mutex<Option<(Instant, Arc<Health>)>>);

/// Health report for operators.
pub struct Report {
    /// Health of the server and its components.
    pub health: Arc<Health>,
    /// Version of the release.
    pub version: &'static str,
    /// Time since the server started.
    pub uptime: Duration,
}

/// Returns the health of the server and its components, at most a second old.
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

/// Returns the health report for operators.
pub async fn report(admin: Admin<'_>) -> Report {
    let backend = &admin.backend;
    Report { health: check(backend).await, version: env!("CARGO_PKG_VERSION"), uptime: backend.started.elapsed() }
}

/// Probes every component once.
async fn probe(backend: &Backend) -> Health {
    let ((database, migrations), cache) = tokio::join!(database(backend), cache(backend));
    let components = vec![database, migrations, cache, bus(backend), mail(backend)];
    let status = components.iter().map(|component| component.status).max().unwrap_or(Status::Ok);
    Health { status, components }
}

/// Probes the database and its migrations. One time limit covers both: only a timeout reveals a silent database.
async fn database(backend: &Backend) -> (Component, Component) {
    let (started, answered) = (Instant::now(), backend.store.statement_count());
    let asked = timeout(PATIENCE, async {
        backend.store.ping().await?;
        Ok::<_, crate::store::Error>((started.elapsed(), backend.store.pending_migrations().await?))
    });
    let down = |name, message: String| Component { name, status: Status::Down, latency: None, message: Some(message) };
    let unknown = || down("migrations", "unknown while the database is unavailable".to_owned());
    match asked.await {
        Ok(Ok((latency, pending))) => {
            let migrations = match pending.as_slice() {
                [] => healthy("migrations", None),
                pending => down("migrations", format!("pending: {}", pending.join(", "))),
            };
            (healthy("database", Some(latency)), migrations)
        }
        Ok(Err(error)) => (down("database", error.to_string()), unknown()),
        // Other statements completed meanwhile, so the database is busy and not down.
        Err(_) if backend.store.statement_count() > answered => (
            degraded("database", "too busy to respond in time".to_owned()),
            degraded("migrations", "unknown while the database is busy".to_owned()),
        ),
        Err(_) => (down("database", "no response in time".to_owned()), unknown()),
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
        degraded("bus", "hints of other nodes do not arrive: subscriptions poll the database".to_owned())
    }
}

fn mail(backend: &Backend) -> Component {
    if backend.outbox.is_failing() {
        degraded("mail", format!("mails cannot be sent; {} are waiting", backend.outbox.waiting()))
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
        tracing::info!("every component is healthy");
    }
    for Component { name, message, .. } in health.components.iter().filter(|part| part.status != Status::Ok) {
        tracing::warn!(component = name, cause = message, "a component is degraded or down");
    }
}
