//! The web page: one document at `/` and at each Task's link, and the files that it loads.
//!
//! Owns which file is served where, and with which headers; knows nothing about Tasks. The page is open,
//! since it holds nothing of anybody: what it shows it asks of the gateway, with its reader's token. The
//! policy lets it run its own files alone: no inline script, nothing of other hosts, and no text that
//! becomes markup (`require-trusted-types-for`), because most of what it shows was written by a model.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::api::edge::EdgeError;
use crate::api::gateway::failure::Failure;
use crate::api::page::asset::{Asset, Coding};

mod asset;

/// Name of the document among the assets.
const DOCUMENT: &str = "index.html";

/// What the document may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// Makes the page's routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { serve(DOCUMENT, &headers) }))
        .route(
            "/tasks/{task}",
            get(|headers: HeaderMap| async move { serve(DOCUMENT, &headers) }),
        )
        .route(
            "/assets/{name}",
            get(|Path(name): Path<String>, headers: HeaderMap| async move { serve(&name, &headers) }),
        )
}

/// Answers with a file as the reader can take it, or with the word that the reader's copy is still good.
fn serve(name: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = Asset::named(name) else {
        return Failure::from(EdgeError::NoRoute).into_response();
    };
    let coding = coding_for(asked);
    let etag = asset.etag(coding);
    let is_known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known.split(',').any(|known| is_same_tag(known, &etag)));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.content(coding).into_response()
    };
    let headers = response.headers_mut();
    if is_known {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind()));
        if coding == Coding::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    for (name, value) in [
        // Asked for again each time, answered by 304: a new server never meets its predecessor's files.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A proxy may have made the tag a weak one.
fn is_same_tag(known: &str, etag: &str) -> bool {
    let known = known.trim();
    known == "*" || known.trim_start_matches("W/") == etag
}

/// Chooses gzip when the reader names it without refusing it.
fn coding_for(asked: &HeaderMap) -> Coding {
    let takes_gzip = asked
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_gzip && !parts.any(|weight| weight.starts_with("q=0") && weight.trim_end_matches(['0', '.']) == "q=")
        });
    if takes_gzip { Coding::Gzip } else { Coding::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn the_coding_is_the_readers_choice() {
        for (value, coding) in [
            ("gzip", Coding::Gzip),
            ("br, GZIP;q=0.5", Coding::Gzip),
            ("br", Coding::Plain),
            ("gzip;q=0", Coding::Plain),
            ("gzip;q=0.0, br", Coding::Plain),
            ("gzip;q=0.01", Coding::Gzip),
        ] {
            assert_eq!(
                coding_for(&asked(&[(header::ACCEPT_ENCODING, value)])),
                coding,
                "{value}"
            );
        }
        assert_eq!(coding_for(&HeaderMap::new()), Coding::Plain);
    }

    #[test]
    fn a_reader_with_the_same_copy_is_sent_nothing_and_one_with_another_everything() {
        let first = serve(DOCUMENT, &asked(&[(header::ACCEPT_ENCODING, "gzip")]));
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_ENCODING], "gzip");
        let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let weak = format!("\"x\", W/{etag}");
        for (known, coding, status) in [
            (etag.as_str(), "gzip", StatusCode::NOT_MODIFIED),
            (weak.as_str(), "gzip", StatusCode::NOT_MODIFIED),
            (etag.as_str(), "identity", StatusCode::OK),
            ("\"x\"", "gzip", StatusCode::OK),
        ] {
            let answer = serve(
                DOCUMENT,
                &asked(&[(header::ACCEPT_ENCODING, coding), (header::IF_NONE_MATCH, known)]),
            );
            assert_eq!(answer.status(), status, "{known} {coding}");
        }
    }

    #[test]
    fn the_document_may_run_no_inline_script_and_reach_no_other_host() {
        let answer = serve(DOCUMENT, &HeaderMap::new());
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for word in ["unsafe-inline", "unsafe-eval", "http:", "https:", "data:", "*"] {
            assert!(!policy.contains(word), "{policy}");
        }
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    }

    #[test]
    fn what_is_no_asset_is_nothing() {
        for name in ["nope.js", "../Cargo.toml", "", "INDEX.HTML"] {
            assert_eq!(serve(name, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
