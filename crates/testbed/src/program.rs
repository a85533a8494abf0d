//! A serving program: the test reads its log, and kills it in the end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::PATIENCE;

/// How many lines of the log are kept: the last ones.
const MAX_LOG_LINES: usize = 200;

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
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().expect("nothing panics under this lock");
        if lines.len() == MAX_LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().expect("nothing panics under this lock");
        lines.iter().map(|line| format!("  {line}\n")).collect()
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
            panic!("{command:?} did not get ready; it said\n{}", log.text())
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

    /// The last lines that the program has logged.
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
            panic!("it still runs after {deadline:?}; it said\n{}", self.log.text())
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
            eprintln!("the log of process {} ends with\n{}", self.pid, self.log.text());
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
