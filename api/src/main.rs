//! The binary.

use std::process::ExitCode;

/// A request makes and drops hundreds of small pieces of memory, on whichever thread it goes on.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One cryptography provider for every TLS connection, chosen before the first of them.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        eprintln!("quantumvault: another cryptography provider is installed already");
        return ExitCode::FAILURE;
    }
    quantumvault::cli::run()
}
