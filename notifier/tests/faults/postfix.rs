//! A real Postfix (Debian: `postfix`, `sasl2-bin`, `libsasl2-modules-db`): an instance of its own in a folder of its own, on a
//! port of the loopback. `scripts/postfix.sh` installs what it takes.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal};

use crate::lab::{Lab, Person, may_meddle, missed, wait};
use crate::network::Authority;

/// Reads a mail from standard input, and says whether the one signature it has is good, by the key given.
const VERIFY: &str = "
import sys, dkim
name, record = sys.argv[1].encode() + b'.', sys.argv[2].encode()
mail = sys.stdin.buffer.read()
assert mail.lower().count(b'dkim-signature:') == 1
print(dkim.verify(mail, dnsfunc=lambda asked, timeout=5: record if asked == name else None))
";

/// Catches a mail that a real server does not take or alters until its signature breaks, one that goes without TLS or password,
/// a refusal that is read wrongly, and mails lost while the server is down.
#[test]
fn through_a_real_one() {
    if !can_run() {
        return;
    }
    let people = [1, 2, 3].map(|n| Person::new(n, "office.test"));
    let authority = Authority::new();
    let postfix = Postfix::install(&authority, &[&people[0].email]);
    let smtp = |password: &str| {
        let path = postfix.path(&format!("credentials.{password}"));
        write_private(&path, &format!("user = \"ringtap\"\npassword = \"{password}\"\n"));
        format!(
            "ca_file = {:?}\ncredentials_file = {path:?}\n[notifier.smtp.dkim]\nselector = \"s1\"\n\
             domain = \"office.test\"\nkey_file = {:?}",
            postfix.path("ca.pem"),
            postfix.path("dkim.pem"),
        )
    };
    let secure = format!("smtp+starttls://localhost:{}", postfix.port);
    let lab = Lab::new(&people, &secure, &smtp("s3cret"), "coalesce_window_s = 0");
    let server = postfix.start();
    let running = lab.run();
    let writer = lab.writer();
    let [known, unknown, third] = people.each_ref().map(|person| person.number.as_str());
    writer.send(missed("a", &[known, unknown])).unwrap();
    running.wait("a has arrived", || postfix.mails().len() == 1);
    running.wait("the other is given up", || lab.count("dead") == 1);
    running.wait_said(&["given up: refused", "p2", "5.1.1"]);

    let mail = fs::read_to_string(&postfix.mails()[0]).unwrap();
    eprintln!("{}", mail.split("\n\n").next().unwrap());
    assert!(
        mail.contains("with ESMTPSA") && mail.contains("using TLSv1.3"),
        "{mail}"
    );
    let record = format!("v=DKIM1; k=rsa; p={}", postfix.public_key());
    assert_eq!(verified(&mail, &record), "True");
    assert_eq!(verified(&mail.replacen("Missed", "Mixed", 2), &record), "False");

    // Down for a while.
    server.stop();
    writer.send(missed("b", &[known])).unwrap();
    running.wait_trouble("mail", "refused");
    assert_eq!((postfix.mails().len(), lab.count("pending")), (1, 1));
    let _server = postfix.start();
    running.wait("b has arrived", || postfix.mails().len() == 2);
    running.wait_well();
    drop(running);

    // Without TLS, and with a wrong password.
    for (url, smtp, words) in [
        (
            format!("smtp://localhost:{}", postfix.port),
            String::new(),
            "STARTTLS",
        ),
        (secure, smtp("wrong"), "authentication failed"),
    ] {
        let lab = Lab::new(&people, &url, &smtp, "coalesce_window_s = 0");
        let writer = lab.writer();
        let running = lab.run();
        writer.send(missed("c", &[known])).unwrap();
        running.wait_trouble("mail", words);
        assert_eq!((lab.count("pending"), lab.count("dead")), (1, 0));
    }
    assert_eq!(postfix.mails().len(), 2);

    // Where TLS is a matter of choice, it says only at the recipient that it takes nothing from who has not given a password.
    let url = format!("smtp://localhost:{}", postfix.plain_port);
    let lab = Lab::new(&people, &url, "", "coalesce_window_s = 0");
    let (writer, running) = (lab.writer(), lab.run());
    writer.send(missed("d", &[known, unknown, third])).unwrap();
    running.wait_trouble("mail", "Client host rejected");
    assert_eq!((lab.count("pending"), lab.count("dead")), (3, 0));
}

