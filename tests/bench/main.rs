//! Figures of the `dist` binary. Each kind is measured in one run on one machine. Nothing here fails a build.
//!
//! Build the server first: `cargo build --profile dist`. Then run `cargo bench --profile dist -p qv_tests`, with one of
//! these arguments after `--`:
//!
//! - none: documents, start, sockets, sign-ins and `front`;
//! - `front`: the share of poem's own speed that remains with all guards on;
//! - `tricks`: code written by hand for speed, compared with the libraries' code;
//! - `siege`: the delay of one user's requests while another client attacks the node;
//! - `sockets 10000`: the memory of this many open sockets; raise `ulimit -n` first;
//! - `workloads`: typical requests of frontends, compared with a floor without GraphQL. `W2 W5` selects these two;
//! - `compare OLD NEW`: the works of two binaries in one run. Names of works after the binaries select these;
//! - `growth`: some works on databases of increasing size.
//!
//! The last three start their own PostgreSQL and Redis. With `--embedded` they measure SQLite in a single process. The
//! first two of them fill a million messages, or the number in `--messages=N`.

mod documents;
mod front;
mod logins;
mod server;
mod siege;
mod sockets;
mod start;
mod tricks;
mod workloads;

use std::{env, path::Path};

use tokio::runtime::Runtime;

use self::workloads::Trial;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = qv_tests::world::private_folder();
    let (flags, arguments): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let folder = folder.path();
    let mut trial = Trial { folder, is_embedded: false, messages: 1_000_000 };
    for flag in &flags {
        match flag.split_once('=') {
            // Passed by Cargo.
            None if flag == "--bench" => {}
            None if flag == "--embedded" => trial.is_embedded = true,
            Some(("--messages", count)) => trial.messages = count.parse().expect("a number"),
            _ => panic!("unknown argument {flag}"),
        }
    }
    match arguments[..] {
        [] => figures(&runtime, folder),
        ["tricks"] => tricks::measure(),
        ["front"] => runtime.block_on(front::measure(folder)),
        ["sockets", count] => runtime.block_on(sockets::measure(folder, count.parse().expect("a number"))),
        ["siege"] => runtime.block_on(siege::measure(folder)),
        ["workloads", ref only @ ..] => runtime.block_on(workloads::measure(&trial, only)),
        ["compare", old, new, ref only @ ..] => {
            // Cargo runs benchmarks in the folder of their package.
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
            runtime.block_on(workloads::compare(&trial, &root.join(old), &root.join(new), only));
        }
        ["growth"] => runtime.block_on(workloads::grow(&trial, &[10_000, 1_000_000, 5_000_000])),
        ["floor", address, database, redis] => {
            runtime.block_on(workloads::floor::serve(address.parse().expect("an address"), database, redis));
        }
        _ => panic!("unknown arguments {arguments:?}"),
    }
}

fn figures(runtime: &Runtime, folder: &Path) {
    documents::measure();
    runtime.block_on(start::measure(folder));
    runtime.block_on(sockets::measure(folder, 1_000));
    runtime.block_on(logins::measure(folder));
    runtime.block_on(front::measure(folder));
}
