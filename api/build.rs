//! Embeds GraphiQL anew when it was built anew.

fn main() {
    println!("cargo::rerun-if-changed=web/graphiql/dist");
    println!("cargo::rerun-if-changed=web/explorer");
}
