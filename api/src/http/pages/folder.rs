//! A folder of gzipped files that may appear, change and disappear while the server runs.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Size of the largest file that is served. GraphiQL's largest has 1.4 MiB.
const MAX_BYTES: u64 = 8 << 20;
/// Number of files read at a time. Other requests wait.
const MAX_READS: usize = 2;
/// Number of files whose bytes are shared between responses. GraphiQL has eight.
const MAX_SHARED: usize = 32;

type Sha = [u8; 32];

/// Folder of files. Each request reads its file again, so a new build is served without a restart.
pub struct Folder {
    path: PathBuf,
    reads: Arc<Semaphore>,
    /// Latest bytes of each file. Responses to slow clients share them instead of holding a copy each.
    shared: Mutex<HashMap<String, (Bytes, Sha)>>,
}

impl Folder {
    pub fn new(path: PathBuf) -> Self {
        Self { path, reads: Arc::new(Semaphore::new(MAX_READS)), shared: Mutex::default() }
    }

    /// Returns the bytes of the file `{name}.gz`, and their digest.
    pub async fn read(&self, name: &str) -> Option<(Bytes, Sha)> {
        if !is_name(name) {
            return None;
        }
        let permit = Arc::clone(&self.reads).acquire_owned().await.ok()?;
        let path = self.path.join(format!("{name}.gz"));
        let task = tokio::task::spawn_blocking(move || {
            // The thread holds the permit, so a disconnect does not make room for another read.
            let _permit = permit;
            read(&path).map(|bytes| {
                let digest = Sha256::digest(&bytes).into();
                (Bytes::from(bytes), digest)
            })
        });
        match task.await {
            Ok(Ok((bytes, digest))) => Some((self.share(name, bytes, digest), digest)),
            Ok(Err(error)) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, file = name, "a file of GraphiQL cannot be served");
                }
                None
            }
            Err(_) => None,
        }
    }

    /// Returns the bytes that other responses already hold, if they are equal.
    fn share(&self, name: &str, bytes: Bytes, digest: Sha) -> Bytes {
        let mut shared = self.shared.lock();
        match shared.get(name) {
            Some((known, last)) if *last == digest => known.clone(),
            None if shared.len() == MAX_SHARED => bytes,
            _ => {
                shared.insert(name.to_owned(), (bytes.clone(), digest));
                bytes
            }
        }
    }
}

/// Whether a name can only be that of a file directly in the folder.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Reads a regular file. The folder itself may be a link. Links inside it fail, because they could lead out.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Without `O_NONBLOCK`, opening a pipe would wait for a writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    // Limits the bytes that are read, because a file may grow meanwhile.
    if file.take(MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_BYTES {
        return Err(io::Error::other("file too large"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, Folder) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("dist");
        fs::write(parent.path().join("secret.gz"), "secret").unwrap();
        (parent, Folder::new(path))
    }

    fn write(folder: &Folder, name: &str, bytes: &[u8]) {
        fs::create_dir_all(&folder.path).unwrap();
        fs::write(folder.path.join(name), bytes).unwrap();
    }

    async fn bytes(folder: &Folder, name: &str) -> Option<Bytes> {
        folder.read(name).await.map(|(bytes, _)| bytes)
    }

    #[tokio::test]
    async fn files_appear_change_and_go() {
        let (_parent, folder) = folder();
        assert_eq!(folder.read("a.js").await, None);
        write(&folder, "a.js.gz", b"one");
        let (one, first) = folder.read("a.js").await.unwrap();
        write(&folder, "a.js.gz", b"two");
        let (two, second) = folder.read("a.js").await.unwrap();
        assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
        assert_ne!(first, second);
        fs::remove_dir_all(&folder.path).unwrap();
        assert_eq!(folder.read("a.js").await, None);
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_folder() {
        let (parent, folder) = folder();
        write(&folder, "a.gz", b"a");
        fs::create_dir(folder.path.join("sub")).unwrap();
        fs::write(folder.path.join("sub/secret.gz"), "secret").unwrap();
        fs::write(folder.path.join(".hidden.gz"), "secret").unwrap();
        assert!(bytes(&folder, "a").await.is_some());
        let absolute = parent.path().join("secret");
        let long = "a".repeat(65);
        for name in [
            "../secret",
            "..",
            ".",
            "",
            ".hidden",
            "sub/secret",
            "sub/../../secret",
            "..\\secret",
            "%2e%2e%2fsecret",
            "..%2fsecret",
            "secret\0",
            "a\0",
            absolute.to_str().unwrap(),
            &long,
        ] {
            assert_eq!(bytes(&folder, name).await, None, "{name:?}");
        }
    }

    #[tokio::test]
    async fn only_regular_files_are_read_through_a_folder_that_may_be_a_link() {
        let (parent, folder) = folder();
        write(&folder, "a.gz", b"a");
        symlink("../secret.gz", folder.path.join("link.gz")).unwrap();
        fs::create_dir(folder.path.join("folder.gz")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.path.join("pipe.gz")).status().unwrap().success());
        for name in ["link", "folder", "pipe"] {
            assert_eq!(bytes(&folder, name).await, None, "{name}");
        }
        symlink(&folder.path, parent.path().join("current")).unwrap();
        let linked = Folder::new(parent.path().join("current"));
        assert_eq!(bytes(&linked, "a").await.as_deref(), Some(&b"a"[..]));
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_not_read() {
        let (_parent, folder) = folder();
        let most = usize::try_from(MAX_BYTES).unwrap();
        write(&folder, "most.gz", &vec![0; most]);
        write(&folder, "more.gz", &vec![0; most + 1]);
        assert_eq!(bytes(&folder, "most").await.unwrap().len(), most);
        assert_eq!(bytes(&folder, "more").await, None);
    }

    #[tokio::test]
    async fn responses_share_the_bytes_of_a_file() {
        let (_parent, folder) = folder();
        write(&folder, "a.gz", b"a file");
        let (one, two) = (bytes(&folder, "a").await.unwrap(), bytes(&folder, "a").await.unwrap());
        assert_eq!(one.as_ptr(), two.as_ptr());
        for number in 0..=MAX_SHARED {
            write(&folder, &format!("{number}.gz"), b"another");
            assert!(bytes(&folder, &number.to_string()).await.is_some());
        }
        assert_eq!(folder.shared.lock().len(), MAX_SHARED);
    }
}
