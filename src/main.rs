//! The `plimsoll` command: exit codes and logging; everything else is in [`plimsoll::cli`].

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use plimsoll::cli;
use plimsoll::config::{Environment, Log};
use tracing_subscriber::EnvFilter;

/// What was freed goes back to the system within a second or two, and two threads that answer one
/// question hardly wait for each other. glibc's allocator does one or the other: with an arena for
/// each thread it keeps what was freed, with one arena threads wait, and either keeps the holes that
/// a past day leaves when it is sealed (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Settings of the allocator above, and of glibc's, which the parts written in C use.
const SETTINGS: [(&str, &str); 2] = [
    (
        "_RJEM_MALLOC_CONF",
        "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true",
    ),
    ("MALLOC_ARENA_MAX", "1"),
];

fn main() -> ExitCode {
    let environment = Environment::of_process();
    settle_allocators(&environment);
    ExitCode::from(cli::run(std::env::args_os(), &environment, start_log))
}

/// Starts this program anew where the allocators' settings are missing in its environment: they are
/// read once, before anything of ours runs. Whoever sets one decides on it. Where this does not
/// succeed, the program goes on as it is: it only takes more memory.
fn settle_allocators(environment: &Environment) {
    let is_set = |name: &str| environment.get(name).is_some();
    if SETTINGS.iter().all(|(name, _)| is_set(name)) {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let mut again = Command::new(program);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        let missing = SETTINGS.iter().filter(|(name, _)| !is_set(name));
        again.args(arguments).envs(missing.copied());
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
