//! The migrations: reversible, safe to run concurrently, and consistent with the entities.

use std::collections::BTreeSet;

use qv_entity::{
    audit_logs, conversation_members, conversations, installation, mailbox_events, mailboxes, messages,
    metric_sequence, one_time_tokens, passkey_ceremonies, password_failures, performance_metrics, sessions,
    signing_keys, users, webauthn_credentials,
};
use qv_migration::Migrator;
use qv_tests::database::TestDatabase;
use sea_orm::prelude::{DateTimeUtc, Expr, Uuid};
use sea_orm::{
    ActiveModelTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, EntityTrait,
    IntoActiveModel, NotSet, PaginatorTrait, QueryOrder, QuerySelect, Schema, Set, Statement,
};
use sea_orm_migration::MigratorTrait;

/// Index names that operators and documents rely on.
const NAMED_INDEXES: [&str; 13] = [
    "idx_users_username",
    "idx_users_email",
    "idx_users_active",
    "idx_webauthn_user_id",
    "idx_sessions_user_id",
    "idx_sessions_expires",
    "idx_messages_sender",
    "idx_messages_recipient",
    "idx_messages_created",
    "idx_audit_logs_user_id",
    "idx_audit_logs_created",
    "idx_performance_created",
    "idx_performance_name",
];

#[tokio::test]
async fn every_change_is_reversed_exactly() {
    let (_database, db) = empty().await;
    let changes = Migrator::migrations().len();
    Migrator::install(&db).await.unwrap();

    let mut shapes = vec![shape(&db).await];
    for _ in 0..changes {
        Migrator::up(&db, Some(1)).await.unwrap();
        shapes.push(shape(&db).await);
    }
    assert!(shapes.windows(2).all(|two| two[0] != two[1]), "a change changes nothing that is looked at");
    for expected in shapes.iter().rev().skip(1) {
        qv_migration::down(&db, 1).await.unwrap();
        assert_eq!(*expected, shape(&db).await);
    }
    qv_migration::up(&db).await.unwrap();
    assert_eq!(shapes[changes], shape(&db).await);
}

#[tokio::test]
async fn a_full_down_leaves_only_the_record() {
    let (_database, db) = migrated().await;

    qv_migration::down(&db, u32::MAX).await.unwrap();

    let left = shape(&db).await;
    assert!(!left.is_empty() && left.iter().all(|line| line.contains("migrations")), "{left:#?}");
}

#[tokio::test]
async fn a_failed_change_leaves_nothing_behind() {
    let (_database, db) = empty().await;
    db.execute_unprepared("CREATE TABLE webauthn_credentials (id integer)").await.unwrap();
    let before = shape(&db).await;

    qv_migration::up(&db).await.unwrap_err();

    assert_eq!(before, shape(&db).await);
}

#[tokio::test]
async fn nodes_that_start_together_do_not_collide() {
    let (database, one) = empty().await;
    let two = connect(&database).await;

    let (first, second) = tokio::join!(qv_migration::up(&one), qv_migration::up(&two));

    first.unwrap();
    second.unwrap();
    assert!(qv_migration::status(&one).await.unwrap().iter().all(|(_, is_applied)| *is_applied));
}

#[tokio::test]
async fn status_and_unknown_write_nothing() {
    let (_database, db) = empty().await;

    let status = qv_migration::status(&db).await.unwrap();

    assert_eq!(status.len(), Migrator::migrations().len());
    assert!(status.iter().all(|(_, is_applied)| !is_applied));
    assert!(qv_migration::unknown(&db).await.unwrap().is_empty());
    assert!(shape(&db).await.is_empty());
}

#[tokio::test]
async fn a_newer_database_is_recognised() {
    let (_database, db) = migrated().await;
    assert!(qv_migration::unknown(&db).await.unwrap().is_empty());

    db.execute_unprepared("INSERT INTO migrations (version, applied_at) VALUES ('m99991231_000001_later', 0)")
        .await
        .unwrap();

    assert_eq!(qv_migration::unknown(&db).await.unwrap(), ["m99991231_000001_later"]);
    assert!(qv_migration::status(&db).await.unwrap().iter().all(|(_, is_applied)| *is_applied));
    qv_migration::up(&db).await.unwrap_err();
}

#[tokio::test]
async fn the_entities_describe_every_table() {
    let (_database, migrated) = migrated().await;
    let (_other, declared) = empty().await;
    let schema = Schema::new(declared.get_database_backend());

    for table in [
        schema.create_table_from_entity(users::Entity),
        schema.create_table_from_entity(sessions::Entity),
        schema.create_table_from_entity(conversations::Entity),
        schema.create_table_from_entity(messages::Entity),
        schema.create_table_from_entity(conversation_members::Entity),
        schema.create_table_from_entity(mailboxes::Entity),
        schema.create_table_from_entity(mailbox_events::Entity),
        schema.create_table_from_entity(one_time_tokens::Entity),
        schema.create_table_from_entity(passkey_ceremonies::Entity),
        schema.create_table_from_entity(password_failures::Entity),
        schema.create_table_from_entity(audit_logs::Entity),
        schema.create_table_from_entity(performance_metrics::Entity),
        schema.create_table_from_entity(metric_sequence::Entity),
        schema.create_table_from_entity(webauthn_credentials::Entity),
        schema.create_table_from_entity(signing_keys::Entity),
        schema.create_table_from_entity(installation::Entity),
    ] {
        declared.execute(&table).await.unwrap();
    }

    let (declared, migrated) = (columns(&declared).await, columns(&migrated).await);
    let differences: Vec<_> = declared.symmetric_difference(&migrated).collect();
    assert!(migrated.len() > 100 && differences.is_empty(), "{} columns: {differences:#?}", migrated.len());
}

