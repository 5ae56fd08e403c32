//! A small disk that a test can fill, where the test may mount one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::servers::{is_root, open_folder};

/// File system in memory, unmounted on drop.
///
/// Root mounts it for all processes. Other users mount it with `sudo` if that needs no password. Otherwise they mount
/// it in a separate mount namespace, which is reached through a process inside it.
pub struct SmallDisk {
    path: PathBuf,
    mount: Mount,
    folder: TempDir,
}

enum Mount {
    /// Visible to all processes, mounted and unmounted by commands with this prefix.
    Open(&'static [&'static str]),
    /// Visible only in the namespace of this process.
    Namespace(Child),
}

impl SmallDisk {
    /// Capacity in bytes.
    pub const BYTES: usize = 128 << 20;

    /// Mounts an empty disk.
    ///
    /// # Panics
    /// If mounting is not permitted; the message names the missing right.
    #[expect(clippy::new_without_default, reason = "mounting is no default")]
    pub fn new() -> Self {
        let folder = open_folder();
        let open: &[&str] = if is_root() { &[] } else { &["sudo", "-n"] };
        let mut mount = command(open, "mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options(), "tmpfs"]).arg(folder.path()).output();
        let refused = match mounted {
            Ok(output) if output.status.success() => {
                return Self { path: folder.path().to_owned(), mount: Mount::Open(open), folder };
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let Some((path, keeper)) = in_namespace(folder.path()) else {
            panic!(
                "this test mounts a small disk, which takes one of: root with CAP_SYS_ADMIN, `sudo -n mount`, or \
                user namespaces (`unshare --user --map-root-user --mount`); mount failed with: {refused}"
            )
        };
        Self { path, mount: Mount::Namespace(keeper), folder }
    }

    /// Returns the path of the mounted disk.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        match &mut self.mount {
            // Lazily, because PostgreSQL may need a moment to close its files.
            Mount::Open(by) => drop(command(by, "umount").arg("--lazy").arg(self.folder.path()).status()),
            // The namespace ends with its last process.
            Mount::Namespace(keeper) => drop(keeper.kill().and_then(|()| keeper.wait())),
        }
    }
}

/// Mounts the disk in the namespace of a process that ends with its input.
fn in_namespace(folder: &Path) -> Option<(PathBuf, Child)> {
    let script = "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && echo mounted && exec cat";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, &options()]).arg(folder);
    let mut keeper = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut said = String::new();
    BufReader::new(keeper.stdout.take()?).read_line(&mut said).ok()?;
    let inside = folder.strip_prefix("/").ok()?;
    let path = Path::new("/proc").join(keeper.id().to_string()).join("root").join(inside);
    (said == "mounted\n" && fs::metadata(&path).is_ok()).then_some((path, keeper))
}

fn options() -> String {
    format!("size={},mode=1777", SmallDisk::BYTES)
}

fn command(before: &[&str], program: &str) -> Command {
    let mut words = before.iter().chain([&program]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}
