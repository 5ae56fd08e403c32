//! Figures of the release binary, taken in one run: `cargo build --release && cargo bench -p qv_tests`.
//!
//! Speeds are the fastest of many runs or ratios to a floor measured beside them; the machine's own speed is no
//! business of theirs. Nothing here fails a build.

mod documents;
mod front;
mod logins;
mod server;
mod sockets;
mod start;

use tempfile::TempDir;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder: TempDir = qv_tests::world::private_folder();
    documents::measure();
    runtime.block_on(start::measure(folder.path()));
    runtime.block_on(sockets::measure(folder.path()));
    runtime.block_on(logins::measure(folder.path()));
    runtime.block_on(front::measure(folder.path()));
}