#[tokio::test]
async fn the_named_indexes_exist() {
    let (_database, db) = migrated().await;

    let shape = shape(&db).await;

    for name in NAMED_INDEXES {
        assert!(shape.iter().any(|line| line.starts_with(&format!("index {name} "))), "{name} is missing");
    }
}

#[tokio::test]
async fn an_update_moves_updated_at_unless_it_sets_it() {
    let (_database, db) = migrated().await;
    let mut user = insert_user(&db, 1, "alice").await.into_active_model();
    let set = moment(1_800_000_000);

    users::Entity::update_many().col_expr(users::Column::IsVerified, Expr::value(true)).exec(&db).await.unwrap();
    let touched = users::Entity::find().one(&db).await.unwrap().unwrap();
    user.updated_at = Set(set);
    user.update(&db).await.unwrap();
    let updated = users::Entity::find().one(&db).await.unwrap().unwrap();

    assert!(touched.is_verified);
    assert!(touched.updated_at > touched.created_at);
    assert_eq!(updated.updated_at, set);
}

#[tokio::test]
async fn stored_bytes_are_summed_up_for_messages_that_are_there_before() {
    let (_database, db) = migrated().await;
    let users = [insert_user(&db, 1, "alice").await.id, insert_user(&db, 2, "bob").await.id];
    for user_id in users {
        let mailbox = mailboxes::ActiveModel {
            user_id: Set(user_id),
            last_sequence: Set(4),
            oldest_sequence: Set(1),
            unread_count: Set(3),
            stored_bytes: Set(7),
            sent_day: Set(20_000),
            sent_bytes_today: Set(7),
        };
        mailboxes::Entity::insert(mailbox).exec_without_returning(&db).await.expect("a mailbox");
    }
    let conversation = conversations::ActiveModel {
        id: Set(Uuid::from_u128(1)),
        first_user_id: Set(users[0]),
        second_user_id: Set(users[1]),
        created_at: Set(moment(0)),
        last_sequence: Set(4),
    };
    conversations::Entity::insert(conversation).exec_without_returning(&db).await.expect("a conversation");
    for (n, recipient, bytes, by_sender, by_recipient) in [
        (1, users[1], 5, false, false),
        (2, users[1], 60_000, false, true),
        (3, users[0], 3, false, false),
        (4, users[1], 1_000, true, false),
    ] {
        let message = messages::ActiveModel {
            id: Set(Uuid::from_u128(n)),
            conversation_id: Set(Uuid::from_u128(1)),
            sequence: Set(i64::try_from(n).unwrap()),
            sender_id: Set(users[0]),
            recipient_id: Set(recipient),
            client_message_id: Set(n.to_string()),
            encrypted_content: Set(vec![7; bytes]),
            iv: Set(vec![7; 12]),
            created_at: Set(moment(0)),
            read_at: Set(None),
            deleted_by_sender: Set(by_sender),
            deleted_by_recipient: Set(by_recipient),
        };
        messages::Entity::insert(message).exec_without_returning(&db).await.expect("a message");
    }
    let versions = qv_migration::status(&db).await.unwrap();
    let later = versions.iter().rev().take_while(|(name, _)| !name.ends_with("_quotas")).count();

    for _ in 0..2 {
        qv_migration::down(&db, u32::try_from(later + 1).unwrap()).await.unwrap();
        qv_migration::up(&db).await.unwrap();
        let rows = mailboxes::Entity::find().order_by_asc(mailboxes::Column::UserId).all(&db).await.unwrap();
        let counts: Vec<_> = rows.iter().map(|it| (it.stored_bytes, it.sent_day, it.sent_bytes_today)).collect();
        assert_eq!(counts, [(60_008, 0, 0), (0, 0, 0)]);
        assert!(rows.iter().all(|it| (it.last_sequence, it.oldest_sequence, it.unread_count) == (4, 1, 3)));
    }
}

#[tokio::test]
async fn usernames_sort_by_their_bytes() {
    let (_database, db) = migrated().await;
    for (id, name) in [(1, "a_z"), (2, "aab"), (3, "a-z"), (4, "a9")] {
        insert_user(&db, id, name).await;
    }

    let names: Vec<String> = users::Entity::find()
        .select_only()
        .column(users::Column::Username)
        .order_by_asc(users::Column::Username)
        .into_tuple()
        .all(&db)
        .await
        .unwrap();

    assert_eq!(names, ["a-z", "a9", "a_z", "aab"]);
}

