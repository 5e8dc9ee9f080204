//! Metrics as a program tells them, and as docs/metrics.md has them: both as names with kinds and labels, so that a test can compare them.

use std::collections::{BTreeMap, BTreeSet};

/// Kind (`counter`, `gauge`, `histogram`) and labels of each metric. Counters have their `_total`.
pub type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// Suffixes of a histogram's series.
const SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// What stands in Prometheus' text (version 0.0.4).
#[must_use]
pub fn told(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        if let Some((name, kind)) = line.split_once(' ') {
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, labels(rest)),
            None => (line.split(' ').next().unwrap_or_default(), BTreeSet::new()),
        };
        let base = SUFFIXES.iter().find_map(|suffix| series.strip_suffix(suffix));
        let name = if families.contains_key(series) {
            series
        } else {
            base.unwrap_or(series)
        };
        let family = families.entry(name.to_owned()).or_default();
        family.1.extend(labels);
    }
    families
}

/// The names of labels behind an opening brace; `le` is a histogram's own.
fn labels(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        names.insert(name.trim_start_matches(',').to_owned());
        let Some(end) = after.find('"') else { break };
        rest = after.get(end + 1..).unwrap_or_default();
        if rest.starts_with('}') {
            break;
        }
    }
    names.remove("le");
    names
}

/// What a section of the document has, whose heading begins with `heading`: of each table row, the names in its first column, each with the labels
/// that stand behind it, and the first word of the second column. Rows of which the second column is no kind of metric are passed over.
#[must_use]
pub fn documented(document: &str, heading: &str) -> Families {
    let lines = document.lines().skip_while(|line| !line.starts_with(heading));
    let section = lines.skip(1).take_while(|line| !line.starts_with("## "));
    let mut families = Families::new();
    for line in section {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", names, kind, ..] = columns.as_slice() else {
            continue;
        };
        let kind = kind.split([' ', ',']).next().unwrap_or_default();
        if !matches!(kind, "counter" | "gauge" | "histogram") {
            continue;
        }
        // The text between backquotes is every second part.
        for word in names.split('`').skip(1).step_by(2) {
            let (name, labels) = word.split_once('{').unwrap_or((word, ""));
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
            families.insert(name.to_owned(), (kind.to_owned(), labels.collect()));
        }
    }
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a metric, a kind or a label that is read wrongly on either side, so that the two agree or differ by mistake.
    #[test]
    fn both_sides_are_read_alike() {
        let text = "# HELP a_total As.\n# TYPE a_total counter\na_total{x=\"1,y=\\\"\",z=\"}\"} 1\n\
                    # TYPE b_seconds histogram\nb_seconds_sum 1.0\nb_seconds_bucket{le=\"+Inf\"} 1\n# TYPE c_count gauge\nc_count 3\n";
        // A value with a quotation mark in it does not occur: names of methods, files and interfaces have none.
        let text = text.replace("1,y=\\\"", "1,y");
        let document = "## Other\n| `d` | gauge | |\n## Of it\n| metric | kind |\n|---|---|\n| `a_total{x,z}`, `b_seconds` | counter, now | is |\n\
                        | `c_count` | gauge | `not_this` |\n## Next\n| `e` | gauge | |\n";
        let mut documented = documented(document, "## Of it");
        let told = told(&text);
        assert_ne!(told, documented, "b_seconds is no counter");
        documented.insert("b_seconds".to_owned(), ("histogram".to_owned(), BTreeSet::new()));
        assert_eq!(told, documented);
    }
}
