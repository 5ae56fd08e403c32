//! Chooses the media type of a response by the Accept header (RFC 9110, section 12.5.1).

use poem::http::{HeaderMap, HeaderValue, header};

/// Media types of responses. The one that reports errors in most detail comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status shows whether the operation ran.
    GraphqlResponse,
    /// `application/json`: well-formed requests get 200.
    Json,
    /// `text/event-stream`: graphql-sse, distinct connections.
    EventStream,
    /// `text/html`: `GraphiQL` or the explorer.
    Html,
}

/// Result of the negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Offered media type that the client prefers.
    pub media: Media,
    /// Whether the client accepts an event stream at all.
    pub events: bool,
}

/// Preference for a media type: quality in thousandths, and whether it was named and not only matched.
type Rank = (u16, bool);

impl Media {
    const ALL: [Self; 4] = [Self::GraphqlResponse, Self::Json, Self::EventStream, Self::Html];

    /// Returns the Content-Type of a single result. Where a stream or a page was requested, it is plain JSON.
    pub const fn of_results(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json | Self::EventStream | Self::Html => "application/json; charset=utf-8",
        })
    }

    /// Returns the media type of a range, and whether the range names it. Wildcards mean JSON, which every client can
    /// read.
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

/// Chooses the media type. Returns `None` if the client accepts none of those on offer.
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
            // A name overrules a wildcard regardless of their qualities. Among equals the higher quality counts.
            if rank.is_none_or(|(before, was_named)| (was_named, before) < (named, quality)) {
                *rank = Some((quality, named));
            }
        }
    }
    if !offers_html {
        ranks[Media::Html as usize] = None;
    }
    let liked = |media: &Media| ranks[*media as usize].filter(|(quality, _)| *quality > 0);
    // `max_by_key` returns the last of equals, so the order is reversed.
    let media = Media::ALL.into_iter().rev().filter(|media| liked(media).is_some()).max_by_key(liked)?;
    Some(Accepted { media, events: liked(&Media::EventStream).is_some() })
}

fn parse(range: &str) -> (String, u16) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, quality.map_or(1000, thousandths))
}

/// Returns a weight in thousandths. An unreadable weight counts as 1, as if it were absent.
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
