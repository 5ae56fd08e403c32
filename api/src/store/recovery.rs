//! Copies of a database, and what must not outlive the return to one.

use std::path::Path;

use qv_entity::{installation, one_time_tokens, passkey_ceremonies, sessions};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, Statement, sea_query::Expr};

use crate::store::{Error, Store};

impl Store {
    /// Writes the embedded database as it is at this moment into a new file, while others read and write.
    pub async fn back_up(&self, file: &Path) -> Result<(), Error> {
        let file = file.to_str().ok_or_else(|| Error::Fault(DbErr::Type("a path that is not text".to_owned())))?;
        let copy = Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [file.into()]);
        self.db().execute_raw(copy).await?;
        Ok(())
    }
}

/// Ends every session and whatever else opens one; says how many sessions.
///
/// In a new epoch, cursors are those of the past, and nothing is found that nodes remembered in Redis.
pub async fn fence(db: &impl ConnectionTrait) -> Result<u64, Error> {
    let ended = sessions::Entity::delete_many().exec(db).await?.rows_affected;
    one_time_tokens::Entity::delete_many().exec(db).await?;
    passkey_ceremonies::Entity::delete_many().exec(db).await?;
    let epoch = installation::Column::FeedEpoch;
    installation::Entity::update_many().col_expr(epoch, Expr::col(epoch).add(1)).exec(db).await?;
    Ok(ended)
}
