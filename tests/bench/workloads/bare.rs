//! The statement of a send as a bare client issues it: no server, no GraphQL, no session.

use std::{sync::Arc, time::Instant};

use quantumvault::domain::Source;
use sqlx::{Connection as _, PgConnection};

use super::{load::TIME, seed::Pair};

/// As many connections as the server's pool has.
const CONNECTIONS: usize = 20;

/// The statement as it stands in the server's source.
fn statement() -> &'static str {
    let source = include_str!("../../../api/src/store/deliveries.rs");
    let behind = source.split_once("const DELIVER: &str = \"").expect("the statement").1;
    behind.split_once("\";").expect("its end").0
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
                    let (one, other) = (sender.min(recipient), sender.max(recipient));
                    let query = sqlx::query(statement()).bind(one).bind(other).bind(sender).bind(recipient);
                    let query = query.bind(source.uuid()).bind(source.uuid()).bind(format!("bare-{task}-{count}"));
                    let query = query.bind(vec![65_u8; 300]).bind(i64::from(one == recipient));
                    let query = query.bind(i64::from(other == recipient)).bind(source.now()).bind(vec![65_u8; 12]);
                    query.fetch_one(&mut db).await.expect("it is delivered");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut count = 0.0;
    for task in tasks {
        count += f64::from(task.await.expect("every send is acknowledged"));
    }
    count / begin.elapsed().as_secs_f64()
}
