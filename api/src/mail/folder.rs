//! Writes mails into a folder, one file each, for developers to open.

use std::path::{Path, PathBuf};
use std::{fs, fs::OpenOptions, io, io::Write, os::unix::fs::OpenOptionsExt};

/// Writer of mails into one existing folder.
pub struct FolderMailer(pub(super) PathBuf);

impl FolderMailer {
    pub(super) async fn send(&self, id: &str, bytes: Vec<u8>) -> io::Result<()> {
        let path = self.0.join(format!("{id}.eml"));
        let shown = path.display().to_string();
        tokio::task::spawn_blocking(move || write(&path, &bytes)).await??;
        // Logs the file's name only, because its text contains a secret.
        tracing::info!(mail.file = shown, "a mail was written to a file");
        Ok(())
    }
}

/// Writes under another name first, so that watchers of the folder never see a partial mail.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}
