//! The configuration as a whole: the example, the defaults, and what each kind of mistake says.

use std::path::Path;

use ringtap_config::{
    Config, ConfigError, GroupMember, Keep, MediaRequired, PartialEvidence, PortList, Timers, Tunnel,
    Undetermined, from_toml, load,
};
use ringtap_identity::Segment;

const EXAMPLE: &str = include_str!("../ringtap.example.toml");

/// Catches an example that does not load, or that says something is a default which is not.
#[test]
fn example_holds_the_defaults() {
    let (example, default) = (from_toml(EXAMPLE, "example").unwrap(), Config::default());
    assert_eq!(example.capture, default.capture);
    assert_eq!(example.timers, default.timers);
    assert_eq!(example.limits, default.limits);
    assert_eq!(example.journal, default.journal);
    assert_eq!(example.policy, default.policy);
    assert_eq!(example.notifier.database, default.notifier.database);
    assert_eq!(example.notifier.delivery, default.notifier.delivery);
    assert_eq!(example.notifier.webhook, default.notifier.webhook);
    assert_eq!(
        example.identities.emergency_numbers,
        default.identities.emergency_numbers
    );
}

/// Catches a default other than the documented one: both programs and their operators rely on them.
#[test]
fn defaults() {
    let config = Config::default();
    assert_eq!(config.capture.ports.as_slice(), [5060]);
    assert_eq!(config.capture.tunnels, Tunnel::ALL);
    let Timers {
        reorder_ms,
        settle_ms,
        retry_ms,
        successor_ms,
        noresp_ms,
        noresp_gm_ms,
        ..
    } = config.timers;
    assert_eq!(
        [
            reorder_ms,
            settle_ms,
            retry_ms,
            successor_ms,
            noresp_ms,
            noresp_gm_ms
        ],
        [500, 2_000, 5_000, 4_000, 40_000, 135_000]
    );
    let Timers {
        ring_max_ms,
        tombstone_ms,
        leg_ms,
        once_ms,
        reject_min_ms,
        ..
    } = config.timers;
    assert_eq!(
        [ring_max_ms, tombstone_ms, leg_ms, once_ms, reject_min_ms],
        [200_000, 180_000, 2_000, 86_400_000, 300]
    );
    assert_eq!(
        [
            config.limits.calls_max,
            config.limits.reassembly_bytes_max,
            config.limits.stream_bytes_max
        ],
        [1_000_000, 67_108_864, 67_108_864]
    );
    assert_eq!(
        (config.journal.keep, config.journal.retention_days),
        (Keep::Missed, 30)
    );
    let policy = &config.policy;
    assert!(policy.caller_hung_up && policy.unseen_answerer && policy.diverted_to_missed);
    assert!(!policy.declined && !policy.picked_up && !policy.invalid_number && !policy.q850_13_elsewhere);
    assert_eq!(policy.group_member, GroupMember::IfGroupUnanswered);
    assert_eq!(policy.undetermined, Undetermined::Auto);
    assert_eq!(policy.partial_evidence, PartialEvidence::Notify);
    assert_eq!(policy.media_required, MediaRequired::Any);
    assert_eq!(config.notifier.delivery.giveup_h, 48);
    assert_eq!(config.notifier.delivery.digest_every_s, 600);
    let smtp = &config.notifier.smtp;
    assert_eq!((smtp.connections, smtp.per_domain_max), (4, 3));
    assert_eq!(
        (&config.notifier.webhook.url, config.notifier.webhook.timeout_s),
        (&None, 10)
    );
    let emergency: Vec<&str> = config
        .identities
        .emergency_numbers
        .iter()
        .map(|number| number.as_str())
        .collect();
    assert_eq!(emergency, ["svc:110", "svc:119", "svc:120", "svc:122"]);
}

