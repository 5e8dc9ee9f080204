//! Whether a program's manual and completions say what its `--help` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes the manual of `program` and reads it beside what every command's `--help` says, and lets bash complete by its
/// completions. Gives the number of pages.
///
/// # Panics
///
/// If a command has no page or one too many, a page keeps an option back, or bash does not know of a command or option.
pub fn check(program: &Path) -> usize {
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a program has a name");
    let folder = tempfile::tempdir().expect("a folder for the pages");
    said(
        program,
        &["man", folder.path().to_str().expect("a folder in UTF-8")],
    );
    let mut pages: BTreeSet<String> = fs::read_dir(folder.path())
        .expect("the folder of pages")
        .map(|page| page.expect("a page").file_name().to_string_lossy().into_owned())
        .collect();
    let count = pages.len();
    let mut commands = vec![Vec::new()];
    while let Some(command) = commands.pop() {
        let help = said(program, &[command.as_slice(), &["--help"]].concat());
        let page = std::iter::once(name)
            .chain(command.iter().copied())
            .collect::<Vec<_>>()
            .join("-")
            + ".1";
        assert!(pages.remove(&page), "there is no page {page}");
        let page = fs::read_to_string(folder.path().join(page))
            .expect("a page in UTF-8")
            .replace("\\-", "-");
        let options = options(&help);
        for option in &options {
            assert!(
                page.contains(option.as_str()),
                "{name} {command:?}: the page says nothing of {option}"
            );
            assert!(
                completed(program, name, &command, option).contains(option),
                "{name} {command:?}: bash does not complete {option}"
            );
        }
        for below in subcommands(&help) {
            assert!(
                completed(program, name, &command, &below).contains(&below),
                "{name} {command:?}: bash does not complete {below}"
            );
            let mut longer = command.clone();
            longer.push(&*below.leak());
            commands.push(longer);
        }
    }
    assert!(pages.is_empty(), "pages of no command: {pages:?}");
    count
}

fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it speaks UTF-8")
}

/// The words of the section "Commands" of a help text; `help` has no page of its own.
fn subcommands(help: &str) -> Vec<String> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    section
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .map(str::to_owned)
        .collect()
}

/// The long options at the beginning of a help text's lines.
fn options(help: &str) -> BTreeSet<String> {
    let words = help.lines().flat_map(|line| {
        let line = line.trim_start();
        line.split([' ', ',', '='])
            .take(if line.starts_with('-') { 3 } else { 0 })
    });
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect()
}

/// What bash offers for the beginning of `word` behind `command`.
fn completed(program: &Path, name: &str, command: &[&str], word: &str) -> Vec<String> {
    let begun = word.get(..word.len() - 1).unwrap_or(word);
    let words: Vec<&str> = std::iter::once(name)
        .chain(command.iter().copied())
        .chain([begun])
        .collect();
    let script = format!(
        "source <({} completions bash); set -- $(complete -p {name}); \
         while [ \"$1\" != -F ]; do shift; done; function=$2; COMP_WORDS=({}); COMP_CWORD={}; $function {name} {begun} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        program.display(),
        words.join(" "),
        words.len() - 1,
        words.get(words.len() - 2).copied().unwrap_or_default(),
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash runs");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
