//! The short way to an identity against the long one.

use proptest::prelude::*;

use super::*;

const RULES: &str = r#"
    country = "86"
    area = "25"
    trunk_prefix = "0"
    [[rule]]
    name = "private"
    match = '^\+?(95\d{7})$'
    to = "+$1"
    kind = "private"
    [[rule]]
    name = "renumbered"
    match = '^\+8625(\d{4})$'
    to = "+8610$1"
"#;

fn plans() -> Vec<Plan> {
    let ruled: Numbering = toml::from_str(RULES).expect("rules");
    let home = ["ims.office.test".to_owned()];
    let plan = |numbering: &Numbering, home: &[String], any_case| {
        Plan::new(numbering, home, any_case).expect("a plan")
    };
    vec![
        Plan::default(),
        plan(&Numbering::default(), &home, true),
        plan(&ruled, &home, false).with_gateways(&["10.0.0.0/8".parse().expect("a prefix")]),
    ]
}

proptest! {
    /// Catches a plain URI that is somebody else by the short way than by the long one, or nobody, or public by one of them only.
    #[test]
    fn plain_uris_are_what_they_mean(
        digits in "(86|860|8601|8625|95|44|)[0-9]{1,11}|95[0-9]{7}|8625[0-9]{4}|[0-9]{50,70}",
        host in r"@(ims\.office\.test|10\.0\.0\.1|11\.0\.0\.1|else\.test|[a-z]{108,126})\.?(:5060)?(;user=phone)?|",
    ) {
        let scheme = if host.is_empty() { "tel:" } else { "sip:" };
        let text = format!("{scheme}+{digits}{host}");
        let global = Global::of_uri(text.as_bytes()).expect("a plain URI");
        let uri = uri(text.as_bytes()).expect("a URI");
        for plan in plans() {
            for segment in [Segment::Unknown, Segment::Gt] {
                let long = plan.identify_uri(&uri, segment);
                let short = plan.named_global(&global, segment);
                if let Some((short, long)) = short.as_ref().zip(long.as_ref()) {
                    prop_assert!(short.is(long), "{}", text);
                    let longer = Identity::from_canonical(&format!("{long}0"));
                    prop_assert!(!longer.is_some_and(|longer| short.is(&longer)), "{}", text);
                }
                prop_assert_eq!(short.and_then(Named::into_identity), long, "{}", text);
            }
            prop_assert_eq!(plan.is_public_global(&global), plan.is_public_uri(&uri), "{}", text);
        }
    }
}