/// Catches sections that do not meet: lists that the plan does not normalise, gateways and emergency
/// numbers that it does not know.
#[test]
fn sections_work_together() {
    let config = from_toml(
        r#"
        [network]
        mgcf = ["10.40.0.0/24", "2001:db8::1"]
        home_domains = ["IMS.office.test."]
        [numbering]
        country = "86"
        area = "25"
        [[numbering.rule]]
        name = "ext4"
        match = '^(1\d{3})$'
        to = "+86258309$1"
        [identities]
        group_numbers = ["1000", "025-8309 1009", "sip:team@IMS.office.test"]
        voicemail_hosts = ["VM.office.test"]
        emergency_numbers = ["110", "911"]
        [policy.notify]
        treat_183_as_alerting = ["10.40.0.1"]
        "#,
        "test",
    )
    .unwrap();
    let groups: Vec<&str> = config
        .identities
        .group_numbers
        .iter()
        .map(|number| number.as_str())
        .collect();
    assert_eq!(
        groups,
        ["+862583091000", "+862583091009", "sip:team@ims.office.test"]
    );
    assert_eq!(config.identities.voicemail_hosts, ["vm.office.test"]);
    assert_eq!(config.network.home_domains, ["ims.office.test"]);
    assert_eq!(config.network.mgcf[1].to_string(), "2001:db8::1/128");
    assert_eq!(config.policy.treat_183_as_alerting[0].to_string(), "10.40.0.1/32");
    for uri in ["tel:911", "sip:911@ims.office.test"] {
        let identity = config.plan.identify(uri.as_bytes(), Segment::Go).unwrap();
        assert_eq!(identity, config.identities.emergency_numbers[1], "{uri}");
    }
    assert!(config.plan.is_public(b"sip:02583091001@10.40.0.7"));
}

/// File, line, key and a word of the problem.
fn assert_fault(text: &str, line: usize, key: &str, word: &str) {
    let Err(error) = from_toml(text, "ringtap.toml") else {
        panic!("accepted: {text}")
    };
    let whole = error.to_string();
    let ConfigError::Key {
        file,
        line: found_line,
        key: found_key,
        problem,
    } = error
    else {
        panic!("{whole}: another error than about a key");
    };
    assert_eq!(
        (file.as_str(), found_line, found_key.as_str()),
        ("ringtap.toml", line, key),
        "{whole}"
    );
    assert!(problem.contains(word), "{word:?} is not in {whole:?}");
}

