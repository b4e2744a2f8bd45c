//! How the programs of the demo are run: as whom, with which environment, and who tidies up.
//!
//! For: the cluster. Not for: what the programs do.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::binaries::Binaries;
use super::{Error, Result};

/// Whom the server runs as, when this process is root.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(20);

/// How long a program that sets up a cluster may take.
const GROUP_LIMIT: Duration = Duration::from_mins(5);

/// How long killed processes are waited for; one that hangs in the kernel may take for ever.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Waits for the end of the demo on its standard input. The word `done` means that all is tidy;
/// the end of input without it means that the demo was killed, and the server and its folder are
/// still there. What was setting it up is ended by name and folder; it may write on for a while, so the
/// folder is removed until it stays away.
const GUARDIAN: &str = r#"
PATH=/usr/bin:/bin:$PATH
read -r word
[ "$word" = done ] && exit 0
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -QUIT "$pid" 2>/dev/null
    tries=0
    while [ $tries -lt 100 ] && kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
fi
gone=0
tries=0
while [ $gone -lt 5 ] && [ $tries -lt 300 ]; do
    for line in $(grep -lsF -- "$1" /proc/[0-9]*/cmdline); do
        read -r name <"${line%cmdline}comm" || continue
        pid=${line#/proc/}
        case $name in initdb|postgres) kill -KILL "${pid%/cmdline}" ;; esac
    done 2>/dev/null
    gone=$((gone + 1))
    [ -e "$1" ] && gone=0
    rm -rf "$1"
    tries=$((tries + 1))
    sleep 0.2
done
"#;

/// An unprivileged user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// Whom to run the server as: `None` is ourselves, since the server only refuses root.
    pub(super) fn for_server() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ACCOUNTS
            .iter()
            .find_map(|name| Self::named(name, &users))
            .map(Some)
            .ok_or(Error::NoAccount)
    }

    /// Looks `name` up in the text of a passwd file; never gives root.
    fn named(name: &str, passwd: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next()? != name {
                return None;
            }
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (uid != 0).then_some(Self { uid, gid })
        })
    }

    /// Gives `path` to `account`; ourselves own it already.
    pub(super) fn give(account: Option<Self>, path: &Path) -> Result<()> {
        let Some(Self { uid, gid }) = account else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).map_err(|source| Error::File {
            doing: "cannot hand over",
            path: path.to_owned(),
            source,
        })
    }
}

/// A program of the server, with nothing of our environment: no `PG…` variable reaches it.
///
/// It stands in a process group of its own, so that Ctrl-C in a terminal reaches only us and the
/// shutdown keeps its order.
pub(super) fn command(binaries: &Binaries, name: &str, account: Option<Account>) -> Command {
    let mut command = Command::new(binaries.program(name));
    command
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", binaries.folder().display()),
        )
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    if let Some(libraries) = binaries.libraries() {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

/// Makes sure that `account` may run the server: a build below a private folder is copied.
pub(super) fn reachable(
    binaries: Binaries,
    account: Option<Account>,
    folder: &Path,
) -> Result<Binaries> {
    let tried = command(&binaries, "postgres", account)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return Ok(binaries);
    }
    let copy = folder.join("server");
    let bin = binaries.folder();
    for part in ["bin", "lib", "share"] {
        let from = bin.parent().unwrap_or(bin).join(part);
        copy_tree(&from, &copy.join(part)).map_err(|source| Error::File {
            doing: "cannot copy",
            path: from.clone(),
            source,
        })?;
    }
    Binaries::in_folder(&copy.join("bin"))
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, source, target) = (entry.file_type()?, entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
}

/// Sends `signal` to one process; that it has ended already is no error.
pub(super) fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        // Only fails for a process that is gone, or was never ours.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Kills a process and what else is in its group.
pub(super) fn kill_group(child: &Child) {
    if let Some(pid) = pid(child) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Waits up to `limit` for the end of `child` without blocking the thread.
pub(super) async fn ended(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let mut left = limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        left = left.checked_sub(POLL)?;
        tokio::time::sleep(POLL).await;
    }
}

