//! `lastro completions` and `lastro man`: made from the description of the command line.

use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;
use platform::process::ProgramError;

use crate::client::done;
use crate::output::note;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The folder of the pages, such as /usr/local/share/man/man1
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
}

impl Completions {
    /// Prints the completions on standard output.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written.
    pub(crate) fn print(self, mut program: Command) -> Result<(), ProgramError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "lastro", &mut script);
        done(crate::output::line(String::from_utf8_lossy(&script).trim_end()))
    }
}

impl Man {
    /// Writes a page for the program and each of its commands.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub(crate) fn write(self, program: Command) -> Result<(), ProgramError> {
        let failed = |error| ProgramError::failed(format!("{}: {error}", self.dir.display()));
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        clap_mangen::generate_to(program, &self.dir).map_err(failed)?;
        note(format_args!("the pages are in {}: man -l {0}/lastro.1", self.dir.display()));
        Ok(())
    }
}
