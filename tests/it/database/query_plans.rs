//! Query plans: statements about messages use an index and never scan a table, so costs do not grow.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use quantumvault::service::ops::retention as purge;
use qv_tests::{operation, world::World};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

/// Tables that grow with use.
const TABLES: [&str; 4] = ["messages", "conversation_members", "mailboxes", "mailbox_events"];

#[tokio::test]
async fn every_statement_about_messages_goes_by_an_index() {
    let log = Log::default();
    let written = log.clone();
    tracing_subscriber::fmt().json().with_max_level(LevelFilter::DEBUG).with_writer(move || written.clone()).init();
    let world = World::new().await;
    let (node, alice, bob) = world.pair_with(|config| config.feed.retention_days = 0).await;
    let first = alice.send(&bob, "1", "1").await;
    log.clear();

    let second = alice.send(&bob, "2", "2").await;
    bob.mark_read(&second).await.data();
    bob.delete(&[second.message_id(), first.message_id()]).await.data();
    for page in [json!({ "first": 2 }), json!({ "last": 2 })] {
        let inbox = alice.run(operation!("inbox"), page.clone()).await;
        let cursor = &inbox.data()["viewer"]["conversations"]["pageInfo"]["endCursor"];
        alice.run(operation!("inbox"), json!({ "first": 2, "after": cursor })).await.data();
        let mut with = page;
        with["with"] = json!(bob.id);
        let messages = alice.run(operation!("conversation"), with).await;
        let cursor = &messages.data()["viewer"]["conversation"]["messages"]["pageInfo"]["endCursor"];
        alice.run(operation!("conversation"), json!({ "with": bob.id, "before": cursor })).await.data();
    }
    alice.send(&alice, "3", "3").await.data();
    for end in ["first", "last"] {
        let many =
            format!("{{ viewer {{ conversations {{ nodes {{ messages({end}: 2) {{ nodes {{ id }} }} }} }} }} }}");
        alice.run(&many, Value::Null).await.data();
    }
    alice.feed_page(None, None).await.data();
    purge::run(&node.server.backend).await.expect("purges");

    // One connection, because prepared statements belong to their connection.
    let options = ConnectOptions::new(&world.database.url).max_connections(1).to_owned();
    let db = Database::connect(options).await.expect("the database answers");
    let statements = log.statements();
    assert!(statements.len() > 18, "{statements:#?}");
    for sql in statements {
        let plan = plan(&db, &sql).await;
        for bad in ["Seq Scan", "SCAN", "USE TEMP B-TREE FOR ORDER BY", "Sort Key", "idx_messages_recipient"] {
            // Locking statements may sort the few rows that they lock.
            let is_held = bad == "Sort Key" && sql.contains("FOR UPDATE");
            assert!(!plan.contains(bad) || is_held, "{sql}\n{plan}");
        }
    }
}

/// Returns the plan of a statement for any values and for large tables.
async fn plan(db: &DatabaseConnection, sql: &str) -> String {
    let backend = db.get_database_backend();
    let (column, statement) = if backend == DbBackend::Postgres {
        let numbers = sql.split('$').skip(1).filter_map(|rest| rest.split(|it: char| !it.is_ascii_digit()).next());
        let count = numbers.filter_map(|number| number.parse().ok()).max().unwrap_or(0);
        let values = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
        let settings = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_sort = off";
        db.execute_unprepared(settings).await.expect("set");
        db.execute_unprepared(&format!("PREPARE one AS {sql}")).await.expect("prepared");
        ("QUERY PLAN", format!("EXPLAIN EXECUTE one{values}"))
    } else {
        ("detail", format!("EXPLAIN QUERY PLAN {sql}"))
    };
    let rows = db.query_all_raw(Statement::from_string(backend, statement)).await.expect("explained");
    if backend == DbBackend::Postgres {
        db.execute_unprepared("DEALLOCATE one").await.expect("forgotten");
    }
    rows.iter().map(|row| row.try_get::<String>("", column).expect("a line")).collect::<Vec<_>>().join("\n")
}

/// Log of the statements that the driver runs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn clear(&self) {
        self.0.lock().expect("whole").clear();
    }

    /// Returns the statements that read or change one of the tables.
    fn statements(&self) -> BTreeSet<String> {
        let text = String::from_utf8(self.0.lock().expect("whole").clone()).expect("text");
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let statements = events
            .filter(|event| event["target"] == "sqlx::query")
            .filter_map(|event| Some(event["fields"]["db.statement"].as_str()?.trim().to_owned()));
        // Hand-written statements quote no names.
        let is_about = |sql: &str| {
            let words = sql.replace('"', "");
            let words: Vec<_> = words.split_whitespace().collect();
            words.windows(2).any(|two| ["FROM", "JOIN", "UPDATE"].contains(&two[0]) && TABLES.contains(&two[1]))
        };
        // Excludes deliveries: only the driver knows their parameter types, and they find every row by its key.
        statements.filter(|sql| is_about(sql) && !sql.starts_with("WITH")).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
