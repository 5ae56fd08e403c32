//! The real server as a process, with all that it says, and what the kernel knows of a process.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::{client::Client, node_process::binary, world::World};

/// The setting that makes the log complete.
pub const TRACE: (&str, &str) = ("LOG__FILTER", "trace");

/// A running server, which ends with the test.
pub struct Process {
    /// Where it serves.
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

    /// Starts the server by a command of the test's own, and waits until it is ready.
    pub async fn run(command: std::process::Command) -> Self {
        let mut child = Command::from(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let mut log = child.stderr.take().expect("a log");
        let log = tokio::spawn(async move {
            let mut text = String::new();
            log.read_to_string(&mut text).await.expect("text");
            text
        });
        let mut output = BufReader::new(child.stdout.take().expect("an output"));
        let mut said = String::new();
        let address = loop {
            assert_ne!(output.read_line(&mut said).await.expect("text"), 0, "it ended: {said}");
            if let Some((_, rest)) = said.split_once("ws://") {
                break rest.trim_end().trim_end_matches("/graphql").parse().expect("an address");
            }
        };
        Self { address, child, output, said, log }
    }

    /// Somebody who talks to this server without a session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Stops it as an operator would; returns what it printed, and its log.
    pub async fn stop(mut self) -> (String, String) {
        let pid = self.child.id().expect("it runs").to_string();
        Command::new("kill").arg(pid).status().await.expect("it is told to stop");
        assert!(self.child.wait().await.expect("it ends").success());
        self.output.read_to_string(&mut self.said).await.expect("text");
        let log = self.log.await.expect("a log");
        assert!(log.contains("stopping"), "the log is incomplete: {log}");
        (self.said, log)
    }
}

/// Returns the processor time that the threads of a process have used, of those that still run.
///
/// To the nanosecond, unlike the times in `stat`, which are counted by ticks that whatever is periodic can hide from.
#[must_use]
pub fn cpu(id: u32) -> Duration {
    // A process or a thread may end while this reads.
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten();
    let spent = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    let nanos = spent.map(|stat| stat.split(' ').next().expect("a field").parse::<u64>().expect("a number"));
    Duration::from_nanos(nanos.sum())
}