/// Catches a mistake that is accepted, or reported without the place where it is to be mended.
#[test]
fn faults_name_file_line_and_key() {
    for (text, line, key, word) in [
        // Unknown keys and sections.
        (
            "[capture]\nprots = [5060]",
            2,
            "capture.prots",
            "unknown field `prots`",
        ),
        (
            "\n[captures]\nports = [5060]",
            2,
            "captures",
            "unknown field `captures`",
        ),
        (
            "[policy.notify]\n\nbusi = true",
            3,
            "policy.notify.busi",
            "unknown field `busi`",
        ),
        (
            "[notifier.smtp]\npassword = 'x'",
            2,
            "notifier.smtp.password",
            "unknown field `password`",
        ),
        (
            "[[numbering.rule]]\nname='a'\nmatch='1'\nto='2'\nthan='x'",
            5,
            "numbering.rule[0].than",
            "unknown field",
        ),
        // Wrong types and forms.
        (
            "[capture]\nports = '5060'",
            2,
            "capture.ports",
            "expected a sequence",
        ),
        (
            "[capture]\nports = [5060,\n 70000]",
            3,
            "capture.ports[1]",
            "70000",
        ),
        ("[capture]\nports = []", 2, "capture.ports", "ports"),
        (
            "[capture]\ntunnels = ['gre', 'l2tp']",
            2,
            "capture.tunnels[1]",
            "l2tp",
        ),
        ("[capture]\nports = 'all'", 2, "capture.ports", "or \"any\""),
        ("[capture]\nduplicate_ms = 101", 2, "capture.duplicate_ms", "101"),
        (
            "[capture]\nsilence_s = 86401",
            2,
            "capture.silence_s",
            "0 switches it off",
        ),
        ("[timers]\nsettle_ms = -1", 2, "timers.settle_ms", "-1"),
        ("[journal]\nkeep = 'some'", 2, "journal.keep", "some"),
        (
            "[policy.notify]\ngroup_member = 'all'",
            2,
            "policy.notify.group_member",
            "if_group_unanswered",
        ),
        (
            "[policy.notify]\nsuppress_if_reached_within_s = 86401",
            2,
            "policy.notify.suppress_if_reached_within_s",
            "out of bounds",
        ),
        (
            "[network]\nue = ['10.10.0.0/99']",
            2,
            "network.ue[0]",
            "10.10.0.0/99",
        ),
        (
            "[network]\nhome_domains = ['a b']",
            2,
            "network.home_domains[0]",
            "host name",
        ),
        (
            "[[numbering.rule]]\nname='a'\nto='2'",
            1,
            "numbering.rule[0]",
            "missing field `match`",
        ),
        // Values out of bounds.
        (
            "[timers]\nreorder_ms = 1\nnoresp_ms = 0",
            3,
            "timers.noresp_ms",
            "out of bounds",
        ),
        (
            "[timers]\nonce_ms = 9999999999999",
            2,
            "timers.once_ms",
            "out of bounds",
        ),
        ("[timers]\nsettle_ms = 100", 2, "timers.settle_ms", "reorder_ms"),
        ("[limits]\ncalls_max = 0", 2, "limits.calls_max", "out of bounds"),
        (
            "[limits]\nbindings_max = 0",
            2,
            "limits.bindings_max",
            "out of bounds",
        ),
        (
            "[identities]\nlearn = 'always'",
            2,
            "identities.learn",
            "unknown variant",
        ),
        (
            "[network]\nue = ['10.0.0.0/8']\n[identities]\nlearn = 'auto'",
            4,
            "identities.learn",
            "needs network.pcscf",
        ),
        (
            "[limits]\nreassembly_bytes_max = 1",
            2,
            "limits.reassembly_bytes_max",
            "datagram",
        ),
        (
            "[limits]\nstream_bytes_max = 1000",
            2,
            "limits.stream_bytes_max",
            "streams",
        ),
        (
            "[journal]\nretention_days = 0",
            2,
            "journal.retention_days",
            "at least 1",
        ),
        // Numbers and rules.
        (
            "[identities]\ngroup_numbers = [\n '1',\n 'x y',\n]",
            4,
            "identities.group_numbers[1]",
            "x y",
        ),
        (
            "[identities]\nemergency_numbers = ['*1']",
            2,
            "identities.emergency_numbers[0]",
            "*1",
        ),
        (
            "[identities]\npickup_codes = ['* 8']",
            2,
            "identities.pickup_codes[0]",
            "* 8",
        ),
        ("[numbering]\ncountry = '+86'", 2, "numbering.country", "+86"),
        (
            "[[numbering.rule]]\nname='a'\nmatch='1'\nto='2'\n[[numbering.rule]]\nname='ext4'\nmatch='(('\nto='1'",
            7,
            "numbering.rule[1].match",
            "\"ext4\"",
        ),
        (
            "[[numbering.rule]]\nname='ext'\nmatch='1'\nto='$1'",
            4,
            "numbering.rule[0].to",
            "\"ext\"",
        ),
        // The mail server.
        (
            "[notifier.smtp]\nurl = 'http://x'",
            2,
            "notifier.smtp.url",
            "smtp+starttls://",
        ),
        ("[notifier.smtp]\nurl = 'smtp://'", 2, "notifier.smtp.url", "HOST"),
        (
            "[notifier.smtp]\nfrom = 'nobody'",
            2,
            "notifier.smtp.from",
            "nobody",
        ),
        ("[notifier]\ntemplates = ''", 2, "notifier.templates", "is empty"),
        (
            "[numbering]\noutside_prefix = '0-'",
            2,
            "numbering.outside_prefix",
            "row of digits",
        ),
        (
            "[notifier]\nsettings_url = 'javascript:1'",
            2,
            "notifier.settings_url",
            "https://",
        ),
        (
            "[notifier.delivery]\ngiveup_h = 0",
            2,
            "notifier.delivery.giveup_h",
            "at least 1",
        ),
        (
            "[notifier.delivery]\nquiet_hours = '22-7'",
            2,
            "notifier.delivery.quiet_hours",
            "like \"22:00-07:00\"",
        ),
        (
            "[notifier.delivery]\ndigest_every_s = 0",
            2,
            "notifier.delivery.digest_every_s",
            "out of bounds",
        ),
        (
            "[notifier.smtp]\nconnections = 65",
            2,
            "notifier.smtp.connections",
            "1 to 64",
        ),
        (
            "[notifier.smtp]\nper_domain_max = 0",
            2,
            "notifier.smtp.per_domain_max",
            "at least 1",
        ),
        (
            "[notifier.smtp]\nca_file = ''",
            2,
            "notifier.smtp.ca_file",
            "is empty",
        ),
        (
            "[notifier.smtp.dkim]\nselector = 's'\ndomain = 'office.test'",
            1,
            "notifier.smtp.dkim",
            "missing field `key_file`",
        ),
        (
            "[notifier.smtp.dkim]\nselector = 's'\ndomain = 'office..test'\nkey_file = 'k'",
            3,
            "notifier.smtp.dkim.domain",
            "DNS",
        ),
        // The webhook.
        (
            "[notifier.webhook]\nurl = 'ftp://x'",
            2,
            "notifier.webhook.url",
            "https://",
        ),
        (
            "[notifier.webhook]\nurl = 'https:///hook'",
            2,
            "notifier.webhook.url",
            "host",
        ),
        (
            "[notifier.webhook]\nurl = 'https://h/#x'",
            2,
            "notifier.webhook.url",
            "wanted",
        ),
        (
            "[notifier.webhook]\nsecret = 'x'",
            2,
            "notifier.webhook.secret",
            "unknown field `secret`",
        ),
        (
            "[notifier.webhook]\nsecret_file = ''",
            2,
            "notifier.webhook.secret_file",
            "is empty",
        ),
        (
            "[notifier.webhook]\ntimeout_s = 0",
            2,
            "notifier.webhook.timeout_s",
            "1 to 120",
        ),
    ] {
        assert_fault(text, line, key, word);
    }
}

