//! Why: the first SIGTERM asks, the second one ends. In processes of their own, because a signal concerns a whole process.

use std::process::Command;
use std::thread;
use std::time::Duration;

use flyball::signals::Stop;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells the copy of this test that it is the one to be signalled, and how often.
const CHILD: &str = "FLYBALL_TEST_SIGNALS";

/// Runs this test again in a process that signals itself `signals` times; returns its exit code.
fn signalled(test: &str, signals: &str) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--exact", test, "--nocapture"]).env(CHILD, signals);
    command.status().expect("runs").code()
}

/// The child's side: exit code 7 when the flag was seen and nothing ended the process.
fn be_signalled(signals: &str) -> ! {
    let stop = Stop::on_signals().expect("handlers");
    assert!(!stop.asked());
    for _ in 0..signals.parse().expect("a number") {
        kill(Pid::this(), Signal::SIGTERM).expect("own process");
        // Two signals of one kind that are pending together arrive as one: wait for the first.
        while !stop.asked() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    thread::sleep(Duration::from_millis(500));
    #[expect(clippy::disallowed_methods, reason = "the helper's exit code is what the test reads")]
    std::process::exit(7)
}

#[test]
fn the_first_signal_only_asks() {
    if let Ok(signals) = std::env::var(CHILD) {
        be_signalled(&signals);
    }
    assert_eq!(signalled("the_first_signal_only_asks", "1"), Some(7));
}

#[test]
fn the_second_signal_ends_the_process() {
    if let Ok(signals) = std::env::var(CHILD) {
        be_signalled(&signals);
    }
    assert_eq!(signalled("the_second_signal_ends_the_process", "2"), Some(130));
}
