//! One configured mint: its URL, the way to it, and what is known of it.

use std::str::FromStr;

use ::cdk::mint_url::MintUrl;

use super::keys::KeyCache;
use super::mints::FeatureCache;
use super::wire::Wire;
use crate::saga::code::Code;

/// A configured mint URL that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UrlError {
    /// [`Code::ConfigInvalid`].
    pub code: Code,
    /// A sentence that names the URL.
    pub message: String,
}

/// One mint, and what is known of it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) wire: Wire,
    pub(super) keys: KeyCache,
    pub(super) features: FeatureCache,
}

impl UrlError {
    /// A password in the URL is not repeated.
    pub(super) fn of(text: &str) -> Self {
        let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
        Self {
            code: Code::ConfigInvalid,
            message: format!("{text} is not a mint's URL: give one like https://mint.example.com"),
        }
    }
}

impl Site {
    pub(super) fn new(url: MintUrl) -> Self {
        Self {
            wire: Wire::new(url),
            keys: KeyCache::default(),
            features: FeatureCache::default(),
        }
    }
}

/// The canonical form of a mint URL, by cdk's rules: lower-case scheme and host, no slash at the
/// end. It is part of every wallet seed.
pub(super) fn canonical(text: &str) -> Option<MintUrl> {
    let url = MintUrl::from_str(text.trim()).ok()?;
    let parsed = url.join_paths(&["v1"]).ok()?;
    let web = matches!(parsed.scheme(), "http" | "https") && parsed.has_host();
    let plain = parsed.query().is_none() && parsed.fragment().is_none();
    (web && plain && parsed.username().is_empty() && parsed.password().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_canonical_form() {
        let table = [
            ("https://mint.example.com", "https://mint.example.com"),
            (" HTTPS://Mint.Example.COM/ ", "https://mint.example.com"),
            (
                "https://example.com/Bitcoin/",
                "https://example.com/Bitcoin",
            ),
            ("http://127.0.0.1:3338", "http://127.0.0.1:3338"),
        ];
        for (text, expected) in table {
            assert_eq!(canonical(text).unwrap().to_string(), expected);
        }
        let wrong = [
            "",
            "mint.example.com",
            "ftp://mint.example.com",
            "https://",
            "https://user:pass@mint.example.com",
            "https://mint.example.com?x=1",
            "https://mint.example.com#x",
        ];
        for text in wrong {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
