//! The release binary as a process that is measured from outside.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use qv_tests::{client::Client, process};

/// A running server with the data folder of this run.
pub struct Server {
    child: Child,
    /// Where it serves.
    pub address: SocketAddr,
    /// From its start to its first answer that it is ready.
    pub ready_in: Duration,
}

/// The binary beside this one.
pub fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("a path");
    path.pop();
    path.pop();
    path.join("quantumvault")
}

impl Server {
    /// Starts the server and waits until it is ready.
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[]).await
    }

    /// The same with settings of the measurement's own.
    pub async fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let address = free_address();
        let begin = Instant::now();
        fs::create_dir_all(folder).expect("a folder");
        let child = Command::new(binary())
            .env("QUANTUMVAULT__HTTP__LISTEN", address.to_string())
            .env("QUANTUMVAULT__DATA_DIR", folder.join("data"))
            .env("QUANTUMVAULT__RATE_LIMITS__ENABLED", "false")
            .env("QUANTUMVAULT__SOCKETS__MAX_PER_USER", "100000")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .spawn()
            .expect("build the binary first: cargo build --release");
        let url = Client::new(address).url("/health/ready");
        while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(begin.elapsed() < Duration::from_secs(20), "it does not get ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { child, address, ready_in: begin.elapsed() }
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// The processor time used so far.
    pub fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address that nobody else listens on.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
