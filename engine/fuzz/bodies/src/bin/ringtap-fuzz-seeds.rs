//! Writes the seeds of every target into folders of a corpus: `ringtap-fuzz-seeds CORPUS [DATA]`. `DATA` is a collection
//! of messages and captures; where there is none, the testkit's scenarios have to do.

#![forbid(unsafe_code)]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use ringtap_fuzz_bodies::{BODIES, seeds};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let Some(corpus) = arguments.next() else {
        eprintln!("usage: ringtap-fuzz-seeds CORPUS [DATA]");
        return ExitCode::from(2);
    };
    match write_all(&corpus, arguments.next().as_deref()) {
        Ok(written) => {
            println!("{written} seeds in {}", corpus.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", corpus.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes what is not there yet; the fuzzer keeps its own finds beside.
fn write_all(corpus: &Path, data: Option<&Path>) -> io::Result<usize> {
    let mut written = 0;
    for (target, _) in BODIES {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        let mut all = seeds::of(target);
        if let Some(data) = data.map(|data| data.join("open")).filter(|data| data.is_dir()) {
            all.extend(seeds::out_of(&data, target)?);
        }
        for seed in &all {
            let mut hasher = DefaultHasher::new();
            seed.hash(&mut hasher);
            fs::write(folder.join(format!("seed-{:016x}", hasher.finish())), seed)?;
        }
        written += all.len();
    }
    Ok(written)
}
