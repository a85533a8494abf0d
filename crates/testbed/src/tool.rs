//! A tool that runs until it is asked to end and prints its findings line by line.

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Ended, PATIENCE};

/// A running tool, whose standard output the test reads line by line.
///
/// Dropping it kills the tool.
#[derive(Debug)]
pub struct Tool {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tool {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// Reads lines until they suffice, and returns them.
    pub async fn says_until(
        &mut self,
        what: &str,
        enough: impl Fn(&[String]) -> bool,
    ) -> Vec<String> {
        let mut said = Vec::new();
        let listening = async {
            while let Some(line) = self.lines.next_line().await.expect("UTF-8") {
                said.push(line);
                if enough(&said) {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(4 * PATIENCE, listening).await;
        assert!(found == Ok(true), "the tool did not print {what}, but {said:#?}");
        said
    }

    /// Reads the lines that `lastro verify --watch` prints up to the summary of a round.
    pub async fn says_round(&mut self, number: u32) -> Vec<String> {
        let end = format!("round {number}: ");
        self.says_until(&end, |said| said.last().is_some_and(|line| line.starts_with(&end))).await
    }

    /// Waits until the tool has ended by itself, and returns the exit code. Fails the test if it has
    /// printed anything on standard output.
    pub async fn said_nothing(&mut self) -> Option<i32> {
        let ending = async {
            assert_eq!(self.lines.next_line().await.expect("UTF-8"), None);
            self.child.wait().await.expect("a child can be waited for").code()
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("the tool ends")
    }

    /// Sends SIGTERM, waits for the end, and returns the exit code and the remaining output.
    pub async fn terminated(mut self) -> Ended {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.expect("it was not waited for yet"), Signal::TERM)
            .expect("a child can be signalled");
        let ending = async {
            let mut stdout = String::new();
            let mut stderr = String::new();
            while let Some(line) = self.lines.next_line().await.expect("UTF-8") {
                stdout.extend([line.as_str(), "\n"]);
            }
            let mut errors = self.child.stderr.take().expect("it is piped");
            errors.read_to_string(&mut stderr).await.expect("UTF-8");
            let code = self.child.wait().await.expect("a child can be waited for").code();
            Ended { code, stdout, stderr }
        };
        tokio::time::timeout(PATIENCE, ending).await.expect("the tool ends soon after SIGTERM")
    }
}
