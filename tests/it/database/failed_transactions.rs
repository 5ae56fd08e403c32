//! A failed transaction: none of its writes are kept, and its commit returns an error.

use quantumvault::store::{Error, Store, Transaction, installation};
use qv_tests::world::World;
use sea_orm::ConnectionTrait;

#[tokio::test]
async fn a_transaction_that_has_failed_takes_no_statement_and_is_not_committed() {
    let world = World::new().await;
    let config = world.config("one");
    let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    let tx = store.begin().await.expect("it begins");
    write(&world, &tx, "before").await.expect("it writes");
    assert!(tx.db().execute_unprepared("INSERT INTO nowhere VALUES (1)").await.is_err());
    assert!(write(&world, &tx, "after").await.is_err());
    // PostgreSQL reports success for the COMMIT of such a transaction, and rolls back.
    assert!(tx.commit().await.is_err());
    let tx = store.begin().await.expect("the next begins");
    write(&world, &tx, "next").await.expect("it writes");
    tx.commit().await.expect("it commits");

    let other = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    let kept = installation::signing_keys(other.db(), world.source.now()).await.expect("readable");
    let kept: Vec<_> = kept.into_iter().map(|(kid, ..)| kid).collect();
    assert_eq!(kept, ["next"]);
}

async fn write(world: &World, tx: &Transaction, kid: &str) -> Result<(), Error> {
    installation::publish_signing_key(tx.db(), kid, &[7; 32], world.source.now()).await
}
