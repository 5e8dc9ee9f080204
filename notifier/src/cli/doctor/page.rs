//! Whether people's own page could be served, and who would reach it. Mails leave without it: nothing here fails but what ends `run`.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use ringtap_config::Config;

use super::Findings;
use crate::page::is_here;
use crate::store::Claim;

pub(super) fn look(config: &Config, database: &Path, found: &mut Findings) {
    let Some(public_url) = &config.notifier.public_url else {
        return;
    };
    if public_url.starts_with("http://") && !is_here(public_url) {
        found.warn(
            format!("page: {public_url}: links and cookies travel readable"),
            "let a proxy speak TLS, and write https:// in notifier.public_url",
        );
    }
    let address = config.notifier.page.listen;
    let is_away = |net: &ipnet::IpNet| !net.addr().is_loopback();
    if !address.ip().is_loopback() && !config.notifier.page.trusted_proxies.iter().any(is_away) {
        found.warn(
            format!("page: {address} is for a proxy on another host, and no such proxy is believed: all who come by it count as one client"),
            "name the proxy's address in notifier.page.trusted_proxies",
        );
    }
    match TcpListener::bind(address).map_err(|fault| (fault.kind(), fault)) {
        Ok(_) => found.ok(format!("page: {address} is free to be listened at")),
        // A lock that cannot be looked at is told of elsewhere.
        Err((ErrorKind::AddrInUse, _)) if Claim::is_held(database).unwrap_or(false) => {
            found.ok(format!("page: {address} is in use, as a notifier works"));
        }
        Err((ErrorKind::AddrInUse, _)) => found.warn(
            format!("page: {address} is in use, and no notifier works: the page would not be served"),
            format!("end what listens there (`ss -ltnp sport = :{}`), or name another address in notifier.page.listen", address.port()),
        ),
        Err((ErrorKind::AddrNotAvailable, _)) => found.warn(
            format!("page: {address} is no address of this host: the page would not be served"),
            "name one in notifier.page.listen",
        ),
        Err((_, fault)) => found.fail(
            format!("page: {address}: {fault}"),
            "name an address in notifier.page.listen that this user may listen at; the service does not start",
        ),
    }
}
