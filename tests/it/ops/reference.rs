//! `docs/reference` states what the code has: settings and audit actions are generated, other tables are compared.
//!
//! `just reference` sets `QV_BLESS`, with which the generated pages are written before they are compared.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use quantumvault::domain::audit::AuditAction;
use quantumvault::domain::{AuthenticationReason, ErrorCode};
use qv_tests::{command_line::run, raw::get, world::World};

const SETTINGS: &str = "\
# Settings

The binary holds the defaults. A TOML file that `QUANTUMVAULT__CONFIG` names overrides them, and the environment
overrides both. In the environment, commas separate the items of a list. `quantumvault config` prints the defaults.

An unknown or contradictory setting stops the start with a message that names it. A number is at least 1, unless the
table gives 0 a meaning, and at most 2147483647.

`database.url`, `redis.url`, `mail.url` and `operations.metrics_token` are secrets. Pass them in the environment, or in
a file that other users cannot read. The log contains none of them.

This page is generated from `api/config.default.toml` by `just reference`.
";

const AUDIT: &str = "\
# Audit actions

The audit trail records these actions, and `AuditLog.action` returns their names. Users read the entries of their own
account by `viewer { auditLogs }`, operators read all entries by `admin { auditLogs }`. An entry cannot be changed.
`audit.retention_days` limits its age.

This page is generated from `api/src/domain/audit.rs` by `just reference`.

| action | recorded when |
| --- | --- |
";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares a generated page, after writing it if that was requested.
fn check_generated(name: &str, page: &str) {
    if env::var_os("QV_BLESS").is_some() {
        fs::write(path(name), page).expect("written");
    }
    assert_eq!(read(name), page, "{name} differs from the code: run `just reference`");
}

/// Returns the cells of each row of the tables under a heading, without the header and without code marks.
fn rows(name: &str, heading: &str) -> Vec<Vec<String>> {
    let page = read(name);
    let (_, rest) = page.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("{name}: {heading}"));
    let end = rest.find("\n## ").unwrap_or(rest.len());
    let lines = rest[..end].lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = |line: &str| line.split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
    lines.skip(2).map(cells).collect()
}

/// Compares the rows of a page with those of the code, in any order.
fn check_rows<T: Ord + std::fmt::Debug>(
    name: &str,
    documented: impl Iterator<Item = T>,
    known: impl Iterator<Item = T>,
) {
    let (documented, known): (BTreeSet<_>, BTreeSet<_>) = (documented.collect(), known.collect());
    let missing: Vec<_> = known.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "{name} lacks {missing:#?} and has unknown {unknown:#?}");
}

/// Returns the page of settings: a table for each section, a row for each setting.
fn settings_page() -> String {
    let (mut comment, mut section) = (Vec::new(), String::new());
    let table = "\n| setting | default | environment | meaning |\n| --- | --- | --- | --- |\n";
    let mut parts = vec![SETTINGS.to_owned(), format!("\n## Top level\n{table}")];
    for line in read("api/config.default.toml").lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text.to_owned());
            continue;
        }
        let text = std::mem::take(&mut comment).join(" ");
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            if !name.contains('.') {
                let intro = if text.is_empty() { text } else { format!("\n{text}\n") };
                parts.push(format!("\n## `{name}`\n{intro}{table}"));
            }
            section = format!("{name}.");
        } else if let Some((key, default)) = line.split_once(" = ") {
            let name = format!("{section}{key}");
            let variable = format!("QUANTUMVAULT__{}", name.replace('.', "__").to_uppercase());
            parts.push(format!("| `{name}` | `{default}` | `{variable}` | {text} |\n"));
        }
    }
    parts.concat()
}

#[test]
fn settings_are_those_of_the_defaults() {
    let page = settings_page();
    assert!(page.matches("| `QUANTUMVAULT__").count() > 100, "{page}");
    assert!(!page.contains("|  |"), "a setting has no sentence: {page}");
    check_generated("docs/reference/settings.md", &page);
}

#[test]
fn audit_actions_are_those_of_the_code() {
    let rows = AuditAction::ALL.map(|action| format!("| `{}` | {} |\n", action.as_str(), action.description()));
    check_generated("docs/reference/audit.md", &(AUDIT.to_owned() + &rows.concat()));
}

#[test]
fn error_codes_and_reasons_are_those_of_the_code() {
    const PAGE: &str = "docs/reference/errors.md";
    let documented = |heading| rows(PAGE, heading).into_iter().map(|mut cells| cells.swap_remove(0));
    check_rows(PAGE, documented("Codes"), ErrorCode::ALL.into_iter().map(|code| code.as_str().to_owned()));
    let reasons = AuthenticationReason::ALL.into_iter().map(|reason| reason.as_str().to_owned());
    check_rows(PAGE, documented("Reasons of UNAUTHENTICATED"), reasons);
}

#[tokio::test]
async fn metrics_are_those_of_the_exposition() {
    const PAGE: &str = "docs/reference/metrics.md";
    let node = World::new().await.node().await;
    let text = String::from_utf8(get(node.server.address, "/metrics", &[]).await.body).expect("text");
    let lines = |prefix: &'static str| text.lines().filter_map(move |line| line.strip_prefix(prefix)?.split_once(' '));
    let exposed = lines("# TYPE ").zip(lines("# HELP ")).map(|((name, kind), (_, help))| [name, kind, help]);
    let exposed: Vec<_> = exposed.map(|it| it.map(str::to_owned)).collect();
    assert!(exposed.len() > 20, "{text}");
    let documented = rows(PAGE, "Metrics").into_iter().map(|cells| [0, 1, 3].map(|index| cells[index].clone()));
    check_rows(PAGE, documented, exposed.into_iter());
}

#[test]
fn close_codes_are_those_of_the_protocol() {
    const PAGE: &str = "docs/reference/close-codes.md";
    let code = read("api/src/http/transport/websocket/protocol.rs");
    let closes = code.split("Self::new(").skip(1).filter_map(|rest| rest.split(')').next()?.split_once(", "));
    let known: Vec<_> = closes.map(|(code, reason)| [code, reason.trim_matches('"')].map(str::to_owned)).collect();
    assert!(known.len() > 10, "{known:?}");
    let documented = rows(PAGE, "Close codes").into_iter().map(|cells| [0, 1].map(|index| cells[index].clone()));
    check_rows(PAGE, documented, known.into_iter());
}

#[test]
fn exit_codes_are_those_of_the_help() {
    const PAGE: &str = "docs/reference/exit-codes.md";
    let help = String::from_utf8(run(&[], &["--help"]).stdout).expect("text");
    let (_, codes) = help.split_once("Exit codes: ").expect("exit codes");
    let codes = codes.trim_end().trim_end_matches('.').split(", ").filter_map(|code| code.split_once(' '));
    let codes = codes.map(|(code, meaning)| [code, meaning].map(str::to_owned));
    let documented = rows(PAGE, "Exit codes").into_iter().map(|cells| [0, 1].map(|index| cells[index].clone()));
    check_rows(PAGE, documented, codes);
}
