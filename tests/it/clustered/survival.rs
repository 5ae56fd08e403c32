//! Guarantees while PostgreSQL or Redis is unavailable. Each test starts and breaks its own servers.

mod disk;
mod postgres;
mod redis;

use qv_tests::{proxy::Proxy, servers::Backing};

/// Server of a single test behind a proxy.
struct Dependency {
    server: Backing,
    path: Proxy,
}

/// Kind of outage.
#[derive(Clone, Copy)]
enum Outage {
    /// Server ended by this signal.
    Ended(&'static str),
    /// Paused processes.
    Paused,
    /// Proxy that forwards nothing.
    Silent,
}

impl Dependency {
    async fn new(server: Backing) -> Self {
        let path = Proxy::to(server.address).await;
        Self { server, path }
    }

    /// Returns the server's URL through the proxy, for the settings.
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
