//! The command line of the built binary, as operators use it.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::{client::PASSWORD, node_process::binary, world::World};

/// Runs a command in this environment and returns its output.
pub fn run(environment: &[(String, String)], arguments: &[&str]) -> Output {
    binary().args(arguments).envs(environment.iter().cloned()).output().expect("the command runs")
}

/// Runs a command next to the first node and returns its output. The command must succeed.
pub fn said(world: &World, arguments: &[&str]) -> String {
    let output = run(&world.environment("one"), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Creates an account and returns its id.
pub fn create(world: &World, username: &str, email: &str) -> String {
    let mut command = binary();
    command.args(["user", "create", username, email]).envs(world.environment("one"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command runs");
    writeln!(child.stdin.take().expect("a pipe"), "{PASSWORD}").expect("the command reads its input");
    let output = child.wait_with_output().expect("the command ends");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
