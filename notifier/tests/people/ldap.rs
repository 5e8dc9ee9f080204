//! People and callers' names from a real LDAP server: Debian's slapd, as a process of its own on files of its own.

use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::house::{House, wait};

const SERVER: &str = "/usr/sbin/slapd";
const READER: &str = "cn=reader,dc=office,dc=test";

/// Whether there is a server to test with. Where there is none, that is said; with `RINGTAP_LIVE=1` it is a failure.
fn has_server() -> bool {
    if Path::new(SERVER).exists() {
        return true;
    }
    let why = "there is no slapd (Debian: slapd)";
    assert!(
        std::env::var_os("RINGTAP_LIVE").is_none_or(|live| live != "1"),
        "{why}, and RINGTAP_LIVE=1 wants it tested"
    );
    eprintln!("SKIPPED: {why}");
    false
}

struct Server {
    child: Child,
    dir: tempfile::TempDir,
    plain: u16,
    tls: u16,
}

impl Server {
    /// One that knows these entries, and gives no more than 100 of them at once.
    fn start(entries: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("db")).unwrap();
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(path("cert.pem"), key.cert.pem()).unwrap();
        fs::write(path("key.pem"), key.signing_key.serialize_pem()).unwrap();
        let folder = dir.path().display();
        let conf = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             pidfile {folder}/pid\nTLSCertificateFile {folder}/cert.pem\nTLSCertificateKeyFile {folder}/key.pem\n\
             sizelimit size=100 size.pr=500 size.prtotal=unlimited\n\
             database mdb\nsuffix \"dc=office,dc=test\"\ndirectory {folder}/db\nmaxsize 104857600\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact=\"{READER}\" read by * none\n"
        );
        fs::write(path("slapd.conf"), conf).unwrap();
        let head = "dn: dc=office,dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: office\no: Office\n\n\
                    dn: ou=people,dc=office,dc=test\nobjectClass: organizationalUnit\nou: people\n\n\
                    dn: cn=reader,dc=office,dc=test\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
                    cn: reader\nuserPassword: open sesame\n\n";
        fs::write(path("all.ldif"), format!("{head}{entries}")).unwrap();
        let added = Command::new("/usr/sbin/slapadd")
            .arg("-q")
            .arg("-f")
            .arg(path("slapd.conf"))
            .arg("-l")
            .arg(path("all.ldif"))
            .output()
            .unwrap();
        assert!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (plain, tls) = (free(), free());
        let ports = [&plain, &tls].map(|port| port.local_addr().unwrap().port());
        drop((plain, tls));
        let [plain, tls] = ports;
        let child = Command::new(SERVER)
            .arg("-f")
            .arg(path("slapd.conf"))
            .args([
                "-h",
                &format!("ldap://127.0.0.1:{plain}/ ldaps://127.0.0.1:{tls}/"),
                "-d",
                "0",
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            dir,
            plain,
            tls,
        };
        wait("slapd", || TcpStream::connect(("127.0.0.1", tls)).is_ok());
        server
    }

    fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn entry(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},ou=people,dc=office,dc=test\nobjectClass: inetOrgPerson\nuid: {uid}\nsn: {uid}\n{more}\n"
    )
}

