//! The operator's numbering rules, compiled: first match wins (semantics.md §3.5.1).
//!
//! One `RegexSet` decides whether any rule can apply, so a number that no rule concerns costs one
//! scan and no allocation.

use std::borrow::Cow;

use regex::{Captures, Regex, RegexSet};

use crate::identity::IDENTITY_BYTES_MAX;
use crate::numbering::{NumberingRule, PlanError, RuleKind, Scope, Then};
use crate::{Identity, Segment};

/// What surrounds a dialled number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) segment: Segment,
    pub(crate) host: Option<&'a str>,
    pub(crate) phone_context: Option<&'a str>,
}

/// What the rules make of a number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ruled<'a> {
    /// The public plan goes on with this.
    Dialled(Cow<'a, str>),
    /// A rule's final word.
    Final(Identity),
    /// A rule gave something that is no identity.
    Nothing,
}

/// All rules in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// `None` without rules.
    any: Option<RegexSet>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: Regex,
    to: String,
    kind: Option<RuleKind>,
    then: Option<Then>,
    scope: Scope,
}

impl Rules {
    pub(crate) fn new(rules: &[NumberingRule]) -> Result<Self, PlanError> {
        let compiled: Vec<Rule> = rules
            .iter()
            .enumerate()
            .map(|(at, rule)| Rule::new(rule, at))
            .collect::<Result<_, _>>()?;
        if compiled.is_empty() {
            return Ok(Self::default());
        }
        let any =
            RegexSet::new(rules.iter().map(|rule| &rule.pattern)).map_err(|error| PlanError::BadPattern {
                rule: "all together".to_owned(),
                position: 0,
                reason: error.to_string(),
            })?;
        Ok(Self {
            any: Some(any),
            rules: compiled,
        })
    }

    /// Whether any rule matches `number`, its scope left aside.
    pub(crate) fn concern(&self, number: &str) -> bool {
        self.any.as_ref().is_some_and(|any| any.is_match(number))
    }

    /// As [`concern`](Self::concern), of a number in ASCII.
    pub(crate) fn concern_any(&self, number: &[u8]) -> bool {
        self.any
            .as_ref()
            .is_some_and(|any| std::str::from_utf8(number).map_or(true, |number| any.is_match(number)))
    }

    /// Runs `dialled` (separators removed) through the rules.
    pub(crate) fn apply<'a>(&self, dialled: &'a str, around: &Surroundings<'_>) -> Ruled<'a> {
        if !self.concern(dialled) {
            return Ruled::Dialled(Cow::Borrowed(dialled));
        }
        let mut number = Cow::Borrowed(dialled);
        for rule in self.rules.iter().filter(|rule| covers(&rule.scope, around)) {
            let Some(result) = rule.rewrite(&number) else {
                continue;
            };
            if result.len() > IDENTITY_BYTES_MAX {
                return Ruled::Nothing;
            }
            match rule.then {
                Some(Then::Continue) => number = Cow::Owned(result),
                None => {
                    return rule
                        .conclude(&result, around)
                        .map_or(Ruled::Nothing, Ruled::Final);
                }
            }
        }
        Ruled::Dialled(number)
    }

    /// Whether a rule calls this number private: then the public plan knows nothing about it.
    pub(crate) fn is_private(&self, number: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.kind == Some(RuleKind::Private) && rule.pattern.is_match(number))
    }

    /// What is dialled inside for `number`: the literal end that a rule with one trailing group put
    /// behind its prefix (`^(1\d{3})$` to `+86258309$1`).
    pub(crate) fn extension_of(&self, number: &str) -> Option<String> {
        self.rules.iter().find_map(|rule| {
            let prefix = rule
                .to
                .strip_suffix("$1")
                .or_else(|| rule.to.strip_suffix("${1}"))?;
            let extension = number.strip_prefix(prefix)?;
            let internal = prefix.len() > 1
                && rule.then.is_none()
                && matches!(rule.kind, None | Some(RuleKind::Public))
                && extension.bytes().all(|byte| byte.is_ascii_digit());
            // The rule must lead from the extension back to the number; a rule that strips something
            // from what is dialled does not.
            (internal && rule.rewrite(extension).as_deref() == Some(number)).then(|| extension.to_owned())
        })
    }
}

impl Rule {
    fn new(rule: &NumberingRule, position: usize) -> Result<Self, PlanError> {
        let pattern = Regex::new(&rule.pattern).map_err(|error| PlanError::BadPattern {
            rule: rule.name.clone(),
            position,
            reason: error.to_string(),
        })?;
        if let Some(group) = groups_of(&rule.to).find(|group| !has_group(&pattern, group)) {
            let group = group.to_owned();
            return Err(PlanError::NoSuchGroup {
                rule: rule.name.clone(),
                position,
                group,
            });
        }
        let scope = Scope {
            phone_context: rule
                .scope
                .phone_context
                .as_ref()
                .map(|context| context.to_ascii_lowercase()),
            ..rule.scope.clone()
        };
        Ok(Self {
            pattern,
            to: rule.to.clone(),
            kind: rule.kind,
            then: rule.then,
            scope,
        })
    }

    /// The number with the matched part replaced, or `None` if nothing matched.
    fn rewrite(&self, number: &str) -> Option<String> {
        let captures: Captures<'_> = self.pattern.captures(number)?;
        let matched = captures.get(0)?;
        let mut result = number.get(..matched.start())?.to_owned();
        captures.expand(&self.to, &mut result);
        result.push_str(number.get(matched.end()..)?);
        Some(result)
    }

