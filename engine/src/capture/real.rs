//! Where tests find captures that nobody here made: `RINGTAP_DATA`, or `shared/data` beside the workspace.
//! Without them such a test says so and passes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder which holds `open/index.tsv`, if there is one.
pub(crate) fn real_captures() -> Option<PathBuf> {
    let folder = std::env::var_os("RINGTAP_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let found = folder.join("open/index.tsv").is_file();
    if !found {
        eprintln!(
            "SKIPPED: no real captures under {} (set RINGTAP_DATA)",
            folder.display()
        );
    }
    found.then_some(folder)
}

/// Rows of the index: the capture's path, and what others found in it by the name of the column.
pub(crate) fn index_rows(folder: &Path) -> Vec<(PathBuf, HashMap<String, String>)> {
    let index = fs::read_to_string(folder.join("open/index.tsv")).unwrap();
    let mut lines = index.lines().map(|line| line.split('\t').map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    let rows = lines.map(|columns| names.iter().cloned().zip(columns).collect());
    rows.map(|row: HashMap<_, _>| (folder.join(&row["file"]), row))
        .collect()
}
