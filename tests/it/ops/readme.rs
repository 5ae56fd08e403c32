//! Runs README's commands for a frontend as printed, and compares their output with the printed one.

use std::{fs, process::Stdio};

use qv_tests::process::Process;
use qv_tests::world::World;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const BEGIN: &str = "<!-- Commands begin";
const END: &str = "<!-- Commands end. -->";
/// Address in the commands.
const ADDRESS: &str = "127.0.0.1:8000";
/// Line that the shell prints after each command.
const MARK: &str = "--- the next command ---";

/// A command with the output that README shows below it.
struct Step {
    command: String,
    output: String,
}

#[tokio::test]
async fn the_commands_of_the_readme_work_twice_in_a_row() {
    let world = World::new().await;
    // README's reader has the default limits.
    let process = Process::start(&world, &[("RATE_LIMITS__ENABLED", "true")]).await;
    let steps = steps();
    assert!(steps.len() > 5 && steps[0].command.contains(ADDRESS), "{} commands", steps.len());
    for round in ["first", "second"] {
        let outputs = run(&steps, &process.address.to_string()).await;
        assert_eq!(outputs.len(), steps.len(), "{outputs:?}");
        for (step, output) in steps.iter().zip(&outputs) {
            let Step { command, output: expected } = step;
            assert!(is_shown(expected, output), "{round} round:\n{command}\nprinted\n{output}\ninstead of\n{expected}");
        }
    }
}

#[test]
fn output_that_differs_from_the_readme_is_found() {
    for (expected, output) in [("", " \n"), ("{\"a\": …}\n", "{\"a\":1}"), ("a…b…c", "axbbycbc")] {
        assert!(is_shown(expected, output), "{expected} {output}");
    }
    for (expected, output) in
        [("", "x"), ("a…", "b"), ("…a", "ab"), ("a…b…c", "abc d"), ("ab…ba", "aba"), ("ab", "abc")]
    {
        assert!(!is_shown(expected, output), "{expected} {output}");
    }
}

/// Returns the commands between README's marks. A block in another language is the output of the command above it.
fn steps() -> Vec<Step> {
    let readme = fs::read_to_string(README).expect("README can be read");
    let (_, commands) = readme.split_once(BEGIN).expect("README marks its commands");
    let (commands, _) = commands.split_once(END).expect("README marks the end of its commands");
    let mut steps: Vec<Step> = Vec::new();
    // Every other part of a text split at its fences is a block.
    for block in commands.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a block has lines");
        if language == "sh" {
            steps.push(Step { command: text.to_owned(), output: String::new() });
        } else {
            steps.last_mut().expect("output stands below a command").output.push_str(text);
        }
    }
    steps
}

/// Runs the commands one after the other in one shell, and returns what each printed.
async fn run(steps: &[Step], address: &str) -> Vec<String> {
    let commands = steps.iter().map(|step| format!("{}\necho '{MARK}'\n", step.command.replace(ADDRESS, address)));
    let script = commands.collect::<String>();
    let mut shell = Command::new("bash");
    // Without the variables of a proxy, which curl would use, and without the home folder, which may configure curl.
    shell.env_clear().env("PATH", std::env::var_os("PATH").expect("a path"));
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("bash runs");
    let mut input = shell.stdin.take().expect("a pipe");
    input.write_all(script.as_bytes()).await.expect("bash reads");
    drop(input);
    let output = shell.wait_with_output().await.expect("bash ends");
    let output = String::from_utf8(output.stdout).expect("text");
    let mut outputs: Vec<_> = output.split(MARK).map(str::to_owned).collect();
    assert_eq!(outputs.pop().as_deref(), Some("\n"), "{output}");
    outputs
}

/// Whether a command printed the expected output, in which `…` stands for any text and space does not count.
fn is_shown(expected: &str, output: &str) -> bool {
    let [expected, output] = [expected, output].map(|text| text.split_whitespace().collect::<String>());
    let Some((start, end)) = expected.split_once('…') else { return expected == output };
    let (middle, end) = end.rsplit_once('…').unwrap_or(("", end));
    let rest = output.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    let found = middle.split('…').try_fold(rest.unwrap_or_default(), |rest, part| Some(rest.split_once(part)?.1));
    rest.is_some() && found.is_some()
}