/// A house that asks `url`, with these lines at the end of its configuration.
fn house(url: &str, more: &str) -> House {
    let house = House::with(&format!(
        "[notifier.ldap]\nurl = \"{url}\"\nbind_dn = \"{READER}\"\npassword_file = \"password\"\n{more}\n\
         [notifier.ldap.users]\nbase = \"ou=people,dc=office,dc=test\"\nlocale = \"preferredLanguage\"\n\
         default_timezone = \"Asia/Shanghai\"\naliases = [\"pager\"]\nlabels = {{ telephoneNumber = \"office\" }}\n\
         [notifier.ldap.directory]\nbase = \"dc=office,dc=test\"\nlabels = {{ mobile = \"mobile\" }}\n"
    ));
    house.write("password", "open sesame\n");
    fs::set_permissions(house.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    house
}

fn entries() -> String {
    let mut all = entry(
        "liming",
        "cn:: 5p2O5piO\nmail: liming@office.test\ntelephoneNumber: 025 8309 1001\nmobile: +86 138 0000 1001\n\
         pager: 1006\npreferredLanguage: zh-CN, en;q=0.5\nou: Sales\n",
    );
    all += &entry(
        "anna",
        "cn: Anna\nmail: anna@office.test\ntelephoneNumber: 1005\nmobile: 02583091005\n",
    );
    all += &entry("nobody", "cn: No Number\nmail: nobody@office.test\n");
    for n in 0..1200 {
        let more = format!("cn: Person {n}\nmail: u{n}@office.test\ntelephoneNumber: +8610{n:08}\n");
        let _ = write!(all, "{}", entry(&format!("u{n}"), &more));
    }
    all
}

/// Catches entries that are lost behind the first page, a value that is read as another, an import that touches who did not come from the
/// server or half of those who did, and a refusal that does not name the entry. In plain text, with TLS from the start, and with
/// StartTLS.
#[test]
fn people_come_from_a_directory_server() {
    if !has_server() {
        return;
    }
    let server = Server::start(&entries());
    let plain = house(&format!("ldap://127.0.0.1:{}", server.plain), "");
    plain.import("bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,\n", &[]);
    let told = plain.done(&["ldap", "import", "--dry-run"]);
    assert_eq!(told.lines().count(), 1202);
    assert!(
        told.contains("added\tliming\t李明 <liming@office.test>, zh-CN, Asia/Shanghai; +862583091001 (office) (+862583091006); +8613800001001\n"),
        "{told}"
    );
    assert!(
        told.contains("added\tanna\tAnna <anna@office.test>, en, Asia/Shanghai; +862583091005 (office)\n"),
        "{told}"
    );
    assert_eq!(plain.done(&["user", "list"]).lines().count(), 1);
    let said = plain.done(&["ldap", "import"]);
    assert!(said.starts_with("1202 people added"), "{said}");
    assert_eq!(plain.done(&["ldap", "import", "--replace", "--dry-run"]), "");

    // Who has left the directory goes, who came otherwise stays.
    plain
        .sql()
        .execute_batch(
            "INSERT INTO user (key, name, email, locale, timezone, subscribed, source) \
             VALUES ('gone', 'G', 'g@office.test', 'en', 'UTC', 1, 'ldap'), ('made', 'M', 'm@office.test', 'en', 'UTC', 1, 'hand')",
        )
        .unwrap();
    let told = plain.done(&["ldap", "import", "--replace", "--dry-run"]);
    assert_eq!(told, "removed\tgone\t\n");

    // One entry that is at odds with somebody else's takes the others with it.
    let other = house(&format!("ldap://127.0.0.1:{}", server.plain), "");
    other.import(
        "bo,Bo,bo@office.test,en,UTC,yes,+862583091007,,+861000000003\n",
        &[],
    );
    let said = other.refused(1, &["ldap", "import"]);
    assert!(
        said.contains("uid=u3,ou=people,dc=office,dc=test: ")
            && said.contains("belongs to account +862583091007"),
        "{said}"
    );
    assert_eq!(other.done(&["user", "list"]).lines().count(), 1);

    let ca = format!("ca_file = {:?}", server.certificate());
    for url in [
        format!("ldaps://127.0.0.1:{}", server.tls),
        format!("ldap+starttls://127.0.0.1:{}", server.plain),
    ] {
        let said = house(&url, &ca).done(&["ldap", "import"]);
        assert!(said.starts_with("1202 people added"), "{said}");
        let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let wary = house(&url, "ca_file = \"other.pem\"");
        wary.write("other.pem", &stranger.cert.pem());
        let said = wary.refused(1, &["ldap", "import"]);
        assert!(said.contains(&url) && said.contains("certificate"), "{said}");
        assert!(!wary.path("n.db").exists());
    }
}

/// Catches names that are not taken as a file's are, and a shared number that passes.
#[test]
fn callers_names_come_from_a_directory_server() {
    if !has_server() {
        return;
    }
    let mut all = entry(
        "liming",
        "cn: Li Ming\ntelephoneNumber: 025 8309 1001\nmobile: +86 138 0000 1001\nou: Sales\n",
    );
    let good = Server::start(&all);
    let house_of = |server: &Server| house(&format!("ldap://127.0.0.1:{}", server.plain), "");
    let house = house_of(&good);
    house.write("d.csv", "number,name,department,label\n1009,From a file,,\n");
    house.done(&["directory", "import", "d.csv"]);
    let said = house.done(&["ldap", "directory", "--replace"]);
    assert_eq!(said, "2 entries: 2 added, 0 changed, 0 removed\n");
    assert_eq!(
        house.done(&["directory", "list"]),
        "+8613800001001\tLi Ming\tSales\tmobile\n+862583091001\tLi Ming\tSales\t\n+862583091009\tFrom a file\t\t\n"
    );
    all += &entry("wang", "cn: Wang\ntelephoneNumber: 1001\n");
    let said = house_of(&Server::start(&all)).refused(1, &["ldap", "directory"]);
    assert!(
        said.contains("uid=wang,") && said.contains("+862583091001"),
        "{said}"
    );
}

/// Catches a server that refuses, or is not there, being told without what is at fault; and a password that is told.
#[test]
fn refusals_name_what_is_at_fault() {
    let nobody = House::new();
    let said = nobody.refused(2, &["ldap", "import"]);
    assert!(
        said.contains("notifier.ldap.url") && said.contains("ldap://HOST"),
        "{said}"
    );
    let gone = house("ldap://127.0.0.1:1", "timeout_s = 5");
    let said = gone.refused(1, &["ldap", "import"]);
    assert!(
        said.contains("ldap://127.0.0.1:1") && said.contains("connect"),
        "{said}"
    );
    fs::set_permissions(gone.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = gone.refused(2, &["ldap", "import"]);
    assert!(
        said.contains("password_file") && said.contains("chmod 600"),
        "{said}"
    );
    for (more, words) in [
        ("url = \"http://x\"", "ldap.url"),
        ("bind_dn = \"cn=x\"", "ldap.bind_dn"),
        ("page_entries = 0", "ldap.page_entries"),
        ("users = { accounts = [] }", "ldap.users.accounts"),
        ("nothing = 1", "nothing"),
    ] {
        let said = House::with(&format!("[notifier.ldap]\n{more}\n")).refused(2, &["user", "list"]);
        assert!(said.contains(words), "{more}: {said}");
    }
    if !has_server() {
        return;
    }
    let server = Server::start(&entry("x", "cn: X\nmail: x@office.test\ntelephoneNumber: none\n"));
    let url = format!("ldap://127.0.0.1:{}", server.plain);
    let bad = house(&url, "");
    let said = bad.refused(1, &["ldap", "import"]);
    assert!(
        said.contains("uid=x,ou=people") && said.contains("neither a number nor a SIP address"),
        "{said}"
    );
    bad.write("password", "wrong secret");
    let said = bad.refused(1, &["ldap", "import"]);
    assert!(
        said.contains(READER) && said.contains("bind") && !said.contains("wrong secret"),
        "{said}"
    );
    assert!(!bad.path("n.db").exists());
}
