//! How pages look: templates, which escape all that goes into them, and one style sheet.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::base::Base;
use super::site::Signed;
use super::words;
use crate::people::Locale;

/// The style sheet.
pub(super) const STYLE: &str = include_str!("../templates/page/style.css");

/// The templates. HTML ones escape by their names' endings.
const TEMPLATES: [(&str, &str); 6] = [
    ("base.html", include_str!("../templates/page/base.html")),
    ("calls.html", include_str!("../templates/page/calls.html")),
    ("settings.html", include_str!("../templates/page/settings.html")),
    ("ask.html", include_str!("../templates/page/ask.html")),
    ("leave.html", include_str!("../templates/page/leave.html")),
    ("note.html", include_str!("../templates/page/note.html")),
];

/// Makes pages.
#[derive(Debug)]
pub(super) struct Views {
    templates: Environment<'static>,
    /// Changes with the style sheet, which browsers keep.
    style: String,
}

impl Views {
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        templates.set_syntax(syntax);
        // A name that a template has and nothing gives is a fault, not nothing.
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in TEMPLATES {
            templates.add_template(name, text)?;
        }
        let mut hasher = DefaultHasher::new();
        STYLE.hash(&mut hasher);
        Ok(Self {
            templates,
            style: format!("{:016x}", hasher.finish()),
        })
    }

    pub(super) fn render(
        &self,
        template: &str,
        base: &Base,
        locale: Locale,
        signed: Option<&Signed>,
        context: Value,
    ) -> Result<String, minijinja::Error> {
        let person = signed.map(|signed| {
            context! {
                name => &signed.visitor.person.name,
                seal => &signed.seal,
                has_opted_out => signed.visitor.has_opted_out,
            }
        });
        // What comes first counts: these are for pages that have none.
        let context = context! { ..context, ..context! { section => "", said => () } };
        let all = context! {
            lang => locale.as_str(),
            t => Value::from(Serde(words::of(locale))),
            // Of signs that the configuration has checked.
            base => Value::from_safe_string(base.prefix.clone()),
            style => &self.style,
            person => person,
            ..context
        };
        self.templates.get_template(template)?.render(all)
    }
}
