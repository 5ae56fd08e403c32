//! The pages that a browser is shown: GraphiQL where it was built, and always the small explorer of our own.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::{
    Request, Response,
    http::{HeaderValue, StatusCode, header},
};
use rust_embed::{EmbeddedFile, RustEmbed};

/// What `npm --prefix api/web/graphiql run setup` has built, each file compressed; nothing on a fresh clone.
#[derive(RustEmbed)]
#[folder = "web/graphiql/dist"]
struct Graphiql;

#[derive(RustEmbed)]
#[folder = "web/explorer"]
struct Explorer;

/// Nothing from elsewhere. `GraphiQL`'s editor writes style attributes; scripts come from files only.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; \
     img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const EXPLORER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

/// What a browser sees at the API's own address.
#[must_use]
pub fn page(request: &Request) -> Response {
    match Graphiql::get("index.html.gz") {
        Some(file) => with_policy(gzipped(request, "index.html", &file), GRAPHIQL_POLICY),
        None => explorer(request),
    }
}

/// The small explorer, or a file that one of the pages refers to.
#[must_use]
pub fn answer(request: &Request) -> Response {
    match request.uri().path() {
        "/graphql/explorer" => explorer(request),
        path => path.strip_prefix("/graphql/assets/").map_or_else(missing, |name| asset(request, name)),
    }
}

fn explorer(request: &Request) -> Response {
    let file = Explorer::get("explorer.html");
    file.map_or_else(missing, |file| with_policy(plain(request, "explorer.html", &file), EXPLORER_POLICY))
}

fn asset(request: &Request, name: &str) -> Response {
    // A debug build reads them from their folder, which no name may lead out of.
    if name.contains(['/', '\\']) {
        return missing();
    }
    if let Some(file) = Graphiql::get(&format!("{name}.gz")) {
        return gzipped(request, name, &file);
    }
    Explorer::get(name).map_or_else(missing, |file| plain(request, name, &file))
}

fn gzipped(request: &Request, name: &str, file: &EmbeddedFile) -> Response {
    let mut response = plain(request, name, file);
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// A file with the digest of its bytes as its tag: names stay the same from build to build, so browsers ask each time.
fn plain(request: &Request, name: &str, file: &EmbeddedFile) -> Response {
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash()));
    let response = Response::builder().header(header::CACHE_CONTROL, "no-cache").header(header::ETAG, &tag);
    if request.header(header::IF_NONE_MATCH) == Some(&tag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.content_type(content_type(name)).body(file.data.to_vec())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("ttf") => "font/ttf",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn with_policy(mut response: Response, policy: &'static str) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn missing() -> Response {
    StatusCode::NOT_FOUND.into()
}
