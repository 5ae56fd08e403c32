//! Transactions: a dropped one leaves nothing behind, on the connection or in the database.

use std::task::Poll;

use quantumvault::store::{Store, users};
use qv_tests::world::World;

#[tokio::test]
async fn a_transaction_that_is_dropped_at_any_moment_harms_nobody_after_it() {
    let world = World::new().await;
    let config = world.config("one");
    let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    for polls in 0..40 {
        let mut beginning = Box::pin(store.begin());
        for _ in 0..polls {
            if let Poll::Ready(begun) = futures_util::poll!(beginning.as_mut()) {
                drop(begun);
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(beginning);
        let tx = store.begin().await.expect("the next transaction begins");
        let key = (format!("key-{polls}"), vec![7; 32]);
        let now = world.source.now();
        quantumvault::store::installation::publish_signing_key(tx.db(), &key.0, &key.1, now).await.expect("it writes");
        tx.commit().await.expect("it commits");
    }
    let other = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    let kept = quantumvault::store::installation::signing_keys(other.db(), world.source.now()).await.expect("readable");
    assert_eq!(kept.len(), 40, "an acknowledged write was lost");
    assert!(users::find_many(other.db(), &[]).await.expect("readable").is_empty());
}
