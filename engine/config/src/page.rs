//! `[notifier.page]` and `notifier.public_url`: the page on which people see what they missed, and settle how they are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::Deserialize;

use crate::network::nets;
use crate::notifier::{Fault, web_address, within};

/// A link is as good as a password to what it opens.
const LINK_DAYS_MAX: u32 = 90;
const SESSION_HOURS_MAX: u32 = 720;

/// `[notifier.page]`: how the page behind `public_url` is served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageConfig {
    /// Where the proxy finds it; plain HTTP.
    pub listen: SocketAddr,
    /// How long a link opens it after the mail was sent.
    pub link_days: u32,
    /// How long somebody who has opened it stays signed in.
    pub session_hours: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "nets")]
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8462)),
            link_days: 7,
            session_hours: 12,
            trusted_proxies: vec![
                IpNet::from(IpAddr::from(Ipv4Addr::LOCALHOST)),
                IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)),
            ],
        }
    }
}

impl PageConfig {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        within("page.link_days", self.link_days, 1, LINK_DAYS_MAX)?;
        within("page.session_hours", self.session_hours, 1, SESSION_HOURS_MAX)
    }
}

/// Links are made of it: a host, perhaps a port, perhaps a path.
pub(crate) fn public_url(url: &str) -> Result<(), Fault> {
    let fault = |what: &str| Err(("public_url", format!("{url:?} {what}")));
    let Some(address) = web_address(url) else {
        return fault("is not an http:// or https:// address");
    };
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    if host.is_empty() || host.contains(['@', '?', '#']) {
        return fault("names no host");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.bytes().all(plain) || format!("/{path}").contains("//") {
        return fault("may have a path behind the host, of letters, digits, - . _ ~ and /, and nothing else");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches an address from which links cannot be made, and one that is refused though they can.
    #[test]
    fn addresses() {
        for good in [
            "https://calls.office.test",
            "https://calls.office.test/",
            "http://127.0.0.1:8462",
            "https://office.test/missed/calls/",
        ] {
            assert_eq!(public_url(good), Ok(()), "{good}");
        }
        for bad in [
            "calls.office.test",
            "https://",
            "https:///x",
            "https://u:p@office.test/",
            "https://office.test?x=1",
            "https://office.test/a?x=1",
            "https://office.test/a#b",
            "https://office.test/a//b",
            "https://office.test/<a>",
        ] {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }
}
