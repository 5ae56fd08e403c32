//! Which media type answers a request, by its Accept header (RFC 9110, section 12.5.1).

use poem::http::{HeaderMap, HeaderValue, header};

/// What an answer can be written as, the one that says most about errors first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status tells whether the operation ran.
    GraphqlResponse,
    /// `application/json`: well-formed requests are answered 200.
    Json,
    /// `text/event-stream`: graphql-sse, distinct connections.
    EventStream,
    /// `text/html`: the explorer.
    Html,
}

/// What the client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// What it likes best of what is offered.
    pub media: Media,
    /// Whether it takes a stream of events at all.
    pub events: bool,
}

/// How well a media type is liked: quality in thousandths, then whether it was named or only matched.
type Rank = (u16, bool);

impl Media {
    const ALL: [Self; 4] = [Self::GraphqlResponse, Self::Json, Self::EventStream, Self::Html];

    /// The Content-Type of a single result; one that was to be a stream or a page is plain JSON.
    pub const fn of_results(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json | Self::EventStream | Self::Html => "application/json; charset=utf-8",
        })
    }

    /// The media type that a range asks for. Wildcards mean JSON, which every client can read.
    fn of_range(range: &str) -> Option<(Self, bool)> {
        match range {
            "application/graphql-response+json" => Some((Self::GraphqlResponse, true)),
            "application/json" => Some((Self::Json, true)),
            "text/event-stream" => Some((Self::EventStream, true)),
            "text/html" => Some((Self::Html, true)),
            "*/*" | "application/*" => Some((Self::Json, false)),
            _ => None,
        }
    }
}

/// What to answer with; nothing when the client takes none of what is offered.
pub fn negotiate(headers: &HeaderMap, offers_html: bool) -> Option<Accepted> {
    let mut lines = headers.get_all(header::ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return Some(Accepted { media: Media::Json, events: false });
    }
    let mut ranks: [Option<Rank>; 4] = [None; 4];
    for range in lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
        let (name, quality) = parse(range);
        if let Some((media, named)) = Media::of_range(&name) {
            let rank = &mut ranks[media as usize];
            // A name overrules a wildcard whatever their qualities are; among equals the better one counts.
            if rank.is_none_or(|(before, was_named)| (was_named, before) < (named, quality)) {
                *rank = Some((quality, named));
            }
        }
    }
    if !offers_html {
        ranks[Media::Html as usize] = None;
    }
    let liked = |media: &Media| ranks[*media as usize].filter(|(quality, _)| *quality > 0);
    // `max_by_key` keeps the last of equals, so the order is turned round.
    let media = Media::ALL.into_iter().rev().filter(|media| liked(media).is_some()).max_by_key(liked)?;
    Some(Accepted { media, events: liked(&Media::EventStream).is_some() })
}

fn parse(range: &str) -> (String, u16) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, quality.map_or(1000, thousandths))
}

/// A weight as thousandths; one that cannot be read counts as 1, as if it were not there.
fn thousandths(weight: &str) -> u16 {
    match weight.split_once('.') {
        Some(("0", digits)) if digits.len() <= 3 => format!("{digits:0<3}").parse().unwrap_or(1000),
        None if weight == "0" => 0,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(accept: &str) -> Option<Media> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        negotiate(&headers, true).map(|accepted| accepted.media)
    }

    #[test]
    fn the_best_liked_of_what_is_offered_wins() {
        for (accept, wanted) in [
            ("*/*", Some(Media::Json)),
            ("application/graphql-response+json, application/json", Some(Media::GraphqlResponse)),
            ("application/graphql-response+json;q=0.8, application/json;charset=utf-8", Some(Media::Json)),
            ("application/json;q=0, */*;q=0.1, text/event-stream;q=0.05", Some(Media::EventStream)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Media::Html)),
            ("text/event-stream", Some(Media::EventStream)),
            ("application/json; q=0.5, application/graphql-response+json; q=0.51", Some(Media::GraphqlResponse)),
            ("image/png", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(media(accept), wanted, "{accept}");
        }
    }

    #[test]
    fn no_header_means_json_and_html_only_where_it_is_offered() {
        let json = Accepted { media: Media::Json, events: false };
        assert_eq!(negotiate(&HeaderMap::new(), true), Some(json));
        let headers = HeaderMap::from_iter([(header::ACCEPT, "text/html, */*;q=0.8".parse().unwrap())]);
        assert_eq!(negotiate(&headers, false), Some(json));
    }
}
