//! Block devices. Source: Linux `Documentation/admin-guide/iostats.rst`, `/proc/diskstats`.

use std::fs;

use crate::model::series::{Labels, Sample};

use super::{Roots, metrics, text};

/// `/proc/diskstats` counts sectors of this size, whatever the device's own is.
const SECTOR_BYTES: f64 = 512.0;

pub(super) fn read(roots: &Roots<'_>, into: &mut Vec<Sample>) {
    let Some(stats) = text(&roots.proc.join("diskstats")) else {
        return;
    };
    for line in stats.lines() {
        let mut fields = line.split_whitespace().skip(2);
        let Some(device) = fields.next().filter(|name| is_whole_disk(roots, name)) else {
            continue;
        };
        let queue = roots.sys.join("block").join(device.replace('/', "!"));
        if let Some(spins) = text(&queue.join("queue/rotational"))
            && let Ok(spins) = spins.trim().parse()
        {
            let labels = Labels::none().with("device", device);
            into.push(metrics::DISK_ROTATIONAL.sample(labels, spins));
        }
        let counts: Vec<f64> = fields.map_while(|f| f.parse().ok()).collect();
        let readings = [
            (&metrics::DISK_READ, counts.get(2), SECTOR_BYTES),
            (&metrics::DISK_WRITTEN, counts.get(6), SECTOR_BYTES),
            (&metrics::DISK_IO, counts.get(9), 1e-3),
        ];
        for (metric, count, factor) in readings {
            if let Some(count) = count {
                let labels = Labels::none().with("device", device);
                into.push(metric.sample(labels, count * factor));
            }
        }
    }
}

/// Partitions, memory disks and devices built on other devices would count the same bytes twice.
fn is_whole_disk(roots: &Roots<'_>, name: &str) -> bool {
    if ["loop", "ram", "zram", "fd", "sr"].iter().any(|kind| {
        name.strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    }) {
        return false;
    }
    let block = roots.sys.join("block");
    if !block.is_dir() {
        return true;
    }
    // The kernel writes `/` in a device's name as `!` in sysfs.
    let device = block.join(name.replace('/', "!"));
    let on_others =
        fs::read_dir(device.join("slaves")).is_ok_and(|mut below| below.next().is_some());
    device.exists() && !on_others
}
