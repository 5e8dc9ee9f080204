//! The office of the acceptance scenarios, configured once for all runs.

use std::sync::LazyLock;

use ringtap_calls::Rules;
use ringtap_config::Config;
use ringtap_identity::Plan;
use ringtap_testkit::fixtures;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = toml();
    match ringtap_config::from_toml(&text, "fixtures") {
        Ok(config) => config,
        Err(error) => panic!("the fixtures' configuration is bad: {error}"),
    }
});

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&CONFIG));

/// Its `ringtap.toml`.
pub(crate) fn toml() -> String {
    fixtures::config_toml("journal.db", "notifier.db", "smtp://127.0.0.1:25")
}

/// Its numbering plan.
pub(crate) fn plan() -> &'static Plan {
    &RULES.plan
}

/// Its rules.
pub(crate) fn rules() -> &'static Rules {
    &RULES
}
