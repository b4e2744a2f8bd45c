//! What one process uses, from its folder in `/proc`.

use std::path::Path;

use super::{field, text};
use crate::model::units::Bytes;

/// Clock ticks in a second, as `/proc` counts them: the kernel's `USER_HZ`, 100 on all Linux
/// platforms that this program is built for (`man 5 proc`, field `utime`).
const TICKS: f64 = 100.0;

/// Memory and time of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUse {
    /// Resident memory.
    pub resident_bytes: Bytes,
    /// Processor time since it started, in user and system mode, in seconds.
    pub cpu_seconds: f64,
}

/// What this very process uses; `None` without `/proc`.
pub fn this_process() -> Option<ProcessUse> {
    process_use(Path::new("/proc/self"))
}

/// What the process `pid` of this machine uses; `None` if it is gone or lies in another container.
pub fn process(pid: i32) -> Option<ProcessUse> {
    process_use(&Path::new("/proc").join(pid.to_string()))
}

fn process_use(folder: &Path) -> Option<ProcessUse> {
    let status = text(&folder.join("status"))?;
    let stat = text(&folder.join("stat"))?;
    // The command's name stands in parentheses and may hold anything, more parentheses included.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_seconds = (ticks()? + ticks()?) / TICKS;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "kilobytes as the kernel prints them: whole and not negative"
    )]
    let resident_bytes = Bytes(field(&status, "VmRSS")? as u64 * 1024);
    Some(ProcessUse {
        resident_bytes,
        cpu_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_a_stranger_is_none() {
        let own = this_process().unwrap();
        assert!(own.resident_bytes.0 > 100_000);
        assert!(own.cpu_seconds >= 0.0);
        assert_eq!(process(-1), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("status"),
            "Name:\tx\nVmRSS:\t     12 kB\n",
        )
        .unwrap();
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 0 1 2 3 4 150 50 0 0 20 0";
        std::fs::write(folder.path().join("stat"), stat).unwrap();
        let read = process_use(folder.path()).unwrap();
        assert_eq!(
            read,
            ProcessUse {
                resident_bytes: Bytes(12 * 1024),
                cpu_seconds: 2.0
            }
        );
    }
}
