//! The statements as a bare client issues them: no server, no GraphQL, no session.

use std::{sync::Arc, time::Instant};

use quantumvault::domain::Source;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{load::TIME, seed::Pair};

/// As many connections as the server's pool has.
const CONNECTIONS: usize = 20;

/// The statement as it stands in the server's source.
fn statement() -> &'static str {
    let source = include_str!("../../../api/src/store/deliveries/at_once.rs");
    let behind = source.split_once("const DELIVER: &str = \"").expect("the statement").1;
    behind.split_once("\";").expect("its end").0
}

/// Readings a second by one statement of each of these ids in turn.
pub async fn reads(url: &str, sql: &'static str, ids: Vec<Uuid>) -> f64 {
    let (ids, begin) = (Arc::new(ids), Instant::now());
    let tasks = (0..CONNECTIONS).map(|task| {
        let (url, ids) = (url.to_owned(), Arc::clone(&ids));
        tokio::spawn(async move {
            let mut db = PgConnection::connect(&url).await.expect("the database answers");
            let mut count = 0_u32;
            while begin.elapsed() < TIME {
                let id = ids[(task + count as usize * CONNECTIONS) % ids.len()];
                assert!(!sqlx::query(sql).bind(id).fetch_all(&mut db).await.expect("rows").is_empty());
                count += 1;
            }
            count
        })
    });
    sum(tasks.collect(), begin).await
}

/// Sends a second, each acknowledged as durable.
pub async fn sends(url: &str, pairs: &[Pair]) -> f64 {
    let pairs: Arc<Vec<_>> = Arc::new(pairs.iter().map(|pair| (pair.one_id, pair.other_id)).collect());
    let begin = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|task| {
            let (url, pairs) = (url.to_owned(), Arc::clone(&pairs));
            tokio::spawn(async move {
                let mut db = PgConnection::connect(&url).await.expect("the database answers");
                let (source, mut count) = (Source::default(), 0_u32);
                while begin.elapsed() < TIME {
                    let (sender, recipient) = pairs[(task + count as usize * CONNECTIONS) % pairs.len()];
                    let query = sqlx::query(statement()).bind([source.uuid()]).bind([source.uuid()]).bind([sender]);
                    let query = query.bind([recipient]).bind([format!("bare-{task}-{count}")]);
                    let query = query.bind([vec![65_u8; 300]]).bind([vec![65_u8; 12]]).bind([source.now()]);
                    query.fetch_one(&mut db).await.expect("it is delivered");
                    count += 1;
                }
                count
            })
        })
        .collect();
    sum(tasks, begin).await
}

/// What all of them did a second.
async fn sum(tasks: Vec<JoinHandle<u32>>, begin: Instant) -> f64 {
    let mut count = 0.0;
    for task in tasks {
        count += f64::from(task.await.expect("every one succeeds"));
    }
    count / begin.elapsed().as_secs_f64()
}
