//! Embeds GraphiQL anew when it was built anew.

fn main() {
    println!("cargo::rerun-if-changed=graphiql/dist");
    println!("cargo::rerun-if-changed=explorer");
}
