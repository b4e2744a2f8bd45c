//! The `plimsoll` command: exit codes and logging; everything else is in [`plimsoll::cli`].

use std::process::ExitCode;

use plimsoll::cli;
use plimsoll::config::{Environment, Log};
use tracing_subscriber::EnvFilter;

/// The allocator of the process. Half the threads only ever seal, fit or write; with the system's
/// allocator each keeps an arena of its own, which made half of the resident memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = Environment::of_process();
    ExitCode::from(cli::run(std::env::args_os(), &environment, start_log))
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
