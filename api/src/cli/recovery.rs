//! Creates backups, and fences a restored database.

use std::path::{Path, PathBuf};

use crate::app::data_dir;
use crate::cli::{Outcome, operator, print, text};
use crate::config::Config;
use crate::service::ops::backup;

pub(super) async fn back_up(config: Config, folder: PathBuf) -> Outcome {
    let data_dir = config.data_dir.clone();
    if !config.is_embedded() {
        return Err("QUANTUMVAULT__DATABASE__URL names a PostgreSQL database: back it up with pg_dump".to_owned());
    }
    let context = operator::open(config).await?;
    data_dir::make(&folder).map_err(|error| unwritable(&folder, &error))?;
    let file = folder.join("quantumvault.db");
    backup::back_up(&context, &file).await.map_err(|error| unwritable(&file, &error.cause().unwrap_or_default()))?;
    context.backend.close().await;
    data_dir::copy(&data_dir, &folder, &file).map_err(|error| unwritable(&folder, &error))?;
    print(format!("{}\n", folder.display()))
}

pub(super) async fn fence(config: Config) -> Outcome {
    let context = operator::open(config).await?;
    let ended = backup::fence(&context).await.map_err(text)?;
    context.backend.close().await;
    print(format!("ended {ended} sessions and all cursors\n"))
}

fn unwritable(path: &Path, error: &impl ToString) -> String {
    format!(
        "{} cannot be written ({}): choose a new folder on a disk with free space",
        path.display(),
        error.to_string()
    )
}
