//! How a program under test is started: its arguments, its surroundings, and how long it may run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::disk::Disk;
use crate::program::Program;
use crate::tool::Tool;
use crate::user::is_root;
use crate::{PATIENCE, eventually};

/// A program that is about to start.
///
/// It sees nothing of this process's own configuration: no `LASTRO_…`, `OTEL_…` or `RUST_LOG`, and no
/// `lastro.toml` but one in its working directory.
#[derive(Clone, Debug)]
pub struct Launch {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    surroundings: Vec<OsString>,
}

/// How a program ended, and its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// `None` if a signal ended the program.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What an audit said on standard error, after the line that names its databases.
    ///
    /// # Panics
    ///
    /// Panics if that line is missing.
    #[track_caller]
    pub fn said_after_databases(&self) -> &str {
        let named = self.stderr.strip_prefix("databases: ").and_then(|said| said.split_once('\n'));
        named.unwrap_or_else(|| panic!("no databases are named: {self:?}")).1
    }

    /// Asserts that the program refused these arguments: exit code 2, nothing on standard output,
    /// and an error on standard error.
    #[track_caller]
    pub fn must_be_a_usage_error(&self, arguments: &[&str]) {
        let ended = (self.code, self.stdout.as_str());
        assert_eq!(ended, (Some(2), ""), "{arguments:?}: {}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{arguments:?}: {}", self.stderr);
    }

    /// Fails the test unless the program has refused to start with this exit code and one line on
    /// standard error, after its log, that contains all of these words.
    #[track_caller]
    pub fn must_be_refused(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        let is_of_log = |line: &&str| line.starts_with('{');
        let lines: Vec<_> = self.stderr.lines().skip_while(is_of_log).collect();
        let [line] = *lines else { panic!("not one line:\n{}", self.stderr) };
        assert!(line.starts_with("error: "), "{line}");
        for word in words {
            assert!(line.contains(word), "{word} is not in: {line}");
        }
    }
}

impl Launch {
    /// A launch of `program` in `folder`.
    pub fn of(program: impl Into<OsString>, folder: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.into(),
            surroundings: Vec::new(),
        }
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs the program with this disk mounted.
    #[must_use]
    pub fn on(self, disk: &Disk) -> Self {
        let folder = self.folder.clone();
        let mut around = disk.entrance();
        // `nsenter` does not keep the working directory.
        around.extend(["sh".into(), "-c".into(), "cd \"$0\" && exec \"$@\"".into(), folder.into()]);
        self.within(around)
    }

    /// Shows the program this file as the kernel's table of mounts.
    #[must_use]
    pub fn with_mounts(self, table: &Path) -> Self {
        let mut around = own_mounts();
        // The shell replaces itself with the program, which so has the process id whose table was
        // mounted.
        let mount = "mount --bind \"$0\" /proc/$$/mounts && exec \"$@\"";
        around.extend(["sh".into(), "-c".into(), mount.into(), table.into()]);
        self.within(around)
    }

    /// Shows the program each first file also under the path of the second, which must exist.
    #[must_use]
    pub fn with_bind_mounts(self, mounts: &[(PathBuf, PathBuf)]) -> Self {
        let mut around = own_mounts();
        let mount = "mount --bind \"$1\" \"$2\" && shift 2 && ".repeat(mounts.len());
        around.extend([
            "sh".into(),
            "-c".into(),
            format!("{mount}exec \"$@\"").into(),
            "sh".into(),
        ]);
        around.extend(mounts.iter().flat_map(|(from, to)| [from.into(), to.into()]));
        self.within(around)
    }

    /// Limits the number of files and connections that the program may have open.
    #[must_use]
    pub fn with_open_files(self, soft: u64, hard: u64) -> Self {
        self.within(vec!["prlimit".into(), format!("--nofile={soft}:{hard}").into()])
    }

    /// Runs the program without root's power to bypass permissions.
    #[must_use]
    pub fn unprivileged(self) -> Self {
        if is_root() {
            self.within(vec!["setpriv".into(), "--bounding-set=-all".into()])
        } else {
            self
        }
    }

    /// Puts further words before the command line.
    fn within(mut self, mut surroundings: Vec<OsString>) -> Self {
        surroundings.append(&mut self.surroundings);
        Self { surroundings, ..self }
    }

    /// Starts the program and waits until it logs on standard error that it "is ready" and at which
    /// address.
    ///
    /// # Panics
    ///
    /// Panics with the program's output if the program does not get ready.
    pub async fn serving(self) -> Program {
        let mut command = self.command();
        command.stdout(Stdio::null());
        Program::serving(command).await
    }

    /// Starts the program and reads its output line by line.
    pub fn talking(self) -> Tool {
        Tool::start(self.command())
    }

    /// Starts the program and returns at once. Its output is discarded, and dropping the result
    /// kills it.
    pub fn begun(self) -> Child {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|error| panic!("{self:?} did not start: {error}"))
    }

    /// Starts the program and waits until it has ended.
    pub async fn to_end(self) -> Ended {
        self.to_end_within(PATIENCE).await
    }

    /// Starts the program and waits until it has ended, at most until the deadline.
    pub async fn to_end_within(self, deadline: Duration) -> Ended {
        let mut command = self.command();
        let output = tokio::time::timeout(deadline, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{self:?} did not end within {deadline:?}"));
        let output = output.unwrap_or_else(|error| panic!("{self:?} did not start: {error}"));
        let text = |bytes| String::from_utf8(bytes).expect("a program writes UTF-8");
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Starts the program and waits until it has ended by itself. What refuses it may answer too late
    /// on a busy machine, so that it serves instead: then it is killed and started again.
    pub async fn to_refusal(self) -> Ended {
        eventually(PATIENCE, "the program ends by itself", async || {
            let mut command = self.command();
            command.stdout(Stdio::null());
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{self:?}: {error}"));
            let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
            let mut stderr = String::new();
            while let Some(line) = lines.next_line().await.expect("a program writes UTF-8") {
                if line.contains("is ready") {
                    return None;
                }
                stderr.push_str(&line);
                stderr.push('\n');
            }
            let code = child.wait().await.expect("a child can be waited for").code();
            Some(Ended { code, stdout: String::new(), stderr })
        })
        .await
    }

    fn command(&self) -> Command {
        let mut words = self.surroundings.iter().chain([&self.program]).chain(&self.arguments);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(&self.folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let own = std::env::vars_os().map(|(name, _)| name);
        let is_configuration = |name: &OsString| {
            let name = name.as_encoded_bytes();
            name == b"RUST_LOG" || name.starts_with(b"LASTRO_") || name.starts_with(b"OTEL_")
        };
        for name in own.filter(is_configuration) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Words that give a program mounts of its own.
fn own_mounts() -> Vec<OsString> {
    let mut around = vec!["unshare".into(), "--mount".into()];
    if !is_root() {
        around.extend(["--user".into(), "--map-root-user".into()]);
    }
    around
}
