//! Man pages and shell completions, made of the same declarations as `--help`, so that they cannot say anything else.
//!
//! Both programs have the two commands; what they do is here. It knows no command of either.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Command, Subcommand};
use clap_complete::Shell;

/// Why a manual could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ManualError {
    /// The folder, or a page in it.
    #[error("man pages: {folder}: {source}; name a folder that this user may write", folder = folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Standard output.
    #[error("completions: {0}")]
    Output(io::Error),
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Manual {
    /// Write the manual, a page for each command, to a folder
    ///
    /// `man -l FOLDER/PAGE.1` shows one; installed, they belong into share/man/man1.
    Man(Pages),
    /// Print what a shell needs to complete commands and options
    ///
    /// Into share/bash-completion/completions, share/zsh/site-functions or share/fish/vendor_completions.d, under the
    /// name that the shell asks for; or for one session of bash: `source <(PROGRAM completions bash)`.
    Completions(Completions),
}

/// Man pages.
#[derive(Clone, Debug, Args)]
pub struct Pages {
    /// The folder; made if it is not there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Completions.
#[derive(Clone, Copy, Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Manual {
    /// Does it for `program`.
    ///
    /// # Errors
    ///
    /// [`ManualError`]
    pub fn run(&self, program: Command) -> Result<(), ManualError> {
        match self {
            Self::Man(pages) => pages.write(program),
            Self::Completions(completions) => completions.print(program),
        }
    }
}

impl Pages {
    /// Section 1 of the manual.
    fn write(&self, program: Command) -> Result<(), ManualError> {
        fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(program, &self.folder))
            .map_err(|source| ManualError::Folder {
                folder: self.folder.clone(),
                source,
            })
    }
}

impl Completions {
    /// A reader that has gone away is no failure.
    fn print(self, mut program: Command) -> Result<(), ManualError> {
        let name = program.get_name().to_owned();
        // clap_complete 4.6 loses the subcommands of a name with a hyphen on its way through bash.
        let plain = match self.shell {
            Shell::Bash => name.replace('-', "_"),
            _ => name.clone(),
        };
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, &plain, &mut text);
        let text = String::from_utf8_lossy(&text).replace(&format!(" {plain}\n"), &format!(" {name}\n"));
        match io::stdout().write_all(text.as_bytes()) {
            Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => Err(ManualError::Output(fault)),
            _ => Ok(()),
        }
    }
}
