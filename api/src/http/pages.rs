//! Pages for browsers: GraphiQL while its folder contains a build, and always the small explorer.

mod folder;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use poem::Response;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::config::{Graphql, Mode};
use crate::http::{client_info, pages::folder::Folder};

/// Files of the explorer, embedded in the binary.
const EXPLORER: [(&str, &[u8]); 5] = [
    (EXPLORER_PAGE, include_bytes!("../../web/explorer/explorer.html")),
    ("explorer.css", include_bytes!("../../web/explorer/explorer.css")),
    ("explorer.js", include_bytes!("../../web/explorer/explorer.js")),
    ("transport.js", include_bytes!("../../web/explorer/transport.js")),
    ("walk.js", include_bytes!("../../web/explorer/walk.js")),
];
const EXPLORER_PAGE: &str = "explorer.html";
const GRAPHIQL_PAGE: &str = "index.html";

/// Policy that allows no source but this server. `GraphiQL`'s editor writes style attributes; scripts come from files
/// only.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; \
     img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const EXPLORER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

/// Pages of one server.
pub struct Pages {
    /// Folder that `npm --prefix api/web/graphiql run setup` builds.
    graphiql: Option<Folder>,
}

/// File to send in a response.
struct File {
    bytes: Bytes,
    /// Entity tag: the quoted digest of the bytes. File names do not change from build to build.
    tag: String,
    is_gzipped: bool,
}

impl Pages {
    /// Returns the pages that the settings allow. Only the mode `explore` has any.
    #[must_use]
    pub fn of(settings: &Graphql) -> Option<Self> {
        let folder = &settings.graphiql_dir;
        let graphiql = || (!folder.as_os_str().is_empty()).then(|| Folder::new(folder.clone()));
        (settings.mode == Mode::Explore).then(|| Self { graphiql: graphiql() })
    }

    /// Whether the folder contains `GraphiQL` now.
    pub async fn has_graphiql(&self) -> bool {
        self.graphiql(GRAPHIQL_PAGE).await.is_some()
    }

    /// Responds to a browser that opens the API's own address.
    pub(super) async fn home(&self, headers: &HeaderMap) -> Response {
        match self.graphiql(GRAPHIQL_PAGE).await {
            Some(file) => with_policy(respond(headers, GRAPHIQL_PAGE, file), GRAPHIQL_POLICY),
            None => explorer_page(headers),
        }
    }

    /// Returns the explorer, or a file that one of the pages refers to.
    pub(super) async fn answer(&self, path: &str, headers: &HeaderMap) -> Response {
        if path == "/graphql/explorer" {
            return explorer_page(headers);
        }
        let Some(name) = path.strip_prefix("/graphql/assets/") else { return missing() };
        let file = match explorer(name) {
            Some(file) => Some(file),
            None => self.graphiql(name).await,
        };
        file.map_or_else(missing, |file| respond(headers, name, file))
    }

    async fn graphiql(&self, name: &str) -> Option<File> {
        let (bytes, digest) = self.graphiql.as_ref()?.read(name).await?;
        Some(File { bytes, tag: tag(&digest), is_gzipped: true })
    }
}

fn explorer_page(headers: &HeaderMap) -> Response {
    let file = explorer(EXPLORER_PAGE);
    file.map_or_else(missing, |file| with_policy(respond(headers, EXPLORER_PAGE, file), EXPLORER_POLICY))
}

fn explorer(name: &str) -> Option<File> {
    let (_, bytes) = EXPLORER.into_iter().find(|(known, _)| *known == name)?;
    Some(File { bytes: Bytes::from_static(bytes), tag: tag(&Sha256::digest(bytes)), is_gzipped: false })
}

fn tag(digest: &[u8]) -> String {
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(digest))
}

/// Sends a file, or 304 if the browser has it. A browser may keep the file, but must revalidate it each time.
fn respond(headers: &HeaderMap, name: &str, file: File) -> Response {
    let response = Response::builder().header(header::CACHE_CONTROL, "no-cache").header(header::ETAG, &file.tag);
    if client_info::text(headers, header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &file.tag)) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    let response = if file.is_gzipped { response.header(header::CONTENT_ENCODING, "gzip") } else { response };
    response.content_type(content_type(name)).body(file.bytes)
}

/// Whether a list of entity tags contains this one. A proxy that compresses makes tags weak (RFC 9110, section 13.1.2).
fn names(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|found| found == "*" || found.trim_start_matches("W/") == tag)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_and_where_it_is_weak() {
        for (tags, wanted) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            assert_eq!(names(tags, "\"a\""), wanted, "{tags}");
        }
    }
}
