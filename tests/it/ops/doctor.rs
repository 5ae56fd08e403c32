//! `doctor`: its findings on a healthy machine, and its advice on a faulty one.

use qv_tests::{command_line::run, world::World};
use sea_orm::ConnectionTrait;
use serde_json::Value;

/// Returns the exit code, and the findings with their names.
fn examined(world: &World, settings: &[(&str, &str)]) -> (Option<i32>, Vec<(String, String, Value)>) {
    let output = run(&world.environment_with("one", settings), &["doctor", "--json"]);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let findings = findings.iter().map(|it| (text(&it["check"]), text(&it["verdict"]), it.clone())).collect();
    (output.status.code(), findings)
}

fn verdict<'a>(findings: &'a [(String, String, Value)], check: &str) -> &'a str {
    &findings.iter().find(|(name, ..)| name == check).unwrap_or_else(|| panic!("{check}: {findings:?}")).1
}

#[tokio::test]
async fn a_node_that_can_serve_passes() {
    let world = World::new().await;
    drop(world.node().await);
    let (code, findings) = examined(&world, &[("RATE_LIMITS__ENABLED", "true")]);
    assert_eq!(code, Some(0), "{findings:?}");
    for check in ["configuration", "data directory", "signing key", "database", "migrations", "database clock", "redis"]
    {
        assert_eq!(verdict(&findings, check), "OK", "{check}");
    }
    assert_ne!(verdict(&findings, "mail"), "FAIL");
    assert_ne!(verdict(&findings, "file descriptors"), "FAIL");
    let redis_clock: Vec<_> =
        findings.iter().filter(|(name, ..)| name == "redis clock").map(|(_, verdict, _)| verdict.as_str()).collect();
    assert_eq!(redis_clock, if world.is_clustered() { &["OK"][..] } else { &[] });
    let told = run(&world.environment("one"), &["doctor"]);
    let told = String::from_utf8(told.stdout).expect("text");
    assert!(
        told.lines().all(|line| ["OK  ", "WARN", "FAIL"].iter().any(|verdict| line.starts_with(verdict))),
        "{told}"
    );
    assert!(told.contains("rate limits are disabled: remove QUANTUMVAULT__RATE_LIMITS__ENABLED"), "{told}");
}

#[tokio::test]
async fn what_is_wrong_fails_with_what_to_do() {
    let world = World::new().await;
    drop(world.node().await);
    let db = world.database.connect().await;
    db.execute_unprepared("INSERT INTO migrations (version, applied_at) VALUES ('m29990101_future', 1)")
        .await
        .expect("written");
    for (settings, check) in [
        (&[][..], "migrations"),
        (&[("HTTP__LISTENS", "1")], "configuration"),
        (&[("DATABASE__URL", "postgres://nobody@127.0.0.1:1/none")], "database"),
        (&[("DATABASE__URL", "postgres://nobody@127.0.0.1:1/none"), ("REDIS__URL", "redis://127.0.0.1:1")], "redis"),
        (&[("MAIL__URL", "smtp://127.0.0.1:1")], "mail"),
    ] {
        let (code, findings) = examined(&world, settings);
        assert_eq!((code, verdict(&findings, check)), (Some(1), "FAIL"), "{findings:?}");
        let failed = findings.iter().filter(|(_, verdict, _)| verdict != "OK");
        assert!(failed.clone().all(|(.., finding)| finding["remedy"].is_string()), "{findings:?}");
    }
}

#[tokio::test]
async fn nothing_is_made_by_looking() {
    let world = World::new().await;
    let (code, findings) = examined(&world, &[]);
    assert_ne!(verdict(&findings, "data directory"), "FAIL", "{findings:?}");
    let data_dir = world.config("one").data_dir;
    assert!(!data_dir.exists(), "{code:?}");
}
