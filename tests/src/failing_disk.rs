//! A disk that fails or loses power under an embedded node, simulated by a preloaded library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Disk under one node's database.
pub struct FailingDisk {
    database: PathBuf,
    folder: TempDir,
}

/// Unsynced data that a power cut leaves behind.
#[derive(Debug, Clone, Copy)]
pub enum Leftover {
    /// Nothing.
    Nothing,
    /// Garbage bytes after the end of the write-ahead log.
    Garbage,
    /// Nothing, and the write-ahead log is lost.
    NoLog,
    /// Everything that a checkpoint has written into the database so far.
    Checkpoint,
}

impl FailingDisk {
    /// Builds the library with the C compiler that the product's own build needs as well.
    #[must_use]
    pub fn under(database: &Path) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::create_dir(folder.path().join("synced")).expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/failing_disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-pthread", "-o"]);
        let made = compiler.arg(folder.path().join("disk.so")).arg(source).arg("-ldl").status();
        assert!(made.expect("the C compiler runs").success());
        Self { database: database.to_owned(), folder }
    }

    /// Returns the environment of a node on this disk.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("LD_PRELOAD", self.folder.path().join("disk.so")),
            ("QV_DISK_DATABASE", self.database.clone()),
            ("QV_DISK_FAILS", self.fails()),
            ("QV_DISK_SYNCED", self.synced()),
        ];
        variables.map(|(name, path)| (name.to_owned(), path.display().to_string())).into()
    }

    /// Makes each `fsync` fail from now on for files whose names end with `ending`.
    pub fn fail(&self, ending: &str) {
        // Renamed into place, because an empty file would make every `fsync` fail.
        let draft = self.folder.path().join("draft");
        fs::write(&draft, ending).and_then(|()| fs::rename(&draft, self.fails())).expect("a file");
    }

    /// Lets `fsync` succeed again.
    pub fn heal(&self) {
        fs::remove_file(self.fails()).expect("a file");
    }

    /// Returns the database as a power cut now could leave it. Nothing may write during the call.
    #[must_use]
    pub fn after_power_cut(&self, leftover: Leftover) -> TempDir {
        let image = TempDir::new().expect("a temporary folder");
        let database =
            if matches!(leftover, Leftover::Checkpoint) { self.database.clone() } else { self.synced_database() };
        fs::copy(database, image.path().join("test.db")).expect("a database");
        if matches!(leftover, Leftover::NoLog) {
            return image;
        }
        let mut log = fs::read(self.synced().join(log_of(&self.database))).expect("a log");
        if matches!(leftover, Leftover::Garbage) {
            log.extend([0xa5; 10_000]);
        }
        fs::write(image.path().join("test.db-wal"), log).expect("a log");
        image
    }

    /// Returns the synced size of the database file.
    #[must_use]
    pub fn synced_bytes(&self) -> u64 {
        fs::metadata(self.synced_database()).expect("a database").len()
    }

    fn fails(&self) -> PathBuf {
        self.folder.path().join("fails")
    }

    fn synced(&self) -> PathBuf {
        self.folder.path().join("synced")
    }

    fn synced_database(&self) -> PathBuf {
        self.synced().join(self.database.file_name().expect("a file"))
    }
}

fn log_of(database: &Path) -> String {
    format!("{}-wal", database.file_name().expect("a file").display())
}
