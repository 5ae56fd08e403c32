//! A mail server that shows a test what it received.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far longer than anything takes, so that only what never comes fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What links in mails begin with in [`MailServer::settings`].
pub const LINK_BASE: &str = "https://chat.example.org/app";

/// The server of `tests/mail`, which ends with the test.
pub struct MailServer {
    /// Where it listens on the loopback.
    pub port: u16,
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl MailServer {
    /// One that takes every letter.
    pub async fn start() -> Self {
        Self::run(&[]).await
    }

    /// The same at a port that the test has chosen.
    pub async fn start_at(port: u16) -> Self {
        Self::run(&["--port", &port.to_string()]).await
    }

    /// One that answers every letter with this code.
    pub async fn refusing(code: u16) -> Self {
        Self::run(&["--refuse", &code.to_string()]).await
    }

    /// One with these options of `tests/mail/sink.mjs`.
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

    /// The environment of a node whose letters go to this port.
    #[must_use]
    pub fn settings(port: u16) -> [(String, String); 3] {
        [
            ("URL", format!("smtp://127.0.0.1:{port}")),
            ("LINK_BASE", format!("{LINK_BASE}/")),
            ("RETRY_MS", "50".to_owned()),
        ]
        .map(|(name, value)| (format!("QUANTUMVAULT__MAIL__{name}"), value))
    }

    /// The next letter.
    pub async fn letter(&mut self) -> Value {
        line(&mut self.lines).await.expect("the mail server runs")
    }

    /// The letters that have come and were not looked at, once the server has ended.
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
    let line = timeout(PATIENCE, lines.next_line()).await.expect("no letter came").expect("an output");
    line.map(|line| serde_json::from_str(&line).expect("JSON"))
}
