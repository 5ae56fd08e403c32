//! What stays true while PostgreSQL or Redis is away: each test starts and harms servers of its own.

mod disk;
mod postgres;
mod redis;

use qv_tests::{proxy::Proxy, servers::Backing};

/// A server of the test's own behind a path that can break.
struct Dependency {
    server: Backing,
    path: Proxy,
}

/// A way for a server to be away.
#[derive(Clone, Copy)]
enum Outage {
    /// It has ended by this signal.
    Ended(&'static str),
    /// Its processes are paused.
    Paused,
    /// The path to it carries nothing.
    Silent,
}

impl Dependency {
    async fn new(server: Backing) -> Self {
        let path = Proxy::to(server.address).await;
        Self { server, path }
    }

    /// Returns the address of the path, as the settings take it.
    fn url(&self) -> String {
        self.server.url(self.path.address)
    }

    async fn fail(&mut self, outage: Outage) {
        match outage {
            Outage::Ended(signal) => self.server.stop(signal).await,
            Outage::Paused => self.server.pause(),
            Outage::Silent => self.path.silence(),
        }
    }

    async fn come_back(&mut self, outage: Outage) {
        match outage {
            Outage::Ended(_) => self.server.start().await,
            Outage::Paused => self.server.resume(),
            Outage::Silent => self.path.heal(),
        }
    }
}
