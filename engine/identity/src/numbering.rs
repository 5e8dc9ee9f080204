//! The `[numbering]` section as it is written: what the operator knows about the numbers on the network.
//!
//! Only the shape is here. `rules` compiles the rules, `tail` holds the public plan behind them.

use serde::{Deserialize, Serialize};

use crate::Segment;

/// `[numbering]` of `ringtap.toml` (semantics.md §3.5.1). Without a country there is no public plan:
/// only the rules and numbers that begin with `+` count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Numbering {
    /// Country code without `+`; empty for none.
    pub country: String,
    /// Own area code without trunk prefix; empty for none.
    pub area: String,
    /// What is dialled before a foreign number.
    pub intl_prefix: Vec<String>,
    /// What is dialled before an area code; empty for none.
    pub trunk_prefix: String,
    /// What is dialled for an outside line, shown to those who are to call back; empty for none.
    pub outside_prefix: String,
    /// Own rules, tried in order before the public plan.
    #[serde(rename = "rule")]
    pub rules: Vec<NumberingRule>,
}

impl Default for Numbering {
    /// No country; the prefixes that ITU-T E.164 recommends, for those who name only their country.
    fn default() -> Self {
        Self {
            country: String::new(),
            area: String::new(),
            intl_prefix: vec!["00".to_owned()],
            trunk_prefix: "0".to_owned(),
            outside_prefix: "0".to_owned(),
            rules: Vec::new(),
        }
    }
}

/// One `[[numbering.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberingRule {
    /// What errors and explanations call it.
    pub name: String,
    /// Regular expression over the dialled number without separators, a leading `+` included.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What replaces the matched part; `$1` is the first group.
    pub to: String,
    /// What the result is; told from its form if not given.
    #[serde(default)]
    pub kind: Option<RuleKind>,
    /// Without it the result is final.
    #[serde(default)]
    pub then: Option<Then>,
    /// Where the rule holds; everywhere if empty.
    #[serde(default)]
    pub scope: Scope,
}

/// What a rule's result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// A number of the public plan.
    Public,
    /// A number that looks global and is not: never taken apart by the public plan's rules.
    Private,
    /// A service code.
    Service,
}

/// What follows a rule that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// The rules below and the public plan see the result.
    Continue,
}

/// Where a rule holds. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// The number's `phone-context` parameter.
    pub phone_context: Option<String>,
    /// Host of the SIP URI.
    pub host: Option<String>,
    /// Segments; a number seen where the segment is unknown is in every scope.
    pub segments: Vec<Segment>,
}

/// What is wrong with a `[numbering]` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Something that must be digits is not.
    #[error("numbering.{key}: {value:?} is not a row of digits")]
    NotDigits {
        /// Key in `[numbering]`.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// A rule's `match` is no regular expression, or too large a one.
    #[error("numbering rule {rule:?}: `match` is not a usable regular expression: {reason}")]
    BadPattern {
        /// Name of the rule.
        rule: String,
        /// Place of the rule in the list, from 0.
        position: usize,
        /// What the regex compiler says.
        reason: String,
    },
    /// A rule's `to` names a group that its `match` does not have.
    #[error(
        "numbering rule {rule:?}: `to` uses ${{{group}}}, which `match` does not define (write ${{1}}0 for group 1 and a digit)"
    )]
    NoSuchGroup {
        /// Name of the rule.
        rule: String,
        /// Place of the rule in the list, from 0.
        position: usize,
        /// The group's name or number.
        group: String,
    },
}

impl PlanError {
    /// Key within `[numbering]` that is at fault, as a path: `country`, `rule[2].match`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::NotDigits { key, .. } => (*key).to_owned(),
            Self::BadPattern { position, .. } => format!("rule[{position}].match"),
            Self::NoSuchGroup { position, .. } => format!("rule[{position}].to"),
        }
    }
}