/// Whether all is there. `RINGTAP_POSTFIX=1` makes it a failure if not.
fn can_run() -> bool {
    let knows_dkim = || {
        let tried = Command::new("/usr/bin/python3")
            .args(["-c", "import dkim"])
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let needed = [
        "/usr/sbin/postfix",
        "/usr/sbin/saslpasswd2",
        "/etc/sasldb2",
        "/usr/bin/openssl",
    ];
    let is_there = needed.iter().all(|path| Path::new(path).exists());
    let can = is_there && knows_dkim() && may_meddle();
    assert!(
        can || std::env::var_os("RINGTAP_POSTFIX").is_none(),
        "something is missing"
    );
    if !can {
        eprintln!(
            "SKIPPED: takes root, postfix, saslpasswd2, openssl and python3-dkim; see scripts/postfix.sh"
        );
    }
    can
}

/// An installation in a folder.
struct Postfix {
    folder: tempfile::TempDir,
    port: u16,
    /// Where TLS is not asked for.
    plain_port: u16,
}

impl Postfix {
    /// One that knows these recipients, and user `ringtap` with a password.
    fn install(authority: &Authority, recipients: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Its processes are those of other users.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, plain_port] = listeners.map(|listener| listener.local_addr().unwrap().port());
        let postfix = Self {
            folder,
            port,
            plain_port,
        };
        for name in ["etc", "spool", "data", "mail", "sasl"] {
            fs::create_dir(postfix.path(name)).unwrap();
        }
        fs::write(postfix.path("ca.pem"), &authority.pem).unwrap();
        let (certificate, key) = authority.certificate(2199);
        fs::write(postfix.path("cert.pem"), certificate.pem()).unwrap();
        write_private(&postfix.path("key.pem"), &key.serialize_pem());
        run(Command::new("chown")
            .args(["nobody:nogroup"])
            .arg(postfix.path("mail")));
        run(Command::new("chown").arg("postfix").arg(postfix.path("data")));
        run(Command::new("openssl")
            .args(["genrsa", "-traditional", "-out"])
            .arg(postfix.path("dkim.pem"))
            .arg("2048"));
        postfix.add_user();
        postfix.configure(recipients);
        postfix
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add_user(&self) {
        let users = self.path("sasl/users");
        let mut asked = Command::new("/usr/sbin/saslpasswd2")
            .args(["-c", "-p", "-u", "office.test", "-f"])
            .arg(&users)
            .arg("ringtap")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        asked.stdin.take().unwrap().write_all(b"s3cret").unwrap();
        assert!(asked.wait().unwrap().success());
        run(Command::new("chown").arg("postfix").arg(&users));
        let text = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n";
        fs::write(self.path("sasl/smtpd.conf"), text).unwrap();
    }

    fn configure(&self, recipients: &[&str]) {
        let boxes: Vec<String> = recipients
            .iter()
            .map(|address| format!("{{ {address} = box/ }}"))
            .collect();
        let text = format!(
            "compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
maillog_file = {base}/mail.log
maillog_file_prefixes = {base}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mail.office.test
mydestination =
virtual_mailbox_domains = office.test
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {base}/cert.pem
smtpd_tls_key_file = {base}/key.pem
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = office.test
smtpd_tls_auth_only = yes
alias_maps =
alias_database =
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = reject_unauth_destination
",
            base = self.folder.path().display(),
            boxes = boxes.join(", "),
        );
        fs::write(self.path("etc/main.cf"), text).unwrap();
        let services = format!(
            "127.0.0.1:{} inet n - n - - smtpd
127.0.0.1:{} inet n - n - - smtpd -o smtpd_tls_security_level=may
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
error unix - - n - - error
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
",
            self.port, self.plain_port
        );
        fs::write(self.path("etc/master.cf"), services).unwrap();
    }

    fn start(&self) -> Instance {
        // Where its library looks for users and how to ask them cannot be told to it otherwise.
        let script = "mount --bind \"$1/sasl/users\" /etc/sasldb2 && mount --bind \"$1/sasl\" /etc/postfix/sasl && \
            exec /usr/sbin/postfix -c \"$1/etc\" start-fg";
        let child = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let instance = Instance {
            child,
            pid_file: self.path("spool/pid/master.pid"),
        };
        wait("Postfix listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        instance
    }

    /// What was delivered.
    fn mails(&self) -> Vec<PathBuf> {
        let Ok(found) = fs::read_dir(self.path("mail/box/new")) else {
            return Vec::new();
        };
        found.map(|entry| entry.unwrap().path()).collect()
    }

    /// The signature's public key, as it stands in the name service.
    fn public_key(&self) -> String {
        let pem = run(Command::new("openssl")
            .args(["rsa", "-pubout", "-in"])
            .arg(self.path("dkim.pem")));
        let pem = String::from_utf8(pem.stdout).unwrap();
        pem.lines().filter(|line| !line.starts_with('-')).collect()
    }
}

/// One that runs. It is ended when this goes.
struct Instance {
    child: Child,
    pid_file: PathBuf,
}

impl Instance {
    fn stop(self) {
        drop(self);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let pid = fs::read_to_string(&self.pid_file).unwrap_or_default();
        if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn run(command: &mut Command) -> Output {
    let done = command.output().unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    done
}

fn verified(mail: &str, record: &str) -> String {
    let mut verifier = Command::new("/usr/bin/python3")
        .args(["-c", VERIFY, "s1._domainkey.office.test", record])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = verifier.stdin.take().unwrap();
    input.write_all(mail.as_bytes()).unwrap();
    drop(input);
    let done = verifier.wait_with_output().unwrap();
    assert!(done.status.success());
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}