    fn conclude(&self, result: &str, around: &Surroundings<'_>) -> Option<Identity> {
        if self.kind == Some(RuleKind::Service) {
            return Identity::service(result.strip_prefix("svc:").unwrap_or(result));
        }
        if !result.is_empty() && result.bytes().all(|byte| byte.is_ascii_digit()) {
            return Identity::local(result, around.phone_context.or(around.host));
        }
        Identity::from_canonical(result)
    }
}

fn covers(scope: &Scope, around: &Surroundings<'_>) -> bool {
    let context = match &scope.phone_context {
        Some(wanted) => around.phone_context == Some(wanted.as_str()),
        None => true,
    };
    let host = match &scope.host {
        Some(wanted) => around.host.is_some_and(|host| host.eq_ignore_ascii_case(wanted)),
        None => true,
    };
    let segment = scope.segments.is_empty()
        || around.segment == Segment::Unknown
        || scope.segments.contains(&around.segment);
    context && host && segment
}

/// Names of the groups that a replacement template refers to, read as `regex` reads them.
fn groups_of(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = template;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('$')?;
            if let Some(literal) = after.strip_prefix('$') {
                rest = literal;
            } else if let Some(braced) = after.strip_prefix('{') {
                let (name, tail) = braced.split_once('}')?;
                rest = tail;
                return Some(name);
            } else {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                let (name, tail) = after.split_at(end);
                rest = tail;
                if !name.is_empty() {
                    return Some(name);
                }
            }
        }
    })
}

fn has_group(pattern: &Regex, group: &str) -> bool {
    match group.parse::<usize>() {
        Ok(number) => number < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|name| name == group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: Surroundings<'static> = Surroundings {
        segment: Segment::Unknown,
        host: None,
        phone_context: None,
    };

    fn rules(text: &str) -> Result<Rules, PlanError> {
        let numbering: crate::Numbering = toml::from_str(text).unwrap();
        Rules::new(&numbering.rules)
    }

    /// Catches a rule order other than first-match-wins, and `continue` that starts over or stops.
    #[test]
    fn first_match_wins_and_continue_goes_on() {
        let rules = rules(
            r#"
            [[rule]]
            name = "outside"
            match = '^9(\d{4,})$'
            to = "$1"
            then = "continue"
            [[rule]]
            name = "four"
            match = '^(\d{4})$'
            to = "+4930$1"
            [[rule]]
            name = "never"
            match = '^1234$'
            to = "+1"
            "#,
        )
        .unwrap();
        let number = |text| Ruled::Final(Identity::from_canonical(text).unwrap());
        assert_eq!(rules.apply("1234", &ANYWHERE), number("+49301234"));
        assert_eq!(rules.apply("91234", &ANYWHERE), number("+49301234"));
        assert_eq!(
            rules.apply("912345", &ANYWHERE),
            Ruled::Dialled(Cow::Borrowed("12345"))
        );
        assert_eq!(rules.apply("77", &ANYWHERE), Ruled::Dialled(Cow::Borrowed("77")));
    }

    /// Catches a rule that leaks out of its scope.
    #[test]
    fn scopes() {
        let rules = rules(
            r#"
            [[rule]]
            name = "site"
            match = '^(\d{4})$'
            to = "+8621$1"
            scope = { phone_context = "Site-B", segments = ["GO"] }
            "#,
        )
        .unwrap();
        let here = Surroundings {
            segment: Segment::Go,
            host: None,
            phone_context: Some("site-b"),
        };
        let hit = Ruled::Final(Identity::from_canonical("+86211001").unwrap());
        let miss = Ruled::Dialled(Cow::Borrowed("1001"));
        assert_eq!(rules.apply("1001", &here), hit);
        assert_eq!(
            rules.apply(
                "1001",
                &Surroundings {
                    segment: Segment::Unknown,
                    ..here
                }
            ),
            hit
        );
        assert_eq!(
            rules.apply(
                "1001",
                &Surroundings {
                    segment: Segment::Gi,
                    ..here
                }
            ),
            miss
        );
        assert_eq!(
            rules.apply(
                "1001",
                &Surroundings {
                    phone_context: Some("site-c"),
                    ..here
                }
            ),
            miss
        );
        assert_eq!(
            rules.apply(
                "1001",
                &Surroundings {
                    phone_context: None,
                    ..here
                }
            ),
            miss
        );
    }

    /// Catches a broken rule that is found only when a call hits it, or is reported without its name.
    #[test]
    fn errors_name_the_rule() {
        let bad = rules("[[rule]]\nname='ext'\nmatch='(('\nto='x'").unwrap_err();
        assert!(bad.to_string().contains("\"ext\""), "{bad}");
        assert_eq!(bad.key(), "rule[0].match");
        let bad = rules("[[rule]]\nname='ext'\nmatch='(1)'\nto='$10'").unwrap_err();
        assert!(
            matches!(&bad, PlanError::NoSuchGroup { group, .. } if group == "10"),
            "{bad}"
        );
        assert!(rules("[[rule]]\nname='ext'\nmatch='(1)'\nto='${1}0$$x'").is_ok());
        assert!(rules("[[rule]]\nname='ext'\nmatch='(?<n>1)'\nto='$n'").is_ok());
    }
}
