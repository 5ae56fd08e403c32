//! Data folder of a node, with the embedded database and the signing key. Only its owner can read it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::{crypto::SigningKey, domain::Random, service::StartError};

const SETTING: &str = "QUANTUMVAULT__DATA_DIR";
const OTHERS: u32 = 0o077;
/// Empty file whose modification time is the time of a command's last change.
const CHANGED: &str = "changed";
/// Empty file that the server on the folder locks.
const HELD: &str = "held";

/// Creates the data folder if it does not exist. Fails if others can read the folder.
pub fn prepare(folder: &Path) -> Result<(), StartError> {
    prepare_private(SETTING, folder)
}

/// Creates another folder that a setting names, if it does not exist. Fails if others can read the folder.
pub fn prepare_private(setting: &str, folder: &Path) -> Result<(), StartError> {
    let shown = folder.display();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| fs::metadata(folder));
    let metadata = made.map_err(|error| {
        StartError(format!("{setting} names {shown}, which cannot be used ({error}): name a writable folder"))
    })?;
    refuse_readable(setting, folder, &metadata.permissions())
}

/// Locks the folder for one server, until the file is dropped or the process ends.
///
/// Two servers on one folder would not notice each other's messages. Operators' commands do not lock it.
pub fn lock(folder: &Path) -> Result<File, StartError> {
    let path = folder.join(HELD);
    let fail = |error: &dyn std::fmt::Display| unusable(&path, error);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|error| fail(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError(format!(
            "{SETTING} names {}, which another server uses: stop that server, or name another folder",
            folder.display()
        ))),
        // Accepts a file system without locks, which is the operator's choice.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(fail(&error)),
    }
}

/// Creates a private folder. Fails if the folder exists.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

/// Completes a copy of the data folder that already has its database. Adds the node's key and syncs everything to disk.
pub fn copy(folder: &Path, to: &Path, database: &Path) -> io::Result<()> {
    fs::set_permissions(database, Permissions::from_mode(0o600))?;
    make(&to.join("keys"))?;
    let key = to.join("keys/signing.pk8");
    fs::copy(folder.join("keys/signing.pk8"), &key)?;
    for path in [database, &key, &to.join("keys"), to] {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Returns the node's signing key, which is created on the first start.
pub fn signing_key(folder: &Path, random: &Random) -> Result<SigningKey, StartError> {
    let path = key_path(folder)?;
    let fail = |error: &dyn std::fmt::Display| unusable(&path, error);
    let document = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let document = SigningKey::generate(random).map_err(|error| fail(&error))?;
            write_once(&path, &document).map_err(|error| fail(&error))?;
            // Another process may have been faster. Then its key is used.
            fs::read(&path)
        }
        other => other,
    };
    let document = Zeroizing::new(document.map_err(|error| fail(&error))?);
    refuse_readable(SETTING, &path, &fs::metadata(&path).map_err(|error| fail(&error))?.permissions())?;
    SigningKey::from_pkcs8(&document).map_err(|error| fail(&error))
}

/// Replaces the node's signing key.
///
/// The old private key is lost. Its signatures are checked with its public half, which the database keeps.
pub fn replace_signing_key(folder: &Path, random: &Random) -> Result<SigningKey, StartError> {
    let path = key_path(folder)?;
    let fail = |error: &dyn std::fmt::Display| unusable(&path, error);
    let document = SigningKey::generate(random).map_err(|error| fail(&error))?;
    let draft = write_draft(&path, &document).map_err(|error| fail(&error))?;
    fs::rename(&draft, &path).map_err(|error| fail(&error))?;
    SigningKey::from_pkcs8(&document).map_err(|error| fail(&error))
}

/// Marks the database as changed, for a server on this folder.
pub fn mark_changed(folder: &Path) -> io::Result<()> {
    let path = folder.join(CHANGED);
    fs::rename(write_draft(&path, &[])?, path)
}

/// Returns the time at which a command last changed the database.
#[must_use]
pub fn last_change_at(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join(CHANGED)).and_then(|metadata| metadata.modified()).ok()
}

fn key_path(folder: &Path) -> Result<PathBuf, StartError> {
    let keys = folder.join("keys");
    prepare(&keys)?;
    Ok(keys.join("signing.pk8"))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError(format!("{SETTING} holds {}, which cannot be used ({error}): restore or delete it", path.display()))
}

fn write_draft(path: &Path, contents: &[u8]) -> io::Result<PathBuf> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(draft)
}

/// Writes a file atomically, unless it exists.
fn write_once(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, contents)?;
    let linked = match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    linked
}

fn refuse_readable(setting: &str, path: &Path, permissions: &Permissions) -> Result<(), StartError> {
    let mode = permissions.mode() & 0o777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let (shown, right) = (path.display(), if path.is_dir() { "700" } else { "600" });
    Err(StartError(format!(
        "{setting} holds {shown}, which others can read (mode {mode:o}): run `chmod {right} {shown}`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new");
        prepare(&data).unwrap();
        let made = signing_key(&data, &Random::System).unwrap();
        assert_eq!(signing_key(&data, &Random::System).unwrap().kid, made.kid);
        let key = data.join("keys/signing.pk8");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let error = signing_key(&data, &Random::System).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("others can read (mode 640): run `chmod 600"), "{error}");
        fs::write(&key, "garbage").unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert!(signing_key(&data, &Random::System).map(|_| ()).unwrap_err().to_string().contains("restore or delete"));
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let error = prepare(folder.path()).unwrap_err().to_string();
        assert!(error.contains("QUANTUMVAULT__DATA_DIR") && error.contains("chmod 700"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(prepare(file.path()).unwrap_err().to_string().contains("cannot be used"));
    }
}
