//! Entry point of the server and its commands.

use std::process::ExitCode;

/// A request allocates and frees many small blocks, on any thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Installs one cryptography provider for all TLS connections, before the first of them.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        eprintln!("quantumvault: another cryptography provider is installed already");
        return ExitCode::FAILURE;
    }
    quantumvault::cli::run()
}
