//! `[network]`: who is who on the mirrored segments.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// `[network]`. Everything may be empty: then segments are unknown and only home domains tell numbers
/// from contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// P-CSCFs.
    #[serde(deserialize_with = "nets")]
    pub pcscf: Vec<IpNet>,
    /// MGCFs. Numeric users at these addresses are numbers (semantics.md §3.5 step 4).
    #[serde(deserialize_with = "nets")]
    pub mgcf: Vec<IpNet>,
    /// I-, S-CSCFs, BGCFs and application servers.
    #[serde(deserialize_with = "nets")]
    pub core: Vec<IpNet>,
    /// Phones.
    #[serde(deserialize_with = "nets")]
    pub ue: Vec<IpNet>,
    /// Domains of this network's subscribers.
    #[serde(deserialize_with = "hosts")]
    pub home_domains: Vec<String>,
    /// Headers whose equal value means the same call, for back-to-back user agents that keep one
    /// (semantics.md K5): `X-CID`, `Ms-Correlation-Id`.
    #[serde(deserialize_with = "header_names")]
    pub correlation_headers: Vec<String>,
    /// Users of SIP addresses are compared without regard to case (semantics.md §3.5 step 9).
    pub aor_case_insensitive: bool,
}

impl Network {
    /// Whether a phone has this address: of all prefixes that fit the most specific one is among `ue`.
    #[must_use]
    pub fn is_phone(&self, address: IpAddr) -> bool {
        let longest = |prefixes: &[IpNet]| {
            let fitting = prefixes.iter().filter(|prefix| prefix.contains(&address));
            fitting.map(IpNet::prefix_len).max()
        };
        let others = [&self.pcscf, &self.mgcf, &self.core];
        longest(&self.ue).is_some_and(|phone| others.iter().all(|prefixes| longest(prefixes) < Some(phone)))
    }
}

/// A list of prefixes, or addresses, which stand for themselves alone.
pub(crate) fn nets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let nets = Vec::<Net>::deserialize(deserializer)?;
    Ok(nets.into_iter().map(|Net(net)| net).collect())
}

/// A list of host names, in lower case.
pub(crate) fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<Host>::deserialize(deserializer)?;
    Ok(hosts.into_iter().map(|Host(host)| host).collect())
}

struct Net(IpNet);

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let net = address.or_else(|_| text.parse::<IpNet>().map(|net| net.trunc()));
        net.map(Self).map_err(|_| {
            D::Error::custom(format!(
                "{text:?} is neither an IP address nor a prefix like 10.20.0.0/16"
            ))
        })
    }
}

struct Host(String);

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let host = text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase();
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(D::Error::custom(format!("{text:?} is not a host name")));
        }
        Ok(Self(host))
    }
}

/// Headers of RFC 3261 and the field's other documents that identify no call.
const COMMON_HEADERS: &[&str] = &[
    "Accept",
    "Accept-Contact",
    "Accept-Encoding",
    "Accept-Language",
    "Alert-Info",
    "Allow",
    "Allow-Events",
    "Call-ID",
    "Call-Info",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Date",
    "Diversion",
    "Event",
    "Expires",
    "From",
    "History-Info",
    "Max-Forwards",
    "MIME-Version",
    "Min-SE",
    "Organization",
    "P-Access-Network-Info",
    "P-Asserted-Identity",
    "P-Asserted-Service",
    "P-Called-Party-ID",
    "P-Early-Media",
    "P-Preferred-Identity",
    "P-Preferred-Service",
    "P-Visited-Network-ID",
    "Priority",
    "Privacy",
    "Proxy-Authorization",
    "Proxy-Require",
    "Reason",
    "Record-Route",
    "Referred-By",
    "Reject-Contact",
    "Remote-Party-ID",
    "Request-Disposition",
    "Require",
    "Route",
    "Server",
    "Session-Expires",
    "Subject",
    "Supported",
    "To",
    "User-Agent",
    "Via",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "i",
    "j",
    "k",
    "l",
    "m",
    "o",
    "r",
    "s",
    "t",
    "u",
    "v",
    "x",
];

/// Names of header fields (RFC 3261 §25.1: tokens).
fn header_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    for name in &names {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(D::Error::custom(format!("{name:?} is not the name of a header")));
        }
        // Values that strangers share, or that change from hop to hop, would join what does not belong together.
        if COMMON_HEADERS
            .iter()
            .any(|common| common.eq_ignore_ascii_case(name))
        {
            return Err(D::Error::custom(format!(
                "{name:?} is equal in many calls; name a header that a back-to-back user agent writes for each call, like \"X-CID\""
            )));
        }
    }
    Ok(names)
}
