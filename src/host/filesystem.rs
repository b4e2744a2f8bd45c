//! File systems that hold data. Source: `proc(5)`, `/proc/self/mountinfo`; `statvfs(3)`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::series::{Labels, Sample};

use super::{Options, metrics, text};

/// One mounted file system.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mount {
    /// Where it is mounted.
    point: PathBuf,
    /// `major:minor`: the same for all mounts of one file system.
    number: String,
    /// What is mounted, such as `/dev/sda1`.
    source: String,
    kind: String,
}

/// File systems worth reporting, one mount each: on block devices, ZFS, the root overlay of a
/// container, and those of the watched paths.
///
/// Network file systems are left out: asking a dead one blocks for minutes.
pub(super) fn mounts(options: &Options) -> Vec<Mount> {
    let all = parse(&text(&options.proc.join("self/mountinfo")).unwrap_or_default());
    let watched: Vec<&Mount> = options
        .watched
        .iter()
        .filter_map(|path| deepest(&all, path))
        .collect();
    let mut kept: BTreeMap<&str, &Mount> = BTreeMap::new();
    for mount in &all {
        if !(holds_data(mount) || watched.contains(&mount)) || !mount.point.is_dir() {
            continue;
        }
        // Bind mounts show one file system many times; its shortest path is its name.
        let best = kept.entry(&mount.number).or_insert(mount);
        if mount.point.as_os_str().len() < best.point.as_os_str().len() {
            *best = mount;
        }
    }
    let mut mounts: Vec<Mount> = kept.into_values().cloned().collect();
    mounts.sort_by(|a, b| a.point.cmp(&b.point));
    mounts
}

fn holds_data(mount: &Mount) -> bool {
    let read_only_image = ["squashfs", "iso9660", "erofs"].contains(&mount.kind.as_str());
    let local = mount.source.starts_with("/dev/") || mount.kind == "zfs" || mount.kind == "btrfs";
    let root_overlay = mount.kind == "overlay" && mount.point == Path::new("/");
    (local && !read_only_image && mount.kind != "devtmpfs") || root_overlay
}

pub(super) fn read(mounts: &[Mount], into: &mut Vec<Sample>) {
    for mount in mounts {
        let Ok(stat) = rustix::fs::statvfs(&mount.point) else {
            continue;
        };
        let block = stat.f_frsize as f64;
        let size = stat.f_blocks as f64 * block;
        if size <= 0.0 {
            continue;
        }
        let used = stat.f_blocks.saturating_sub(stat.f_bfree) as f64 * block;
        let labels = || {
            Labels::none()
                .with("mountpoint", mount.point.to_string_lossy())
                .with("device", mount.source.clone())
                .with("fstype", mount.kind.clone())
        };
        into.push(metrics::FILESYSTEM_SIZE.sample(labels(), size));
        into.push(metrics::FILESYSTEM_USED.sample(labels(), used));
        let available = stat.f_bavail as f64 * block;
        into.push(metrics::FILESYSTEM_AVAILABLE.sample(labels(), available));
    }
}

/// The reported mount point of the file system that holds `path`.
pub(super) fn holding(proc: &Path, reported: &[Mount], path: &Path) -> Option<String> {
    let all = parse(&text(&proc.join("self/mountinfo"))?);
    let path = path.canonicalize().ok()?;
    let holder = deepest(&all, &path)?;
    reported
        .iter()
        .find(|mount| mount.number == holder.number)
        .map(|mount| mount.point.to_string_lossy().into_owned())
}

/// The last mount on the longest path wins: it covers the earlier ones.
fn deepest<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

/// Lines such as `36 35 98:0 /root /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw`.
fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(2);
            let (number, point) = (before.next()?, before.nth(1)?);
            let mut after = after.split(' ');
            let (kind, source) = (after.next()?, after.next()?);
            Some(Mount {
                point: PathBuf::from(unescape(point)),
                number: number.to_owned(),
                source: unescape(source),
                kind: kind.to_owned(),
            })
        })
        .collect()
}

/// Blanks, tabs, newlines and backslashes are written as `\040` and the like.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}
