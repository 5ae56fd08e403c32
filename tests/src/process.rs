//! The real server as a process with its output, and the kernel's statistics of a process.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::{client::Client, node_process::binary, world::World};

/// Setting that makes the log complete.
pub const TRACE: (&str, &str) = ("LOG__FILTER", "trace");

/// Running server, which ends with the test.
pub struct Process {
    /// Address that the server listens on.
    pub address: SocketAddr,
    child: Child,
    output: BufReader<ChildStdout>,
    said: String,
    log: JoinHandle<String>,
}

impl Process {
    /// Starts the server of a world with changed settings, and waits until it is ready.
    pub async fn start(world: &World, settings: &[(&str, &str)]) -> Self {
        let mut command = binary();
        command.envs(world.environment_with("one", settings));
        Self::run(command).await
    }

    /// Starts the server with the test's command, and waits until it is ready.
    pub async fn run(command: std::process::Command) -> Self {
        let mut child = Command::from(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let mut log = child.stderr.take().expect("a log");
        let log = tokio::spawn(async move {
            let mut text = String::new();
            log.read_to_string(&mut text).await.expect("text");
            text
        });
        let mut output = BufReader::new(child.stdout.take().expect("an output"));
        let mut said = String::new();
        let address = loop {
            assert_ne!(output.read_line(&mut said).await.expect("text"), 0, "the server ended: {said}");
            if let Some((_, rest)) = said.split_once("ws://") {
                break rest.trim_end().trim_end_matches("/graphql").parse().expect("an address");
            }
        };
        Self { address, child, output, said, log }
    }

    /// Returns a client of this server without a session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Stops the server as an operator would; returns its output and its log.
    pub async fn stop(mut self) -> (String, String) {
        let pid = self.child.id().expect("the server runs").to_string();
        Command::new("kill").arg(pid).status().await.expect("kill runs");
        assert!(self.child.wait().await.expect("the server ends").success());
        self.output.read_to_string(&mut self.said).await.expect("text");
        let log = self.log.await.expect("a log");
        assert!(log.contains("stopping"), "the log is incomplete: {log}");
        (self.said, log)
    }
}

/// Returns the processor time that the running threads of a process have used.
///
/// `schedstat` counts nanoseconds. The times in `stat` are counted by ticks, which periodic work can evade.
#[must_use]
pub fn cpu(id: u32) -> Duration {
    // A process or a thread may end while this function reads.
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten();
    let spent = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    let nanos = spent.map(|stat| stat.split(' ').next().expect("a field").parse::<u64>().expect("a number"));
    Duration::from_nanos(nanos.sum())
}