/// Waits up to `limit` for the end of `child`, for destructors, which cannot be asynchronous.
pub(super) fn ended_blocking(child: &mut Child, limit: Duration) -> bool {
    let mut left = limit;
    loop {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return true;
        }
        let Some(rest) = left.checked_sub(POLL) else {
            return false;
        };
        left = rest;
        std::thread::sleep(POLL);
    }
}

/// A program that starts others: dropped before its end, all of them are ended.
#[derive(Debug)]
pub(super) struct Group(Option<Child>);

impl Group {
    /// Runs `command`, which must make a process group of its own.
    pub(super) fn spawn(mut command: Command) -> std::io::Result<Self> {
        command.spawn().map(|child| Self(Some(child)))
    }

    /// Waits for its end; `None` if it does not come within [`GROUP_LIMIT`].
    pub(super) async fn ended(mut self) -> Option<ExitStatus> {
        let status = ended(self.0.as_mut()?, GROUP_LIMIT).await?;
        self.0 = None;
        Some(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(child) = &mut self.0 else { return };
        kill_group(child);
        ended_blocking(child, KILL_LIMIT);
        // The others are not our children: that they are gone shows in their group.
        let mut left = KILL_LIMIT;
        while pid(child)
            .is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
            && let Some(rest) = left.checked_sub(POLL)
        {
            left = rest;
            std::thread::sleep(POLL);
        }
    }
}

/// Tidies up after us even if we are killed: stops the server and removes the folder.
#[derive(Debug)]
pub(super) struct Guardian(Child);

impl Guardian {
    /// Watches over the cluster in `folder`.
    pub(super) fn over(folder: &Path) -> Result<Self> {
        Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "plimsoll-demo-guardian"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(|source| Error::Run {
                program: PathBuf::from("/bin/sh"),
                source,
            })
    }

    /// Sends it home: all is tidy.
    pub(super) fn dismiss(mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            // If it is gone already, there is nobody to dismiss.
            let _ = input.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n\
                          postgres:x:101:104::/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn an_account_is_found_by_its_whole_name_and_is_never_root() {
        let found = Account::named("postgres", PASSWD);
        assert_eq!(found, Some(Account { uid: 101, gid: 104 }));
        assert_eq!(Account::named("post", PASSWD), None);
        assert_eq!(Account::named("root", PASSWD), None);
    }

    #[test]
    fn a_guardian_that_hears_no_word_ends_the_server_and_removes_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cluster");
        fs::create_dir_all(folder.join("data")).unwrap();
        let mut server = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = folder.join("data/postmaster.pid");
        fs::write(pid, format!("{}\nmore\n", server.id())).unwrap();
        let mut guardian = Guardian::over(&folder).unwrap();
        drop(guardian.0.stdin.take());
        assert!(!server.wait().unwrap().success());
        assert!(guardian.0.wait().unwrap().success());
        assert!(!folder.exists());
    }

    #[test]
    fn a_group_that_is_dropped_ends_with_all_that_it_started() {
        let home = tempfile::tempdir().unwrap();
        let told = home.path().join("pid");
        let mut command = Command::new("/bin/sh");
        command
            .args([
                "-c",
                "sleep 600 & echo $! >\"$0.new\"; mv \"$0.new\" \"$0\"; wait",
            ])
            .arg(&told)
            .process_group(0);
        let group = Group::spawn(command).unwrap();
        while !told.exists() {
            std::thread::sleep(POLL);
        }
        let grandchild: i32 = fs::read_to_string(&told).unwrap().trim().parse().unwrap();
        drop(group);
        let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default();
        assert!(state.is_empty() || state.starts_with('Z'), "{stat}");
    }

    #[test]
    fn a_guardian_that_is_dismissed_touches_nothing() {
        let home = tempfile::tempdir().unwrap();
        Guardian::over(home.path()).unwrap().dismiss();
        assert!(home.path().exists());
    }
}
