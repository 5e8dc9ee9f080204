//! Where the page is, as people reach it: `notifier.public_url`, taken apart.

use std::time::Duration;

/// The page's place.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Scheme, host and port.
    pub(super) origin: String,
    /// What paths begin with, without a slash at its end; often nothing.
    pub(super) prefix: String,
    /// Whether people reach it over TLS.
    pub(super) is_https: bool,
    /// The session's cookie.
    pub(super) cookie: &'static str,
}

impl Base {
    /// Takes an address apart that the configuration has checked.
    pub(super) fn new(public_url: &str) -> Self {
        let (scheme, rest) = public_url.split_once("://").unwrap_or(("https", public_url));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_https = scheme == "https";
        let host = host.to_ascii_lowercase();
        let standard = if is_https { ":443" } else { ":80" };
        let host = host.strip_suffix(standard).unwrap_or(&host);
        let path = path.trim_end_matches('/');
        Self {
            origin: format!("{scheme}://{host}"),
            prefix: if path.is_empty() {
                String::new()
            } else {
                format!("/{path}")
            },
            is_https,
            // The prefixes bind what the browser takes (RFC 6265bis): no other host, and nobody without TLS, can set such a cookie.
            cookie: match (is_https, path.is_empty()) {
                (true, true) => "__Host-ringtap",
                (true, false) => "__Secure-ringtap",
                (false, _) => "ringtap",
            },
        }
    }

    /// `path`, which begins with a slash, as browsers ask for it.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The header that sets the session's cookie; an empty `word` removes it. `Lax`, for whoever comes from a mail comes from another
    /// site: with `Strict` the browser would keep the cookie back on the way from the link to the page.
    pub(super) fn set_cookie(&self, word: &str, lives: Duration) -> String {
        let path = if self.prefix.is_empty() { "/" } else { &self.prefix };
        let secure = if self.is_https { "; Secure" } else { "" };
        format!(
            "{}={word}; Path={path}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.cookie,
            lives.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an origin that no browser names, paths beside the prefix, and a cookie that browsers would not take.
    #[test]
    fn places() {
        for (url, origin, prefix, cookie) in [
            ("https://calls.test", "https://calls.test", "", "__Host-ringtap"),
            (
                "https://Calls.test:443/",
                "https://calls.test",
                "",
                "__Host-ringtap",
            ),
            (
                "https://calls.test:8443/",
                "https://calls.test:8443",
                "",
                "__Host-ringtap",
            ),
            (
                "https://office.test/a/b/",
                "https://office.test",
                "/a/b",
                "__Secure-ringtap",
            ),
            ("http://127.0.0.1:8462", "http://127.0.0.1:8462", "", "ringtap"),
        ] {
            let base = Base::new(url);
            assert_eq!(
                (base.origin.as_str(), base.prefix.as_str(), base.cookie),
                (origin, prefix, cookie),
                "{url}"
            );
        }
        let set = Base::new("https://office.test/a").set_cookie("w", Duration::from_secs(60));
        assert_eq!(
            set,
            "__Secure-ringtap=w; Path=/a; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        let set = Base::new("http://office.test").set_cookie("w", Duration::from_secs(60));
        assert_eq!(set, "ringtap=w; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
    }
}
