//! A server binary as a process that is measured from outside.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use qv_tests::{client::Client, node_process::free_address, process};

/// Longest time of a start. Migrating a large database takes long.
const PATIENCE: Duration = Duration::from_mins(10);

/// Running server with the data folder of this run.
pub struct Server {
    child: Child,
    /// Address that the server listens on.
    pub address: SocketAddr,
    /// Time from the start until the server reports that it is ready.
    pub ready_in: Duration,
}

/// Returns the path of the binary that was built next to this one.
pub fn binary() -> PathBuf {
    let mut path = env::current_exe().expect("a path");
    path.pop();
    path.pop();
    path.join("quantumvault")
}

/// Returns settings that let one address open many connections and send many bytes, as far as a binary knows them.
fn limits(binary: &Path) -> Vec<(&'static str, &'static str)> {
    let output = Command::new(binary).arg("config").output().expect("the binary runs");
    let defaults = String::from_utf8(output.stdout).expect("text");
    let settings = [
        ("connections_per_address", "QUANTUMVAULT__BUDGETS__CONNECTIONS_PER_ADDRESS", "100000"),
        ("stored_bytes_per_user", "QUANTUMVAULT__QUOTAS__STORED_BYTES_PER_USER", "1000000000000"),
        ("sent_bytes_per_day", "QUANTUMVAULT__QUOTAS__SENT_BYTES_PER_DAY", "1000000000000"),
    ];
    settings.into_iter().filter(|(key, ..)| defaults.contains(key)).map(|(_, name, value)| (name, value)).collect()
}

impl Server {
    /// Starts the binary next to this one and waits until it is ready.
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(&binary(), folder, &[]).await
    }

    /// Starts a binary with additional settings. The server writes its log to a file, as a service does.
    pub async fn start_with(binary: &Path, folder: &Path, environment: &[(&str, &str)]) -> Self {
        let address = free_address();
        let begin = Instant::now();
        fs::create_dir_all(folder).expect("a folder");
        let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        let child = Command::new(binary)
            .env("QUANTUMVAULT__HTTP__LISTEN", address.to_string())
            .env("QUANTUMVAULT__DATA_DIR", folder.join("data"))
            .env("QUANTUMVAULT__RATE_LIMITS__ENABLED", "false")
            .env("QUANTUMVAULT__SOCKETS__MAX_PER_USER", "100000")
            .envs(limits(binary))
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: build the binary first", binary.display()));
        let mut server = Self { child, address, ready_in: Duration::ZERO };
        let url = Client::new(address).url("/health/ready");
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = server.child.try_wait().expect("a child");
            assert!(ended.is_none() && begin.elapsed() < PATIENCE, "the start failed: see {}/log", folder.display());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_in = begin.elapsed();
        server
    }

    /// Returns the resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Returns the processor time used so far.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    /// Kills the process and waits for its end.
    pub fn stop(&mut self) {
        // Fails only if the process has already ended.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
