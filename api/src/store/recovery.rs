//! Backups, and the fence that ends sessions and invalidates cursors after a restore.

use std::path::Path;

use qv_entity::{installation, one_time_tokens, passkey_ceremonies, sessions};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, Statement, sea_query::Expr};

use crate::store::{Error, Store};

impl Store {
    /// Writes a snapshot of the SQLite database into a new file, while reads and writes continue.
    pub async fn back_up(&self, file: &Path) -> Result<(), Error> {
        let file = file.to_str().ok_or_else(|| Error::Fault(DbErr::Type("a path that is not text".to_owned())))?;
        let copy = Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [file.into()]);
        self.db().execute_raw(copy).await?;
        Ok(())
    }
}

/// Deletes all sessions, mailed tokens and passkey ceremonies, and raises the feed epoch. Returns the number of deleted
/// sessions.
///
/// The new epoch invalidates all cursors and everything that nodes have stored in Redis.
pub async fn fence(db: &impl ConnectionTrait) -> Result<u64, Error> {
    let ended = sessions::Entity::delete_many().exec(db).await?.rows_affected;
    one_time_tokens::Entity::delete_many().exec(db).await?;
    passkey_ceremonies::Entity::delete_many().exec(db).await?;
    let epoch = installation::Column::FeedEpoch;
    installation::Entity::update_many().col_expr(epoch, Expr::col(epoch).add(1)).exec(db).await?;
    Ok(ended)
}
