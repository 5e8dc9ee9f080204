//! A server whose name is not known, and one whose certificate has expired.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use crate::lab::{Lab, PROGRAM, Running, may_meddle, missed};
use crate::server::Server;

/// Catches a name service that is gone being taken for the mail's fault, or a service that has to be started anew when it is back.
#[test]
fn a_name_that_is_not_known() {
    if !may_meddle() {
        return;
    }
    let server = Server::start(1);
    let url = format!("smtp://mail.office.test:{}", server.address.port());
    let (lab, person) = Lab::of_one(&url, "");
    let (hosts, resolver) = (lab.path("hosts"), lab.path("resolv.conf"));
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    // Where nobody answers.
    fs::write(&resolver, "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n").unwrap();
    let script =
        "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([&hosts, &resolver])
        .arg(PROGRAM)
        .args(lab.arguments());
    let running = Running::start(command);
    let writer = lab.writer();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait_trouble("mail", "lookup");
    running.wait_said(&["ERROR", "the server cannot be used", "lookup"]);
    assert_eq!(running.metric("server_up{channel=\"mail\"}"), Some(0.0));
    fs::write(&hosts, "127.0.0.1 localhost mail.office.test\n").unwrap();
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait_well();
    running.wait_said(&["the server answers again"]);
    assert_eq!(running.metric("server_up{channel=\"mail\"}"), Some(1.0));
}

/// Catches a mail given to a server whose certificate has expired, one that is given up for it, and words that do not say so.
#[test]
fn a_certificate_that_has_expired() {
    let authority = Authority::new();
    let server = Server::start(1);
    server.secure(authority.certify(2020));
    let url = format!("smtps://localhost:{}", server.address.port());
    let ca_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(ca_file.path(), &authority.pem).unwrap();
    let (lab, person) = Lab::of_one(&url, &format!("ca_file = {:?}", ca_file.path()));
    let running = lab.run();
    let writer = lab.writer();
    writer.send(missed("a", &[&person.number])).unwrap();
    running.wait_trouble("mail", "xpired");
    running.wait_said(&["ERROR", "the server cannot be used", "xpired"]);
    assert_eq!(running.metric("server_up{channel=\"mail\"}"), Some(0.0));
    assert_eq!(server.taken().len(), 0);
    server.secure(authority.certify(2199));
    running.wait("a has arrived", || server.taken().len() == 1);
    running.wait_well();
}

/// An authority of our own.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a server here that is good until that year, and its key.
    pub fn certificate(&self, until: i32) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// How a server with such a certificate speaks TLS.
    fn certify(&self, until: i32) -> ServerConfig {
        let (certificate, key) = self.certificate(until);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}
