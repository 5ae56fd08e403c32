//! The start of the real binary: its output, and its errors about unusable settings.

use std::os::unix::fs::PermissionsExt;

use qv_migration::Migrator;
use qv_tests::command_line::run;
use qv_tests::world::{World, private_folder};
use sea_orm_migration::MigratorTrait;

fn refusal(world: &World, name: &str, value: &str) -> String {
    let output = run(&world.environment_with("one", &[(name, value)]), &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    said.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_start_that_cannot_be_is_one_sentence_with_the_setting_and_the_remedy() {
    let world = World::new().await;
    let open = private_folder();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let open = open.path().to_str().expect("text");
    let mails = format!("file://{open}");
    for (name, value, expected) in [
        ("HTTP__PORTS", "1", "QUANTUMVAULT__HTTP__PORTS is not a setting"),
        ("DATABASE__POOL_SIZE", "lots", "database.pool_size"),
        (
            "DATABASE__URL",
            "postgres://nobody@127.0.0.1:1/none",
            "QUANTUMVAULT__DATABASE__URL names a database that cannot be reached",
        ),
        ("DATA_DIR", open, "others can read (mode 755): run `chmod 700"),
        ("HTTP__LISTEN", "192.0.2.1:80", "QUANTUMVAULT__HTTP__LISTEN names 192.0.2.1:80"),
        ("GRAPHQL__MODE", "trusted", "QUANTUMVAULT__GRAPHQL__MANIFEST is empty"),
        ("MAIL__URL", &mails, "QUANTUMVAULT__MAIL__URL holds"),
        ("MAIL__URL", "smtp://127.0.0.1?tls=maybe", "QUANTUMVAULT__MAIL__URL cannot be used"),
        ("MAIL__FROM", "nobody", "QUANTUMVAULT__MAIL__FROM cannot be used"),
        ("MAIL__LINK_BASE", "chat.example.org", "QUANTUMVAULT__MAIL__LINK_BASE must be"),
    ] {
        let said = refusal(&world, name, value);
        assert!(said.starts_with("quantumvault: ") && said.contains(expected), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let world = World::new().await;
    drop(world.node().await);
    let db = world.database.connect().await;
    let sql = "INSERT INTO migrations (version, applied_at) VALUES ('m29991231_000001_future', 0)";
    sea_orm::ConnectionTrait::execute_unprepared(&db, sql).await.expect("it is recorded");
    let output = run(&world.environment("two"), &[]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("newer release") && said.contains("m29991231_000001_future"), "{said}");
}

#[tokio::test]
async fn the_schema_and_the_migrations_are_at_the_command_line() {
    let world = World::new().await;
    let environment = world.environment("one");
    let lines = |arguments: &[&str]| {
        let output = run(&environment, arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(lines(&["schema"]), include_str!("../../../schema.graphql"));
    assert!(lines(&["config"]).contains("[database]"));
    // Returns the number of migrations, and the number of applied ones.
    let applied = |arguments: &[&str]| {
        let lines = lines(arguments);
        let count = |kind| lines.lines().filter(|line| line.starts_with(kind)).count();
        let (applied, pending) = (count("applied "), count("pending "));
        assert_eq!(applied + pending, lines.lines().count(), "{lines}");
        (applied + pending, applied)
    };
    let all = Migrator::migrations().len();
    if world.is_clustered() {
        assert_eq!(applied(&["migrate", "status"]), (all, 0));
    } else {
        assert_eq!(run(&environment, &["migrate", "status"]).status.code(), Some(1), "asking makes no database");
    }
    assert_eq!(applied(&["migrate", "up"]), (all, all));
    assert_eq!(applied(&["migrate", "down", "--steps", "2"]), (all, all - 2));
    assert_eq!(applied(&["migrate", "up"]), (all, all));
    assert_eq!(run(&environment, &["dance"]).status.code(), Some(2));
}
