//! Embeds GraphiQL anew when it was built anew, and keeps what the loader has to read of the binary small.

fn main() {
    println!("cargo::rerun-if-changed=graphiql/dist");
    println!("cargo::rerun-if-changed=explorer");
    if std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        // A list of the places that hold addresses takes a megabyte, all of it read at each start; packed, a thirtieth.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
