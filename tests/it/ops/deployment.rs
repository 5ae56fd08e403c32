//! Checks that the operators' documents and the deployment files match the server's settings, metrics and commands.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use qv_tests::command_line::run;

const SETUP: &str = "docs/setup.md";
const RUNBOOK: &str = "docs/runbook.md";
const SETTINGS: &str = "docs/reference/settings.md";
const METRICS: &str = "docs/reference/metrics.md";
const COMMANDS: &str = "docs/reference/commands.md";
/// Files that name settings as variables of the environment.
const FILES: [&str; 4] = ["Dockerfile", "compose.yaml", "docs/deploy/quantumvault.service", SETUP];
/// Documents that name settings with dots.
const PAGES: [&str; 5] = [SETUP, RUNBOOK, SETTINGS, "docs/scale.md", "docs/invalidation.md"];
const RULES: &str = "docs/deploy/alerts.yml";
const DASHBOARD: &str = "docs/deploy/grafana-dashboard.json";

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns every setting by its dotted name, with the text of its default.
fn settings() -> Vec<(String, String)> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in read("api/config.default.toml").lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.replace(']', ".");
        } else if let Some((key, default)) = line.split_once(" = ") {
            found.push((format!("{section}{key}"), default.to_owned()));
        }
    }
    found
}

/// Returns the names of metrics in a text. The parts of a histogram count as the histogram.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let words = words.filter(|word| word.starts_with("quantumvault_") || word.starts_with("process_"));
    let family = |word: &str| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
        part.unwrap_or(word).to_owned()
    };
    words.map(family).collect()
}

fn exposed() -> BTreeSet<String> {
    let code = read("api/src/http/ops/metrics.rs") + &read("api/src/http/ops/process_metrics.rs");
    metrics(&code.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" "))
}

#[test]
fn every_setting_is_explained_with_its_default() {
    let page = read(SETTINGS);
    let settings = settings();
    assert!(settings.len() > 100, "{}", settings.len());
    for (name, default) in &settings {
        assert!(page.contains(&format!("| `{name}` | `{default}` | ")), "{SETTINGS}: `{name}` with `{default}`");
    }
}

#[test]
fn a_setting_that_is_named_is_one() {
    let settings = settings();
    let is_known = |name: &str| settings.iter().any(|(known, _)| known == name);
    for file in FILES {
        let text = read(file);
        let named: Vec<_> = text.split("QUANTUMVAULT__").skip(1).collect();
        assert!(!named.is_empty(), "{file} names no setting");
        for rest in named {
            let end = rest.find(|letter: char| !letter.is_ascii_uppercase() && letter != '_').unwrap_or(rest.len());
            let name = rest[..end].to_ascii_lowercase().replace("__", ".");
            assert!(name == "config" || is_known(&name), "{file}: `{name}`");
        }
    }
    let is_section = |name: &str| settings.iter().any(|(known, _)| known.starts_with(&format!("{name}.")));
    for page in PAGES {
        for name in read(page).split('`').skip(1).step_by(2) {
            let is_dotted = name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
            if is_dotted && name.split_once('.').is_some_and(|(section, _)| is_section(section)) {
                assert!(is_known(name) || is_section(name), "{page}: `{name}`");
            }
        }
    }
}

#[test]
fn every_metric_is_explained() {
    let (page, exposed) = (read(METRICS), exposed());
    assert!(exposed.len() > 20, "{exposed:?}");
    for name in exposed {
        assert!(page.contains(&format!("| `{name}` | ")), "{METRICS}: `{name}`");
    }
}

#[test]
fn a_metric_that_is_asked_for_is_one() {
    let exposed = exposed();
    serde_json::from_str::<Value>(&read(DASHBOARD)).expect("JSON");
    for file in [DASHBOARD, RULES, "docs/deploy/alerts.test.yml", METRICS, RUNBOOK, SETUP] {
        let asked = metrics(&read(file));
        let unknown: Vec<_> = asked.difference(&exposed).collect();
        assert!(!asked.is_empty() && unknown.is_empty(), "{file}: {unknown:?} of {asked:?}");
    }
}

#[test]
fn every_alert_has_something_to_do_about_it() {
    let (page, rules) = (read(RUNBOOK), read(RULES));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(page.contains(&format!("| {alert} | ")), "{RUNBOOK}: {alert}");
    }
}

#[test]
fn every_command_is_explained() {
    let page = read(COMMANDS);
    let help = String::from_utf8(run(&[], &["--help"]).stdout).expect("text");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"serve"), "{help}");
    for command in commands {
        assert!(page.contains(&format!("| `quantumvault {command}` | ")), "{COMMANDS}: {command}");
    }
}

#[test]
fn a_file_that_compose_mounts_exists() {
    let compose = read("compose.yaml");
    let mounted: Vec<_> = compose.split("./docs/").skip(1).filter_map(|rest| rest.split(':').next()).collect();
    assert!(mounted.len() > 3, "{mounted:?}");
    for path in mounted {
        read(&format!("docs/{path}"));
    }
}
