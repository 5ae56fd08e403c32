//! Figures of the release binary, each kind taken in one run on one machine.
//!
//! - `cargo build --release && cargo bench -p qv_tests`: documents, start, sockets, sign-ins, the front;
//!   `... -- front` measures that alone.
//! - `... -- sockets 10000`: what so many open sockets hold; raise `ulimit -n` first.
//! - `... -- workloads`: what frontends ask all day, on a PostgreSQL with a million messages, beside a floor without GraphQL;
//!   `... -- workloads W2 W5` measures these alone.
//! - `... -- growth`: the same with more and more messages.
//!
//! The last two need `QV_TEST_DATABASE_URL` (and take Redis from `QV_TEST_REDIS_URL`). Speeds are the fastest of many
//! runs or ratios to a floor measured beside them; the machine's own speed is no business of theirs. Nothing here fails
//! a build.

mod documents;
mod front;
mod logins;
mod server;
mod sockets;
mod start;
mod workloads;

use std::{env, path::Path};

use tokio::runtime::Runtime;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = qv_tests::world::private_folder();
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => figures(&runtime, folder.path()),
        ["front"] => runtime.block_on(front::measure(folder.path())),
        ["sockets", count] => runtime.block_on(sockets::measure(folder.path(), count.parse().expect("a number"))),
        ["workloads", ref only @ ..] => runtime.block_on(workloads::measure(folder.path(), 1_000_000, only)),
        ["growth"] => runtime.block_on(workloads::grow(folder.path(), &[10_000, 1_000_000, 5_000_000])),
        ["thin", address, url] => runtime.block_on(workloads::thin::serve(address.parse().expect("an address"), url)),
        _ => panic!("what is {arguments:?}?"),
    }
}

fn figures(runtime: &Runtime, folder: &Path) {
    documents::measure();
    runtime.block_on(start::measure(folder));
    runtime.block_on(sockets::measure(folder, 1_000));
    runtime.block_on(logins::measure(folder));
    runtime.block_on(front::measure(folder));
}
