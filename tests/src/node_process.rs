//! Nodes as processes of their own, which can be killed, paused and started again where they were.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{client::Client, dice::Dice, patience::until, world::World};

/// A node of the built binary, killed when the test lets go of it.
pub struct NodeProcess {
    /// Where it serves, also after a restart.
    pub address: SocketAddr,
    command: Command,
    child: Child,
}

/// The binary, which `tests/run` builds beside the test.
pub fn binary() -> Command {
    let mut path: PathBuf = std::env::current_exe().expect("a path");
    path.pop();
    path.pop();
    path.push("quantumvault");
    assert!(path.exists(), "build the binary first: cargo build");
    let mut command = Command::new(path);
    command.env_clear();
    command
}

/// Sends a signal by its name, such as `TERM`; says whether there was a process to get it.
pub fn signal(pid: u32, name: &str) -> bool {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).stderr(Stdio::null());
    kill.status().expect("a shell").success()
}

/// An address of this machine that nobody listens on. Its port is below those that the kernel gives to outgoing
/// connections, so that it is still free when a process that was killed starts again.
pub fn free_address() -> SocketAddr {
    let mut dice = Dice::new(u64::from_le_bytes(quantumvault::domain::Random::System.bytes()));
    loop {
        let port = u16::try_from(20_000 + dice.below(12_000)).expect("a port");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("an address");
        }
    }
}

impl NodeProcess {
    /// Starts a node of a world and waits until it is ready; `settings` are changes to its environment.
    pub async fn start(world: &World, node: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = Self::begin(world, node, settings);
        process.until_ready().await;
        process
    }

    /// Starts a node with more in its environment than settings, and waits until it is ready.
    pub async fn start_under(world: &World, node: &str, environment: &[(String, String)]) -> Self {
        let mut process = Self::begin_under(world, node, &[], environment);
        process.until_ready().await;
        process
    }

    /// Starts a node and does not wait.
    pub fn begin(world: &World, node: &str, settings: &[(&str, &str)]) -> Self {
        Self::begin_under(world, node, settings, &[])
    }

    fn begin_under(world: &World, node: &str, settings: &[(&str, &str)], environment: &[(String, String)]) -> Self {
        let address = free_address();
        // What exceeds a limit of the test's own is to be an error of the system call, as on a full disk.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\""]).arg(binary().get_program());
        command.env_clear().envs(world.environment_with(node, settings));
        command.env("QUANTUMVAULT__HTTP__LISTEN", address.to_string());
        command.envs(environment.iter().cloned()).stdout(Stdio::null());
        let child = command.spawn().expect("it runs");
        Self { address, command, child }
    }

    /// Somebody who talks to this node without a session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        assert!(signal(self.child.id(), name), "it is gone");
    }

    /// Stops all of its threads where they are, and waits until they stand.
    pub async fn freeze(&self) {
        self.signal("STOP");
        until("a process that stands", async || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("a process");
            threads.flatten().all(|thread| {
                let state = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                // After the name, which is in parentheses; a thread that has just ended has no state.
                state.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" T"))
            })
        })
        .await;
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without a warning.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// How it ends, by itself or by a signal that it got.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the end of a node", async || self.child.try_wait().expect("a child").is_some()).await;
        self.child.wait().expect("it has ended")
    }

    /// Starts it again at the same address after its end, and waits until it is ready. As whoever looks after services
    /// does, it starts it as often as it ends: its connections may be ended while it starts.
    pub async fn restart(&mut self) {
        until("a node that is ready again", async || {
            if self.child.try_wait().expect("a child").is_some() {
                self.child = self.command.spawn().expect("it runs");
            }
            self.is_ready().await
        })
        .await;
    }

    /// Whether it says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let answer = reqwest::get(self.client().url("/health/ready")).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn until_ready(&mut self) {
        until("a node that is ready", async || {
            assert!(self.child.try_wait().expect("a child").is_none(), "it ended instead of serving");
            self.is_ready().await
        })
        .await;
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Killing and waiting fail only where the process is gone already.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}
