//! Letters into a folder, one file each, for a developer to open.

use std::path::{Path, PathBuf};
use std::{fs, fs::OpenOptions, io, io::Write, os::unix::fs::OpenOptionsExt};

/// Writes letters into one folder, which is there.
pub struct FolderMailer(pub(super) PathBuf);

impl FolderMailer {
    pub(super) async fn send(&self, id: &str, bytes: Vec<u8>) -> io::Result<()> {
        let path = self.0.join(format!("{id}.eml"));
        let shown = path.display().to_string();
        tokio::task::spawn_blocking(move || write(&path, &bytes)).await??;
        // The file's name and nothing of its text, which holds a secret.
        tracing::info!(mail.file = shown, "a mail was written");
        Ok(())
    }
}

/// Under another name first, so that whoever watches the folder never sees half a letter.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}
