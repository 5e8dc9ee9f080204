//! The layouts of mails: the built-in ones, and the operator's own, which stand in a folder under the same names.
//!
//! An own template is tried on every mail of `preview` before it is used, and where it fails, then or later, the built-in
//! one takes its place: a mail is never lost to a layout. It cannot make markup or a link of what a caller says: HTML is
//! always escaped, text templates cannot be drawn into HTML, and a value of a caller's within a tag is a fault (`strangers`).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

/// The built-in templates, by the names under which an operator replaces them.
pub const BUILT_IN: [(&str, &str); 13] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("zh-CN.txt", include_str!("../templates/zh-CN.txt")),
    ("zh-CN.html", include_str!("../templates/zh-CN.html")),
    ("zh-CN.bundle.txt", include_str!("../templates/zh-CN.bundle.txt")),
    (
        "zh-CN.bundle.html",
        include_str!("../templates/zh-CN.bundle.html"),
    ),
    ("zh-CN.link.txt", include_str!("../templates/zh-CN.link.txt")),
    ("zh-CN.link.html", include_str!("../templates/zh-CN.link.html")),
    ("en.txt", include_str!("../templates/en.txt")),
    ("en.html", include_str!("../templates/en.html")),
    ("en.bundle.txt", include_str!("../templates/en.bundle.txt")),
    ("en.bundle.html", include_str!("../templates/en.bundle.html")),
    ("en.link.txt", include_str!("../templates/en.link.txt")),
    ("en.link.html", include_str!("../templates/en.link.html")),
];

/// What other HTML templates stand in.
const LAYOUT: &str = "layout.html";
/// Largest template.
const TEMPLATE_BYTES_MAX: u64 = 256 << 10;
/// Largest part of a mail; one that lists fifty calls has some 40 KB.
const PART_BYTES_MAX: usize = 1 << 20;
/// Steps that a template may take for one mail: some hundred times what the built-in ones need.
const STEPS_MAX: u64 = 500_000;

/// What is wrong with an operator's template. The built-in one is used in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// The file, or the folder.
    pub path: PathBuf,
    /// The line at fault, if it is one.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail template {}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The templates in use.
#[derive(Debug)]
pub(super) struct Templates {
    built_in: Layouts,
    own: Option<Own>,
}

/// The operator's.
#[derive(Debug)]
struct Own {
    folder: PathBuf,
    /// Name and text of those that are in use.
    texts: Vec<(&'static str, String)>,
    layouts: Layouts,
    /// A failure on a real mail has been told.
    is_said: AtomicBool,
}

/// A template that failed on a mail.
pub(super) struct Failure {
    /// Its name, if that is known.
    name: Option<String>,
    line: Option<usize>,
    what: String,
}

impl Templates {
    pub(super) fn built_in() -> Result<Self, minijinja::Error> {
        Ok(Self {
            built_in: Layouts::new(BUILT_IN.into_iter())?,
            own: None,
        })
    }

    /// Takes the operator's templates in `folder`; what cannot be read or does not parse is told and left out.
    pub(super) fn adopt(&mut self, folder: &Path) -> Vec<TemplateFault> {
        let (texts, mut faults) = read(folder);
        let mut own = Own {
            folder: folder.to_owned(),
            texts: Vec::new(),
            // Replaced below.
            layouts: Layouts::default(),
            is_said: AtomicBool::new(false),
        };
        for (name, text) in texts {
            match own.parse(name, &text) {
                Ok(()) => own.texts.push((name, text)),
                Err(fault) => faults.push(fault),
            }
        }
        self.own = Some(own);
        self.rebuild(&mut faults);
        faults
    }

    /// Renders with the operator's templates alone; `None` if there are none.
    pub(super) fn try_own(&self, name: &str, context: &Value) -> Option<Result<String, Failure>> {
        self.own.as_ref().map(|own| own.layouts.render(name, context))
    }

    /// Drops the template that failed while `name` was rendered, and says which and why.
    pub(super) fn drop_failed(&mut self, name: &str, failure: Failure) -> Vec<TemplateFault> {
        let Some(own) = &mut self.own else {
            return Vec::new();
        };
        let is_own = |own: &Own, name: &str| own.texts.iter().any(|(known, _)| *known == name);
        let blamed = match failure.name.filter(|blamed| is_own(own, blamed)) {
            Some(blamed) => blamed,
            // A built-in one fails in the operator's layout, or the other way round.
            None if is_own(own, name) => name.to_owned(),
            None => LAYOUT.to_owned(),
        };
        let before = own.texts.len();
        own.texts.retain(|(known, _)| *known != blamed);
        let is_dropped = own.texts.len() < before;
        let mut faults = vec![TemplateFault {
            path: own.folder.join(blamed),
            line: failure.line,
            what: failure.what,
        }];
        if is_dropped {
            self.rebuild(&mut faults);
        } else {
            // It is none of the operator's that fails.
            self.own = None;
        }
        faults
    }

    /// Renders the template `name`: the operator's, or the built-in one if that fails.
    pub(super) fn render(&self, name: &str, context: &Value) -> Result<String, minijinja::Error> {
        if let Some(own) = &self.own {
            match own.layouts.render(name, context) {
                Ok(text) => return Ok(text),
                Err(failure) => own.say(name, &failure),
            }
        }
        self.render_built_in(name, context)
    }

    /// Renders the built-in template `name`, whatever the operator has.
    pub(super) fn render_built_in(&self, name: &str, context: &Value) -> Result<String, minijinja::Error> {
        self.built_in
            .environment(name)
            .get_template(name)?
            .render(context)
    }

