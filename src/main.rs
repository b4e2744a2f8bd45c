//! The `plimsoll` command: exit codes and logging; everything else is in [`plimsoll::cli`].

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use plimsoll::cli;
use plimsoll::config::{Environment, Log};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    share_arenas(&environment);
    ExitCode::from(cli::run(std::env::args_os(), &environment, start_log))
}

/// Starts this program anew with two arenas of the allocator for all its threads, and large blocks
/// that go back to the system when they are freed.
///
/// glibc gives nearly each thread an arena, raises the size above which blocks are mapped by each
/// large one it sees freed, and rarely takes back what lies in an arena: watching a server with
/// 20 000 series took 92 MB after half an hour, so 67. With one arena it would be a tenth less, but
/// threads that answer a question together would wait for each other. The settings are read once,
/// from the environment, before anything of ours runs. Where this does not succeed, the program goes
/// on as it is: it only takes more memory.
fn share_arenas(environment: &Environment) {
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    const MAPPED: &str = "MALLOC_MMAP_THRESHOLD_";
    if cfg!(target_env = "gnu")
        && environment.get(ARENAS).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let mut arguments = std::env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        again.args(arguments).env(ARENAS, "2");
        if environment.get(MAPPED).is_none() {
            again.env(MAPPED, "131072");
        }
        let _returns_only_if_it_failed = again.exec();
    }
}

/// Logs to standard error: ours from the level that was set, other crates' warnings only.
fn start_log(log: &Log, colour: bool) {
    let filter = EnvFilter::new(format!("warn,plimsoll={}", log.level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    if log.json {
        lines.json().init();
    } else {
        lines.with_target(false).init();
    }
}
