//! A serving program: the test reads its log, and kills it in the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::PATIENCE;

/// How many bytes of the log are kept: the last ones. Tests look for secrets in all that a program
/// has logged.
const MAX_LOG_BYTES: usize = 64 * 1024 * 1024;
/// How many lines are printed when a test fails.
const LINES_AT_THE_END: usize = 200;

/// A program that has reported that it is ready.
///
/// Dropping it kills the program. If the test is failing, the end of the program's log is printed.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pid: u32,
    address: SocketAddr,
    log: Log,
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Logged>>);

#[derive(Debug, Default)]
struct Logged {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Log {
    fn add(&self, line: String) {
        let mut logged = self.logged();
        logged.bytes += line.len();
        logged.lines.push_back(line);
        while logged.bytes > MAX_LOG_BYTES {
            let first = logged.lines.pop_front().expect("there are bytes");
            logged.bytes -= first.len();
        }
    }

    fn text(&self) -> String {
        self.last(usize::MAX)
    }

    fn end(&self) -> String {
        self.last(LINES_AT_THE_END)
    }

    fn last(&self, count: usize) -> String {
        let logged = self.logged();
        let first = logged.lines.len().saturating_sub(count);
        logged.lines.range(first..).map(|line| format!("  {line}\n")).collect()
    }

    fn logged(&self) -> MutexGuard<'_, Logged> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl Program {
    /// Starts `command` and waits until it reports that it is ready. Its standard error is read
    /// until it ends.
    pub(crate) async fn serving(mut command: Command) -> Self {
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        let pid = child.id().expect("a running child has an id");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let log = Log::default();
        let address = tokio::time::timeout(PATIENCE, address(&mut lines, &log)).await;
        let Ok(Some(address)) = address else {
            panic!("{command:?} did not get ready; it said\n{}", log.end())
        };
        tokio::spawn(drain(lines, log.clone()));
        Self { child, pid, address, log }
    }

    /// The address at which the program listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the program has logged.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// The memory that the program holds, in bytes: `VmRSS` of proc(5).
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse::<u64>().ok());
        1024 * kibibytes.expect("a number of kB")
    }

    /// Whether the program still runs, read from outside: other tasks may use the program
    /// meanwhile.
    pub fn is_running(&self) -> bool {
        // The name, which may contain anything, stands in brackets before the state. A zombie has
        // ended.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// Sends SIGKILL, as an operator or the kernel would.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGTERM: asks the program to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let pid =
            i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("the id of a process");
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Waits until the program has ended and returns its exit code; `None` if a signal ended it.
    pub async fn ended(&mut self, deadline: Duration) -> Option<i32> {
        let ended = tokio::time::timeout(deadline, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| {
            panic!("it still runs after {deadline:?}; it said\n{}", self.log.end())
        });
        status.expect("a child can be waited for").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Files that a killed program with its own clock leaves behind.
        for name in ["faketime_shm", "sem.faketime_sem"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{name}_{}", self.pid));
        }
        // The child is killed by its own `Drop`.
        if std::thread::panicking() {
            eprintln!("the log of process {} ends with\n{}", self.pid, self.log.end());
        }
    }
}

/// Reads up to the line of JSON whose message ends with "is ready", and returns its `address`.
async fn address(lines: &mut Lines<BufReader<ChildStderr>>, log: &Log) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        let reported: Value = serde_json::from_str(&line).unwrap_or_default();
        log.add(line);
        if reported["message"].as_str().is_some_and(|message| message.ends_with(" is ready")) {
            return reported["address"].as_str().and_then(|address| address.parse().ok());
        }
    }
    None
}

async fn drain(mut lines: Lines<BufReader<ChildStderr>>, log: Log) {
    while let Ok(Some(line)) = lines.next_line().await {
        log.add(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_kept_from_its_first_line_and_bounded() {
        let log = Log::default();
        for n in 0..1000 {
            log.add(n.to_string());
        }
        assert!(log.text().starts_with("  0\n") && log.text().ends_with("  999\n"));
        assert!(log.end().starts_with("  800\n") && log.end().ends_with("  999\n"));
        log.add("x".repeat(MAX_LOG_BYTES - 10));
        assert!(log.text().starts_with("  997\n"));
        log.add("x".repeat(MAX_LOG_BYTES + 1));
        assert_eq!(log.text(), "");
    }
}
