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

/// Names of header fields (RFC 3261 §25.1: tokens).
fn header_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    match names
        .iter()
        .find(|name| name.is_empty() || !name.bytes().all(is_token))
    {
        Some(name) => Err(D::Error::custom(format!("{name:?} is not the name of a header"))),
        None => Ok(names),
    }
}
