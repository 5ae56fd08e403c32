//! PostgreSQL and Redis servers for a single test, for faults that would disturb other tests.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::node_process::{free_address, signal};
use crate::patience::until;
use crate::process;

/// Server process that a test can stop and start.
pub struct Backing {
    /// Address that the server listens on.
    pub address: SocketAddr,
    /// Folder with the server's data.
    pub folder: PathBuf,
    kind: Kind,
    command: Command,
    child: Option<Child>,
    _removed_on_drop: TempDir,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Redis,
}

impl Backing {
    /// Creates a PostgreSQL cluster and starts it.
    pub async fn postgres() -> Self {
        let place = open_folder();
        Self::postgres_in(place.path().join("data"), place).await
    }

    /// Creates a PostgreSQL cluster in this folder and starts it. The folder must last at least as long as `place`.
    pub async fn postgres_in(folder: PathBuf, place: TempDir) -> Self {
        Self::postgres_with(&["max_connections=60", "fsync=off"], folder, place).await
    }

    /// Creates and starts a PostgreSQL cluster with these settings, whose commits survive a power cut.
    pub async fn durable_postgres(settings: &[&str]) -> Self {
        let place = open_folder();
        Self::postgres_with(settings, place.path().join("data"), place).await
    }

    async fn postgres_with(settings: &[&str], folder: PathBuf, place: TempDir) -> Self {
        let (address, programs) = (free_address(), postgres_programs());
        fs::create_dir_all(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("a mode");
        if let Some((user, group)) = postgres_user() {
            chown(&folder, Some(user), Some(group)).expect("its folder");
        }
        let mut initdb = as_postgres(&programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        let made = initdb.arg("--pgdata").arg(&folder).output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        let mut command = as_postgres(&programs.join("postgres"));
        command.arg("-D").arg(&folder).args(["-p", &address.port().to_string()]);
        let common =
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "wal_level=minimal", "max_wal_senders=0"];
        for setting in common.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        Self::started(Self { address, folder, kind: Kind::Postgres, command, child: None, _removed_on_drop: place })
            .await
    }

    /// Starts a Redis that persists nothing.
    pub async fn redis() -> Self {
        let (place, address) = (open_folder(), free_address());
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &address.port().to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(place.path());
        let folder = place.path().to_owned();
        Self::started(Self { address, folder, kind: Kind::Redis, command, child: None, _removed_on_drop: place }).await
    }

    async fn started(mut self) -> Self {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        self.start().await;
        self
    }

    /// Returns the server's URL for the settings, with its own address or a proxy's.
    #[must_use]
    pub fn url(&self, address: SocketAddr) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://postgres@{address}/postgres?sslmode=disable"),
            Kind::Redis => format!("redis://{address}"),
        }
    }

    /// Starts the server and retries, because leftovers of a killed server may block it for a moment.
    pub async fn start(&mut self) {
        let (address, kind) = (self.address, self.kind);
        let (command, child) = (&mut self.command, &mut self.child);
        until("a server that responds", async || {
            if child.as_mut().is_none_or(|child| child.try_wait().expect("a child").is_some()) {
                *child = Some(command.spawn().expect("the server starts"));
            }
            match kind {
                Kind::Postgres => takes_statements(address).await,
                Kind::Redis => command_redis(address, "PING").await.is_some_and(|answer| answer == "+PONG"),
            }
        })
        .await;
    }

    /// Ends the server with a signal: `KILL`, or for PostgreSQL `INT` (fast) and `QUIT` (immediate).
    pub async fn stop(&mut self, name: &str) {
        let mut child = self.child.take().expect("the server runs");
        signal(child.id(), name);
        until("the end of a server", async || child.try_wait().expect("a child").is_some()).await;
    }

    /// Pauses the process and its children.
    pub fn pause(&self) {
        self.signal_all("STOP");
    }

    /// Resumes the process and its children.
    pub fn resume(&self) {
        self.signal_all("CONT");
    }

    /// Runs one Redis command and returns the first line of the reply.
    pub async fn run(&self, command: &str) -> String {
        command_redis(self.address, command).await.expect("Redis responds")
    }

    /// Returns the processor time of the process and its running children.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        self.processes().into_iter().map(process::cpu).sum()
    }

    fn signal_all(&self, name: &str) {
        for pid in self.processes() {
            // A child may have ended meanwhile.
            signal(pid, name);
        }
    }

    /// Returns the ids of the process and its children. The parent comes first, because it would start new children.
    fn processes(&self) -> Vec<u32> {
        let pid = self.child.as_ref().expect("the server runs").id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("a process");
        let children = children.split_whitespace().map(|child| child.parse().expect("a number"));
        [pid].into_iter().chain(children).collect()
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            self.child = Some(child);
            self.resume();
            let Some(mut child) = self.child.take() else { return };
            // A killed PostgreSQL leaves shared memory behind.
            signal(child.id(), if self.kind == Kind::Postgres { "QUIT" } else { "KILL" });
            drop(child.wait());
        }
    }
}

/// Creates a temporary folder that PostgreSQL's user can enter.
#[must_use]
pub fn open_folder() -> TempDir {
    let passable = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(passable).tempdir().expect("a temporary folder can be made")
}

/// Returns the folder with `initdb`. Debian keeps it out of PATH, in one folder per version.
fn postgres_programs() -> PathBuf {
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    let found = on_path.into_iter().chain(versions.into_iter().rev()).find(|folder| folder.join("initdb").is_file());
    found.expect("PostgreSQL is installed")
}

/// Whether the tests run as root.
#[must_use]
pub fn is_root() -> bool {
    fs::metadata("/proc/self").expect("a process").uid() == 0
}

/// Returns the user and group for PostgreSQL where the tests run as root. PostgreSQL refuses to run as root.
fn postgres_user() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let user = users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("a user of its own");
    let fields: Vec<_> = user.split(':').collect();
    Some((fields[1].parse().expect("a number"), fields[2].parse().expect("a number")))
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env_remove("LANGUAGE").env("LC_ALL", "C.UTF-8");
    if let Some((user, group)) = postgres_user() {
        command.uid(user).gid(group);
    }
    command
}

async fn takes_statements(address: SocketAddr) -> bool {
    use sqlx::{Connection, Executor, PgConnection};
    let url = format!("postgres://postgres@{address}/postgres?sslmode=disable");
    let asking = async {
        let mut connection = PgConnection::connect(&url).await?;
        connection.execute("SELECT 1").await?;
        connection.close().await
    };
    timeout(Duration::from_secs(1), asking).await.is_ok_and(|asked: Result<(), sqlx::Error>| asked.is_ok())
}

/// Runs one Redis command and returns the first line of the reply.
async fn command_redis(address: SocketAddr, command: &str) -> Option<String> {
    let asking = async {
        let mut stream = BufReader::new(TcpStream::connect(address).await.ok()?);
        stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        Some(line.trim_end().to_owned())
    };
    timeout(Duration::from_secs(1), asking).await.ok().flatten()
}
