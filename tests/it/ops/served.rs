//! The real binary as a server of one test: where it answers, and what it logged when it has ended.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use qv_tests::{client::Client, world::World};
use tempfile::NamedTempFile;

use crate::ops::start::binary;

/// A server in a process of its own, which ends with the test at the latest.
pub struct Served {
    /// Where it answers.
    pub address: SocketAddr,
    child: Child,
    log: NamedTempFile,
}

impl Served {
    /// Starts one; `settings` stand over the world's.
    pub fn start(world: &World, settings: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().expect("a file");
        let settings = settings.iter().map(|(name, value)| (format!("QUANTUMVAULT__{name}"), (*value).to_owned()));
        let mut child = binary()
            .envs(world.environment("one"))
            .envs(settings)
            .stdout(Stdio::piped())
            .stderr(File::create(log.path()).expect("a file"))
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
        let address = lines.find_map(|line| {
            let (_, rest) = line.expect("text").split_once("http://").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
            rest.split('/').next()?.parse().ok()
        });
        Self { address: address.expect("it says where it answers"), child, log }
    }

    /// Somebody who talks to it.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Ends it as an operator does, and reads its log.
    pub fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("it runs").success());
        let status = self.child.wait().expect("it ends");
        let log = std::fs::read_to_string(self.log.path()).expect("text");
        assert!(status.success(), "{status}: {log}");
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