    fn rebuild(&mut self, faults: &mut Vec<TemplateFault>) {
        let Some(own) = &mut self.own else { return };
        let texts = BUILT_IN.into_iter().map(|(name, built_in)| {
            let text = own.texts.iter().find(|(known, _)| *known == name);
            (name, text.map_or(built_in, |(_, text)| text.as_str()))
        });
        match Layouts::new(texts) {
            Ok(layouts) => own.layouts = layouts,
            // Each has been parsed before: this would be a fault of this program.
            Err(error) => {
                faults.push(own.fault("", None, words(&error)));
                self.own = None;
            }
        }
    }
}

impl Own {
    /// Whether a template can be parsed, and asks for nothing that would let a caller's words become markup.
    fn parse(&self, name: &str, text: &str) -> Result<(), TemplateFault> {
        let mut layouts = Layouts::default();
        layouts
            .add(name, text)
            .map_err(|error| self.fault(name, error.line(), words(&error)))?;
        let switched = text.match_indices("{%").find(|(at, _)| {
            let tag = text.get(at + 2..).unwrap_or_default();
            let tag = tag.trim_start_matches(['-', '+']).trim_start();
            tag.starts_with("autoescape")
        });
        match switched {
            Some((at, _)) => Err(self.fault(
                name,
                text.get(..at).map(|before| before.matches('\n').count() + 1),
                "autoescape cannot be switched: callers choose some of the values".to_owned(),
            )),
            None => Ok(()),
        }
    }

    fn fault(&self, name: &str, line: Option<usize>, what: String) -> TemplateFault {
        TemplateFault {
            path: self.folder.join(name),
            line,
            what,
        }
    }

    /// Says once that a template which passed every trial has failed.
    fn say(&self, name: &str, failure: &Failure) {
        if self.is_said.swap(true, Ordering::Relaxed) {
            return;
        }
        let name = failure.name.as_deref().unwrap_or(name);
        let fault = self.fault(name, failure.line, failure.what.clone());
        tracing::error!("{fault}; the built-in one is used for this mail, and the next that it fails on");
    }
}

/// A complete set of templates: those of text and those of HTML, which know nothing of each other.
#[derive(Debug)]
struct Layouts {
    text: Environment<'static>,
    html: Environment<'static>,
}

impl Default for Layouts {
    fn default() -> Self {
        let environment = || {
            let mut environment = Environment::new();
            let syntax = SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .keep_trailing_newline(true)
                .build();
            // The delimiters are the library's own; only others could be refused.
            if let Ok(syntax) = syntax {
                environment.set_syntax(syntax);
            }
            // A name that is misspelt is a fault rather than nothing.
            environment.set_undefined_behavior(UndefinedBehavior::Strict);
            environment.remove_filter("safe");
            environment.set_fuel(Some(STEPS_MAX));
            environment
        };
        let (mut text, mut html) = (environment(), environment());
        text.set_auto_escape_callback(|_| AutoEscape::None);
        html.set_auto_escape_callback(|_| AutoEscape::Html);
        Self { text, html }
    }
}

impl Layouts {
    fn new<'a>(texts: impl Iterator<Item = (&'static str, &'a str)>) -> Result<Self, minijinja::Error> {
        let mut layouts = Self::default();
        for (name, text) in texts {
            layouts.add(name, text)?;
        }
        Ok(layouts)
    }

    fn add(&mut self, name: &str, text: &str) -> Result<(), minijinja::Error> {
        let environment = if is_html(name) {
            &mut self.html
        } else {
            &mut self.text
        };
        environment.add_template_owned(name.to_owned(), text.to_owned())
    }

    fn environment(&self, name: &str) -> &Environment<'static> {
        if is_html(name) { &self.html } else { &self.text }
    }

    fn render(&self, name: &str, context: &Value) -> Result<String, Failure> {
        let template = self.environment(name).get_template(name);
        let text = template
            .and_then(|template| template.render(context))
            .map_err(|error| Failure {
                name: error.name().map(str::to_owned),
                line: error.line(),
                what: words(&error),
            })?;
        if text.len() > PART_BYTES_MAX {
            return Err(Failure::of(format!("makes {} octets of one mail", text.len())));
        }
        Ok(text)
    }
}

impl Failure {
    /// One whose place is not known.
    pub(super) const fn of(what: String) -> Self {
        Self {
            name: None,
            line: None,
            what,
        }
    }
}

/// The templates in `folder`, and what cannot be taken from it.
fn read(folder: &Path) -> (Vec<(&'static str, String)>, Vec<TemplateFault>) {
    let fault = |path: PathBuf, what: String| TemplateFault {
        path,
        line: None,
        what,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return (Vec::new(), vec![fault(folder.to_owned(), error.to_string())]),
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let (mut texts, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        let path = folder.join(&name);
        let is_template = path
            .extension()
            .is_some_and(|ending| ending == "txt" || ending == "html");
        match BUILT_IN.iter().find(|(known, _)| name == *known) {
            Some((known, _)) => match read_text(&path) {
                Ok(text) => texts.push((*known, text)),
                Err(error) => faults.push(fault(path, error.to_string())),
            },
            None if is_template => {
                let known = BUILT_IN.map(|(known, _)| known).join(", ");
                faults.push(fault(path, format!("no mail uses this name; there are {known}")));
            }
            None => {}
        }
    }
    (texts, faults)
}

fn read_text(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > TEMPLATE_BYTES_MAX {
        let problem = format!("has {bytes} octets; at most {TEMPLATE_BYTES_MAX} are taken");
        return Err(io::Error::other(problem));
    }
    fs::read_to_string(path)
}

fn is_html(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "html")
}

/// The library's words, with those of the errors behind it.
fn words(error: &minijinja::Error) -> String {
    let mut words = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let mut behind = std::error::Error::source(error);
    while let Some(error) = behind {
        words = format!("{words}: {error}");
        behind = error.source();
    }
    words
}
