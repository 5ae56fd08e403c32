//! Nodes with wrong clocks: they remove nothing that must be kept.

use chrono::TimeDelta;
use quantumvault::service::ops::{retention, snapshot};
use qv_entity::{audit_logs, mailbox_events, sessions};
use qv_tests::world::{World, manual_clock};
use sea_orm::{ActiveModelTrait, DatabaseConnection, EntityTrait, PaginatorTrait, Set};

#[tokio::test]
async fn a_node_whose_clock_is_wrong_purges_nothing() {
    let world = World::with_clock(manual_clock()).await;
    let (node, alice, bob) = world.pair().await;
    alice.send(&bob, "hello", "1").await.data();
    let (db, clock, backend) = (world.database.connect().await, &world.source.clock, &node.server.backend);
    let before = kept(&db).await;
    let mut refused = 0;
    for (wrong, words) in [
        (TimeDelta::days(100), "s ahead of the database's"),
        (TimeDelta::days(-100), "s behind the database's"),
        (TimeDelta::minutes(5), "s ahead of the database's"),
    ] {
        clock.advance(wrong);
        let error = retention::run(backend).await.expect_err("the clocks differ");
        assert!(error.cause().is_some_and(|cause| cause.contains(words)), "{error:?}");
        refused += 1;
        let vitals = snapshot::read(backend);
        // A manual clock stands still meanwhile.
        assert!((vitals.clock_ahead - wrong.as_seconds_f64()).abs() < 60.0, "{}", vitals.clock_ahead);
        assert_eq!(vitals.purges_refused, refused);
        assert_eq!(kept(&db).await, before, "{wrong}");
        clock.advance(-wrong);
    }
    let purged = retention::run(backend).await.expect("the clocks agree").expect("nobody else purges");
    assert_eq!((purged.sessions, purged.audit_logs, purged.mailbox_events), (0, 0, 0));
    assert_eq!(snapshot::read(backend).purges_refused, refused);
}

#[tokio::test]
async fn retention_goes_by_the_databases_clock() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    // Older than ninety days by the node's clock, but not by the database's.
    let entry = audit_logs::ActiveModel {
        id: Set(world.source.uuid()),
        action: Set("test.happened".to_owned()),
        created_at: Set(world.source.now() - TimeDelta::days(90) + TimeDelta::seconds(20)),
        ..Default::default()
    };
    entry.insert(&world.database.connect().await).await.expect("written");
    world.source.clock.advance(TimeDelta::seconds(50));
    let purged = retention::run(&node.server.backend).await.expect("the clocks agree").expect("nobody else purges");
    assert_eq!(purged.audit_logs, 0);
}

#[tokio::test]
async fn a_start_compares_the_clocks() {
    let world = World::with_clock(manual_clock()).await;
    world.source.clock.advance(TimeDelta::hours(1));
    let node = world.node().await;
    let ahead = snapshot::read(&node.server.backend).clock_ahead;
    assert!((3000.0..=3600.0).contains(&ahead), "{ahead}");
}

#[tokio::test]
async fn events_with_a_wrong_time_hold_up_no_other_mailbox() {
    let world = World::new().await;
    let node = world.node().await;
    let (db, now) = (world.database.connect().await, world.source.now());
    // More of them than one batch, after an event that must be kept.
    let wrong = (2..=301).map(|sequence| (sequence, 300));
    for (name, events) in [
        ("alice", [(1, 1)].into_iter().chain(wrong).collect::<Vec<_>>()),
        ("bob", (1..=250).map(|sequence| (sequence, 200)).collect()),
    ] {
        let client = node.client().register(name).await;
        let user_id = client.id.parse::<quantumvault::domain::UserId>().expect("an id").0;
        let rows = events.into_iter().map(|(sequence, days)| mailbox_events::ActiveModel {
            user_id: Set(user_id),
            sequence: Set(sequence),
            kind: Set("SENT".to_owned()),
            message_id: Set(user_id),
            created_at: Set(now - TimeDelta::days(days)),
        });
        mailbox_events::Entity::insert_many(rows).exec_without_returning(&db).await.expect("written");
    }
    let purged = retention::run(&node.server.backend).await.expect("purges").expect("nobody else purges");
    assert_eq!(purged.mailbox_events, 250);
    assert_eq!(mailbox_events::Entity::find().count(&db).await.expect("readable"), 301);
}

/// Returns the numbers of rows that a purge with a wrong clock would remove.
async fn kept(db: &DatabaseConnection) -> [u64; 3] {
    [
        audit_logs::Entity::find().count(db).await.expect("readable"),
        mailbox_events::Entity::find().count(db).await.expect("readable"),
        sessions::Entity::find().count(db).await.expect("readable"),
    ]
}
