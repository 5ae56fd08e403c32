//! Nodes as separate processes, which tests kill, pause and restart.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{client::Client, dice::Dice, patience::until, world::World};

/// Node that runs the built binary, killed on drop.
pub struct NodeProcess {
    /// Address that the node serves, also after a restart.
    pub address: SocketAddr,
    command: Command,
    child: Child,
}

/// Returns a command for the binary, which `tests/run` builds next to the tests.
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

/// Sends a signal by its name, such as `TERM`; returns whether the process existed.
pub fn signal(pid: u32, name: &str) -> bool {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).stderr(Stdio::null());
    kill.status().expect("a shell").success()
}

/// Returns a local address that nothing listens on. Its port is below the kernel's ephemeral ports, so it stays free
/// until a killed process restarts.
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
    /// Starts a node of a world and waits until it is ready; `settings` change its environment.
    pub async fn start(world: &World, node: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = Self::begin(world, node, settings);
        process.until_ready().await;
        process
    }

    /// Starts a node with extra environment variables and waits until it is ready.
    pub async fn start_under(world: &World, node: &str, environment: &[(String, String)]) -> Self {
        let mut process = Self::begin_under(world, node, &[], environment, None);
        process.until_ready().await;
        process
    }

    /// Starts a node that may allocate this much memory, and waits until it is ready.
    pub async fn start_limited(world: &World, node: &str, kibibytes: u64) -> Self {
        let mut process = Self::begin_under(world, node, &[], &[], Some(kibibytes));
        process.until_ready().await;
        process
    }

    /// Starts a node without waiting for it.
    pub fn begin(world: &World, node: &str, settings: &[(&str, &str)]) -> Self {
        Self::begin_under(world, node, settings, &[], None)
    }

    fn begin_under(
        world: &World,
        node: &str,
        settings: &[(&str, &str)],
        environment: &[(String, String)],
        kibibytes: Option<u64>,
    ) -> Self {
        let address = free_address();
        // Ignores SIGXFSZ: a write above the test's file size limit then fails, as on a full disk.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -d \"$1\"; exec \"$0\""]).arg(binary().get_program());
        command.arg(kibibytes.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string()));
        command.env_clear().envs(world.environment_with(node, settings));
        command.env("QUANTUMVAULT__HTTP__LISTEN", address.to_string());
        command.envs(environment.iter().cloned()).stdout(Stdio::null());
        let child = command.spawn().expect("the node starts");
        Self { address, command, child }
    }

    /// Returns a client of this node without a session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Sends the node a signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        assert!(signal(self.child.id(), name), "the node has ended");
    }

    /// Pauses all threads of the node and waits until they have stopped.
    pub async fn freeze(&self) {
        self.signal("STOP");
        until("a paused process", async || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("a process");
            threads.flatten().all(|thread| {
                let state = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
                // The state follows the name in parentheses. A thread that has just ended has none.
                state.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" T"))
            })
        })
        .await;
    }

    /// Returns the id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("the node can be killed");
        self.child.wait().expect("the node ends");
    }

    /// Waits until the node ends and returns its exit status.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the end of a node", async || self.child.try_wait().expect("a child").is_some()).await;
        self.child.wait().expect("the node has ended")
    }

    /// Restarts the ended node at its address and waits until it is ready. Like a service manager, starts it as often
    /// as it ends: a test may cut its connections during the start.
    pub async fn restart(&mut self) {
        until("a node that is ready again", async || {
            if self.child.try_wait().expect("a child").is_some() {
                self.child = self.command.spawn().expect("the node starts");
            }
            self.is_ready().await
        })
        .await;
    }

    /// Whether the node reports that it is ready.
    pub async fn is_ready(&self) -> bool {
        let answer = reqwest::get(self.client().url("/health/ready")).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn until_ready(&mut self) {
        until("a node that is ready", async || {
            assert!(self.child.try_wait().expect("a child").is_none(), "the node ended instead of serving");
            self.is_ready().await
        })
        .await;
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Killing and waiting fail only if the process has already ended.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}
