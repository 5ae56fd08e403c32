//! The pages for browsers on the wire: the explorer, and GraphiQL from a folder that appears and changes.

use std::{fs, path::Path};

use qv_tests::node_process::binary;
use qv_tests::process::Process;
use qv_tests::raw::{self, Raw};
use qv_tests::world::{Node, World, private_folder};
use tempfile::TempDir;

const HTML: (&str, &str) = ("accept", "text/html,*/*;q=0.8");
const GRAPHIQL_STYLES: &str = "style-src 'self' 'unsafe-inline'";

async fn get(node: &Node, target: &str, headers: &[(&str, &str)]) -> Raw {
    raw::get(node.server.address, target, headers).await
}

/// Starts a node whose GraphiQL folder is `dist`, next to a file that must stay private.
async fn node() -> (Node, TempDir) {
    let parent = private_folder();
    fs::write(parent.path().join("secret.gz"), "secret").expect("a file");
    let dist = parent.path().join("dist");
    let node = World::new().await.node_with(|config| config.graphql.graphiql_dir = dist).await;
    (node, parent)
}

fn build(parent: &TempDir, name: &str, bytes: &str) {
    let dist = parent.path().join("dist");
    fs::create_dir_all(&dist).expect("a folder");
    fs::write(dist.join(name), bytes).expect("a file");
}

fn is_graphiql(page: &Raw) -> bool {
    page.header("content-security-policy").expect("a policy").contains(GRAPHIQL_STYLES)
}

#[tokio::test]
async fn the_explorer_comes_whole_and_is_kept() {
    let node = World::new().await.node().await;
    for (target, accept, kind, guarded) in [
        ("/graphql", "text/html,*/*;q=0.8", "text/html", true),
        ("/graphql/explorer", "*/*", "text/html", true),
        ("/graphql/assets/explorer.js", "*/*", "text/javascript", false),
        ("/graphql/assets/explorer.css", "*/*", "text/css", false),
        ("/graphql/assets/transport.js", "*/*", "text/javascript", false),
        ("/graphql/assets/walk.js", "*/*", "text/javascript", false),
    ] {
        let page = get(&node, target, &[("accept", accept)]).await;
        assert_eq!(page.status, 200, "{target}");
        assert!(page.header("content-type").is_some_and(|found| found.starts_with(kind)), "{target}");
        assert_eq!(page.header("content-encoding"), None, "{target}");
        let policy = page.header("content-security-policy");
        assert_eq!(policy.is_some_and(|policy| policy.starts_with("default-src 'none'")), guarded, "{target}");
        let tag = page.header("etag").expect("a tag");
        let again = get(&node, target, &[("accept", accept), ("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{target}");
    }
    assert_eq!(get(&node, "/graphql/assets/nothing.js", &[]).await.status, 404);
    assert_eq!(get(&node, "/", &[]).await.header("location").as_deref(), Some("/graphql"));
}

#[tokio::test]
async fn graphiql_appears_changes_and_goes_while_the_node_serves() {
    let (node, parent) = node().await;
    assert!(!is_graphiql(&get(&node, "/graphql", &[HTML]).await));
    for file in ["index.html.gz", "graphiql.js.gz", "codicon.ttf.gz"] {
        build(&parent, file, "one");
    }
    for (target, kind) in [
        ("/graphql", "text/html; charset=utf-8"),
        ("/graphql/assets/graphiql.js", "text/javascript; charset=utf-8"),
        ("/graphql/assets/codicon.ttf", "font/ttf"),
    ] {
        let first = get(&node, target, &[HTML]).await;
        assert_eq!((first.status, &first.body[..]), (200, &b"one"[..]), "{target}");
        assert_eq!(first.header("content-type").as_deref(), Some(kind), "{target}");
        assert_eq!(first.header("content-encoding").as_deref(), Some("gzip"), "{target}");
        assert_eq!(first.header("cache-control").as_deref(), Some("no-cache"), "{target}");
    }
    let page = get(&node, "/graphql", &[HTML]).await;
    assert!(is_graphiql(&page));
    assert!(!is_graphiql(&get(&node, "/graphql/explorer", &[HTML]).await), "the explorer stays");

    let stale = page.header("etag").expect("a tag");
    let stale = ("if-none-match", stale.as_str());
    let again = get(&node, "/graphql", &[HTML, stale]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    build(&parent, "index.html.gz", "two");
    let fresh = get(&node, "/graphql", &[HTML, stale]).await;
    assert_eq!((fresh.status, &fresh.body[..]), (200, &b"two"[..]));
    assert_ne!(fresh.header("etag"), page.header("etag"));

    fs::remove_dir_all(parent.path().join("dist")).expect("it is there");
    assert!(!is_graphiql(&get(&node, "/graphql", &[HTML, stale]).await));
    assert_eq!(get(&node, "/graphql/assets/graphiql.js", &[]).await.status, 404);
}

#[tokio::test]
async fn no_address_leads_out_of_the_folder() {
    let (node, parent) = node().await;
    build(&parent, "index.html.gz", "page");
    assert_eq!(get(&node, "/graphql/assets/index.html", &[]).await.status, 200);
    let absolute = parent.path().join("secret");
    let absolute = absolute.to_str().expect("text");
    for name in [
        "../secret",
        "..%2Fsecret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "..\\secret",
        "..%5Csecret",
        "./../secret",
        "index.html/../../secret",
        "index.html%00",
        "%00",
        "",
        ".",
        "..",
        absolute,
        &absolute.replace('/', "%2F"),
    ] {
        let answer = get(&node, &format!("/graphql/assets/{name}"), &[]).await;
        assert!(matches!(answer.status, 400 | 404), "{name}: {answer:?}");
        assert!(!answer.body.windows(6).any(|six| six == b"secret"), "{name}");
    }
}

#[tokio::test]
async fn the_first_lines_name_the_page_that_is_served() {
    for (mode, has_page, line) in [
        ("explore", false, "  GraphQL, explorer  http://"),
        ("explore", true, "  GraphQL, GraphiQL  http://"),
        ("open", true, "  GraphQL            http://"),
    ] {
        let (world, parent) = (World::new().await, private_folder());
        if has_page {
            build(&parent, "index.html.gz", "page");
        }
        let dist = parent.path().join("dist").display().to_string();
        let settings = [("GRAPHQL__MODE", mode), ("GRAPHQL__GRAPHIQL_DIR", &dist)];
        let (said, _) = Process::start(&world, &settings).await.stop().await;
        assert!(said.contains(line), "{mode}: {said}");
    }
}

#[tokio::test]
async fn relative_folders_begin_at_the_repository_under_cargo() {
    let (world, repository) = (World::new().await, private_folder());
    let dist = repository.path().join("api/web/graphiql/dist");
    fs::create_dir_all(&dist).expect("a folder");
    fs::write(dist.join("index.html.gz"), "page").expect("a file");
    let page = async |package: Option<&Path>, folder: &Path| {
        let mut command = binary();
        command.envs(world.environment("one")).current_dir(folder);
        command.envs(package.map(|package| ("CARGO_MANIFEST_DIR", package)));
        let process = Process::run(command).await;
        let page = raw::get(process.address, "/graphql", &[HTML]).await;
        process.stop().await;
        page
    };
    let (package, elsewhere) = (repository.path().join("api"), repository.path().join("docs"));
    fs::create_dir(&elsewhere).expect("a folder");
    assert!(is_graphiql(&page(None, repository.path()).await));
    assert!(!is_graphiql(&page(None, &elsewhere).await));
    assert!(is_graphiql(&page(Some(&package), &elsewhere).await));
}