/// Catches answered calls that are not recorded although suppression looks for them, and a journal that keeps
/// all calls for no reason.
#[test]
fn which_configurations_record_answered_calls() {
    for (text, records) in [
        ("", false),
        ("[journal]\nkeep = 'all'", true),
        ("[policy.notify]\nsuppress_if_reached_within_s = 1", true),
        ("[policy.notify]\nshort_answer_s = 5", false),
    ] {
        assert_eq!(
            from_toml(text, "t").unwrap().records_answered_calls(),
            records,
            "{text}"
        );
    }
}

/// Catches a password, or the token in a webhook's address, that an error repeats into a log.
#[test]
fn passwords_are_not_repeated() {
    for (text, word) in [
        (
            "[notifier.smtp]\nurl = 'smtp://me:hunter2@mail.test'",
            "credentials_file",
        ),
        (
            "[notifier.webhook]\nurl = 'https://me:hunter2@chat.test'",
            "secret_file",
        ),
        (
            "[notifier.webhook]\nurl = 'htps://chat.test/?key=hunter2'",
            "https://",
        ),
        ("[notifier.webhook]\nurl = 'https://chat.test/#hunter2'", "wanted"),
    ] {
        let error = from_toml(text, "t").unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains("hunter2"), "{error}");
    }
}

/// Catches broken TOML reported as something else.
#[test]
fn syntax_errors_name_the_line() {
    let error = from_toml("[capture]\nports = [5060\n\n[network]\n", "t.toml").unwrap_err();
    assert!(
        matches!(&error, ConfigError::Syntax { file, line, .. } if file == "t.toml" && *line >= 2),
        "{error}"
    );
    let twice = from_toml("[limits]\ncalls_max = 1\ncalls_max = 2", "t.toml").unwrap_err();
    assert!(matches!(&twice, ConfigError::Syntax { line: 3, .. }), "{twice}");
}

/// Catches a named file that is missing and silently replaced by defaults, or one that is not read.
#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml");
    let error = load(Some(&missing)).unwrap_err();
    assert!(
        matches!(&error, ConfigError::Read { file, .. } if *file == missing),
        "{error}"
    );
    assert!(error.to_string().contains("none.toml"));
    assert!(
        matches!(load(Some(folder.path())), Err(ConfigError::Read { .. })),
        "a directory is no file"
    );

    let file = folder.path().join("ringtap.toml");
    std::fs::write(&file, b"[capture]\nports = [5061, 5060, 5061]").unwrap();
    assert_eq!(load(Some(&file)).unwrap().capture.ports.as_slice(), [5060, 5061]);
    std::fs::write(&file, b"\xff\xfe").unwrap();
    assert!(
        matches!(load(Some(&file)), Err(ConfigError::Read { .. })),
        "not UTF-8"
    );
}

/// Catches an error when there is no default file, which is how a first trial runs.
#[test]
fn default_file_may_be_absent() {
    if Path::new(ringtap_config::DEFAULT_PATH).exists() {
        eprintln!("skipped: this machine has a {}", ringtap_config::DEFAULT_PATH);
        return;
    }
    assert_eq!(load(None).unwrap().timers, Timers::default());
}

/// Catches a port list that admits what the packet filter cannot hold.
#[test]
fn port_lists() {
    assert!(PortList::new(&[0]).is_none());
    assert!(PortList::new(&(1..=33).collect::<Vec<u16>>()).is_none());
    let any = from_toml("[capture]\nports = 'any'", "test")
        .unwrap()
        .capture
        .ports;
    assert_eq!((any.is_any(), any.as_slice()), (true, &[5060][..]));
    let listed = |text: &str| {
        from_toml(&format!("[capture]\nports = {text}"), "test").map(|config| config.capture.ports)
    };
    let both = listed("['any', 5080]").unwrap();
    assert_eq!((both.is_any(), both.as_slice()), (true, &[5060, 5080][..]));
    assert_eq!(listed("['any']").unwrap(), any);
    for wrong in ["['all']", "[65536]", "[-1]", "['any', 0]", "[]", "['5080']"] {
        assert!(listed(wrong).is_err(), "{wrong}");
    }
    let ports = PortList::new(&[5080, 5060]).unwrap();
    assert!(!ports.is_any());
    assert!(ports.contains(5080) && !ports.contains(5070));
}
