//! A mail server that shows a test the mails it received.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Start of the links in mails, as [`MailServer::settings`] sets it.
pub const LINK_BASE: &str = "https://chat.example.org/app";

/// Process of the server in `tests/mail`, which ends with the test.
pub struct MailServer {
    /// Port on the loopback address.
    pub port: u16,
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl MailServer {
    /// Starts a server that accepts every mail.
    pub async fn start() -> Self {
        Self::run(&[]).await
    }

    /// Starts a server that accepts every mail, on this port.
    pub async fn start_at(port: u16) -> Self {
        Self::run(&["--port", &port.to_string()]).await
    }

    /// Starts a server that rejects every mail with this code.
    pub async fn refusing(code: u16) -> Self {
        Self::run(&["--refuse", &code.to_string()]).await
    }

    /// Starts a server with these options of `tests/mail/sink.mjs`.
    pub async fn run(arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mail");
        assert!(folder.join("node_modules").exists(), "fetch the server first: npm --prefix tests/mail ci");
        let mut process = Command::new("node")
            .arg(folder.join("sink.mjs"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let mut lines = BufReader::new(process.stdout.take().expect("an output")).lines();
        let first = line(&mut lines).await.expect("the mail server starts");
        let port = first["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        Self { port, process, lines }
    }

    /// Returns the settings of a node that sends its mails to this port.
    #[must_use]
    pub fn settings(port: u16) -> [(String, String); 3] {
        [
            ("URL", format!("smtp://127.0.0.1:{port}")),
            ("LINK_BASE", format!("{LINK_BASE}/")),
            ("RETRY_MS", "50".to_owned()),
        ]
        .map(|(name, value)| (format!("QUANTUMVAULT__MAIL__{name}"), value))
    }

    /// Returns the next mail.
    pub async fn letter(&mut self) -> Value {
        line(&mut self.lines).await.expect("the mail server runs")
    }

    /// Ends the server and returns the mails that the test has not read.
    pub async fn rest(mut self) -> Vec<Value> {
        drop(self.process.stdin.take());
        let mut letters = Vec::new();
        while let Some(letter) = line(&mut self.lines).await {
            letters.push(letter);
        }
        letters
    }
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("no mail arrived in time").expect("an output");
    line.map(|line| serde_json::from_str(&line).expect("JSON"))
}
