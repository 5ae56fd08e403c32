//! The statements as a bare client issues them: no server, no GraphQL, no session.

use std::{sync::Arc, time::Instant};

use quantumvault::domain::Source;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{load::TIME, seed::Pair};

/// As many connections as the server's pool has.
pub const CONNECTIONS: usize = 20;

/// The statement as it stands in the server's source.
fn statement() -> &'static str {
    let source = include_str!("../../../api/src/store/deliveries/at_once.rs");
    let behind = source.split_once("const DELIVER: &str = \"").expect("the statement").1;
    behind.split_once("\";").expect("its end").0
}

/// Readings a second by one statement of each of these ids in turn.
pub async fn reads(url: &str, sql: &'static str, ids: &[Uuid]) -> f64 {
    let (ids, mut connections) = (Arc::new(ids.to_vec()), connect(url, CONNECTIONS).await);
    let begin = Instant::now();
    let tasks = (0..CONNECTIONS).map(|task| {
        let (ids, mut db) = (Arc::clone(&ids), connections.pop().expect("one each"));
        tokio::spawn(async move {
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

/// Sends a second, each acknowledged as durable: so many with one statement, on so many connections.
pub async fn sends(url: &str, pairs: &[Pair], round: usize, connections: usize) -> f64 {
    let pairs: Arc<Vec<_>> = Arc::new(pairs.iter().map(|pair| (pair.one_id, pair.other_id)).collect());
    let mut connected = connect(url, connections).await;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|task| {
            let (pairs, mut db) = (Arc::clone(&pairs), connected.pop().expect("one each"));
            tokio::spawn(async move {
                let (source, mut count) = (Source::default(), 0_u32);
                while begin.elapsed() < TIME {
                    let first = task * round + count as usize * connections;
                    let (senders, recipients): (Vec<_>, Vec<_>) =
                        (first..first + round).map(|n| pairs[n % pairs.len()]).unzip();
                    let ids = || (0..round).map(|_| source.uuid()).collect::<Vec<_>>();
                    let names = ids().iter().map(Uuid::to_string).collect::<Vec<_>>();
                    let query =
                        sqlx::query(statement()).bind(ids()).bind(ids()).bind(senders).bind(recipients).bind(names);
                    let query = query.bind(vec![vec![65_u8; 300]; round]).bind(vec![vec![65_u8; 12]; round]);
                    let rows = query.bind(vec![source.now(); round]).fetch_all(&mut db).await;
                    assert_eq!(rows.expect("they are delivered").len(), round);
                    count += u32::try_from(round).expect("few");
                }
                count
            })
        })
        .collect();
    sum(tasks, begin).await
}

async fn connect(url: &str, count: usize) -> Vec<PgConnection> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(PgConnection::connect(url).await.expect("the database answers"));
    }
    connections
}

/// What all of them did a second.
async fn sum(tasks: Vec<JoinHandle<u32>>, begin: Instant) -> f64 {
    let mut count = 0.0;
    for task in tasks {
        count += f64::from(task.await.expect("every one succeeds"));
    }
    count / begin.elapsed().as_secs_f64()
}