#[tokio::test]
async fn audit_entries_can_be_purged_but_not_changed() {
    let (_database, db) = migrated().await;
    let entry = audit_logs::ActiveModel {
        id: Set(Uuid::from_u128(1)),
        user_id: Set(Some(Uuid::from_u128(2))),
        action: Set("session.revoked".to_owned()),
        resource: NotSet,
        details: Set(Some(serde_json::json!({ "reason": "reuse" }))),
        ip_address: NotSet,
        user_agent: NotSet,
        created_at: Set(moment(0)),
    };
    let written = entry.insert(&db).await.unwrap();

    let mut statements = vec!["UPDATE audit_logs SET action = 'nothing'"];
    if db.get_database_backend() == DbBackend::Postgres {
        statements.push("TRUNCATE audit_logs");
    }
    for statement in statements {
        let refusal = db.execute_unprepared(statement).await.unwrap_err();
        assert!(refusal.to_string().contains("audit_logs is append-only"), "{refusal}");
    }
    assert_eq!(audit_logs::Entity::find().one(&db).await.unwrap(), Some(written));

    audit_logs::Entity::delete_many().exec(&db).await.unwrap();
    assert_eq!(audit_logs::Entity::find().count(&db).await.unwrap(), 0);
}

async fn empty() -> (TestDatabase, DatabaseConnection) {
    let database = TestDatabase::create().await;
    let db = connect(&database).await;
    (database, db)
}

async fn migrated() -> (TestDatabase, DatabaseConnection) {
    let (database, db) = empty().await;
    qv_migration::up(&db).await.expect("every change applies");
    (database, db)
}

async fn connect(database: &TestDatabase) -> DatabaseConnection {
    let mut options = ConnectOptions::new(&database.url);
    options.sqlx_logging(false);
    Database::connect(options).await.expect("a connection")
}

async fn insert_user(db: &DatabaseConnection, id: u128, username: &str) -> users::Model {
    let user = users::ActiveModel {
        id: Set(Uuid::from_u128(id)),
        username: Set(username.to_owned()),
        email: Set(format!("{username}@example.org")),
        password_hash: Set("none".to_owned()),
        created_at: Set(moment(0)),
        updated_at: Set(moment(0)),
        is_active: Set(true),
        is_verified: Set(false),
        role: Set("USER".to_owned()),
        ..Default::default()
    };
    user.insert(db).await.expect("a new row")
}

fn moment(seconds: i64) -> DateTimeUtc {
    DateTimeUtc::from_timestamp(seconds, 0).expect("a time in range")
}

/// Returns everything that a migration can create, one line each, beginning with kind and name.
async fn shape(db: &DatabaseConnection) -> BTreeSet<String> {
    let sqlite = "SELECT type || ' ' || name || ' ' || coalesce(sql, tbl_name) AS line FROM sqlite_schema";
    let postgres = "
        SELECT 'column ' || concat_ws(' ', table_name, column_name, ordinal_position, data_type,
               character_maximum_length, collation_name, is_nullable, column_default) AS line
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL
        SELECT 'index ' || indexname || ' ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL
        SELECT concat_ws(' ', 'constraint', conname, conrelid::regclass, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'trigger ' || tgname || ' ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT 'function ' || proname || ' ' || pg_get_functiondef(oid)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
       ";
    lines(db, sqlite, postgres).await
}

/// Returns all columns outside the table of migrations: table, name, type, nullability and position in the primary key.
/// The entities leave the lengths of texts to the migrations.
async fn columns(db: &DatabaseConnection) -> BTreeSet<String> {
    let sqlite = "
        SELECT concat_ws(' ', t.name, c.name, CASE WHEN c.type LIKE 'varchar%' THEN 'text'
               WHEN c.type LIKE '%blob%' THEN 'blob' ELSE c.type END, c.\"notnull\", c.pk) AS line
        FROM sqlite_schema t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name <> 'migrations'";
    let postgres = "
        SELECT concat_ws(' ', c.table_name, c.column_name, replace(data_type, 'character varying', 'text'),
               is_nullable, k.ordinal_position) AS line
        FROM information_schema.columns c
        LEFT JOIN information_schema.key_column_usage k
        ON k.table_name = c.table_name AND k.column_name = c.column_name
           AND k.constraint_name IN (SELECT conname FROM pg_constraint WHERE contype = 'p')
        WHERE c.table_schema = 'public' AND c.table_name <> 'migrations'";
    lines(db, sqlite, postgres).await
}

async fn lines(db: &DatabaseConnection, sqlite: &str, postgres: &str) -> BTreeSet<String> {
    let backend = db.get_database_backend();
    let sql = if backend == DbBackend::Postgres { postgres } else { sqlite };
    let rows = db.query_all_raw(Statement::from_string(backend, sql)).await.expect("a valid query");
    rows.iter().map(|row| row.try_get("", "line").expect("a text")).collect()
}
