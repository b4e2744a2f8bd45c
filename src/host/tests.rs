use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Error, Host, Options, metrics};
use crate::model::series::Sample;
use crate::model::units::{Millis, Timestamp};

const STAT: &str = "cpu  1000 10 500 8000 200 30 20 5 0 0\ncpu0 500 5 250 4000 100 15 10 3 0 0\n\
                    cpu1 500 5 250 4000 100 15 10 2 0 0\nbtime 1750000000\n";
const MEMINFO: &str = "MemTotal:       8192 kB\nMemFree:        1024 kB\nMemAvailable:   6144 kB\n\
                       SwapTotal:      2048 kB\nSwapFree:       1536 kB\n";

/// A made-up root folder: `proc` and `sys` in a temporary place.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(TempDir::new().unwrap());
        root.put("proc/stat", STAT).put("proc/meminfo", MEMINFO);
        root
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        self.0.path().join(inside)
    }

    fn put(&self, inside: &str, text: &str) -> &Self {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn host(&self) -> Host {
        Host::new(Options {
            proc: self.path("proc"),
            sys: self.path("sys"),
            ..Options::default()
        })
    }

    fn read(&self) -> Vec<Sample> {
        self.host().read(Timestamp::from_millis(0)).unwrap()
    }
}

fn value(samples: &[Sample], series: &str) -> Option<f64> {
    let found = samples.iter().find(|s| s.series.to_string() == series);
    found.map(|s| s.value)
}

fn close(got: Option<f64>, want: f64) {
    let got = got.expect("the series is there");
    assert!(
        (got - want).abs() < 1e-9 * want.abs().max(1.0),
        "{got} {want}"
    );
}

#[test]
fn a_machine_without_limits_counts_its_own_cores_and_memory() {
    let samples = Root::new().read();
    close(value(&samples, "host_cpu_cores"), 2.0);
    close(
        value(&samples, "host_cpu_seconds_total{mode=\"iowait\"}"),
        2.0,
    );
    // user 1000 + nice 10 + system 500 + irq 30 + softirq 20 ticks; idle, iowait and steal are not busy.
    close(value(&samples, "host_cpu_busy_seconds_total"), 15.6);
    close(value(&samples, "host_memory_limit_bytes"), 8192.0 * 1024.0);
    close(value(&samples, "host_memory_used_bytes"), 2048.0 * 1024.0);
    close(value(&samples, "host_swap_used_bytes"), 512.0 * 1024.0);
    close(value(&samples, "host_boot_time_seconds"), 1.75e9);
}

#[test]
fn a_version_2_group_gives_the_tightest_limit_on_its_path() {
    let root = Root::new();
    root.put("proc/self/cgroup", "0::/db.slice/pg.service\n")
        .put("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
        .put("sys/fs/cgroup/db.slice/cpu.max", "50000 100000\n")
        .put(
            "sys/fs/cgroup/db.slice/cpu.stat",
            "usage_usec 7500000\nuser_usec 1\n",
        )
        .put("sys/fs/cgroup/db.slice/pg.service/cpu.max", "max 100000\n")
        .put("sys/fs/cgroup/db.slice/pg.service/memory.max", "4194304\n")
        .put(
            "sys/fs/cgroup/db.slice/pg.service/memory.current",
            "3000000\n",
        )
        .put(
            "sys/fs/cgroup/db.slice/pg.service/memory.stat",
            "anon 1500000\ninactive_file 900000\nactive_file 100000\n",
        );
    let samples = root.read();
    close(value(&samples, "host_cpu_cores"), 0.5);
    close(value(&samples, "host_cpu_busy_seconds_total"), 7.5);
    close(value(&samples, "host_memory_limit_bytes"), 4_194_304.0);
    close(value(&samples, "host_memory_used_bytes"), 2_000_000.0);
    close(value(&samples, "host_memory_total_bytes"), 8192.0 * 1024.0);
}

#[test]
fn a_version_1_group_is_read_by_controller() {
    let root = Root::new();
    root.put(
        "proc/self/cgroup",
        "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
    )
    .put(
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us",
        "150000\n",
    )
    .put(
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us",
        "100000\n",
    )
    .put(
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpuacct.usage",
        "2500000000\n",
    )
    .put(
        "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes",
        "2097152\n",
    )
    .put(
        "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes",
        "2000000\n",
    )
    .put(
        "sys/fs/cgroup/memory/docker/abc/memory.stat",
        "cache 1\ntotal_inactive_file 400000\ntotal_active_file 100000\n",
    );
    let samples = root.read();
    close(value(&samples, "host_cpu_cores"), 1.5);
    close(value(&samples, "host_cpu_busy_seconds_total"), 2.5);
    close(value(&samples, "host_memory_limit_bytes"), 2_097_152.0);
    close(value(&samples, "host_memory_used_bytes"), 1_500_000.0);
}

#[test]
fn an_unlimited_version_1_group_changes_nothing() {
    let root = Root::new();
    root.put("proc/self/cgroup", "4:memory:/\n3:cpu:/\n")
        .put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
        .put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
        .put(
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
    let samples = root.read();
    close(value(&samples, "host_cpu_cores"), 2.0);
    close(value(&samples, "host_memory_limit_bytes"), 8192.0 * 1024.0);
}

#[test]
fn a_path_of_the_outside_falls_back_to_the_root_of_the_container() {
    let root = Root::new();
    root.put("proc/self/cgroup", "4:memory:/kubepods/pod1/xyz\n")
        .put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1048576\n");
    close(value(&root.read(), "host_memory_limit_bytes"), 1_048_576.0);
}

#[test]
fn a_missing_file_costs_only_its_own_series() {
    let root = Root::new();
    fs::remove_file(root.path("proc/meminfo")).unwrap();
    let samples = root.read();
    assert_eq!(value(&samples, "host_memory_total_bytes"), None);
    assert!(value(&samples, "host_cpu_cores").is_some());
    fs::remove_file(root.path("proc/stat")).unwrap();
    let error = root.host().read(Timestamp::from_millis(0)).unwrap_err();
    assert!(matches!(error, Error::NothingReadable { .. }));
    assert!(error.to_string().contains("is procfs mounted"));
}

#[test]
fn partitions_and_stacked_devices_are_not_counted_twice() {
    let root = Root::new();
    let line = |name: &str| format!("   8 0 {name} 10 0 100 5 20 0 200 7 0 1500 12 0 0 0 0\n");
    let names = ["sda", "sda1", "dm-0", "loop0"];
    root.put("proc/diskstats", &names.map(line).concat())
        .put("sys/block/sda/size", "1")
        .put("sys/block/dm-0/slaves/sda/size", "1");
    let samples = root.read();
    close(
        value(&samples, "host_disk_read_bytes_total{device=\"sda\"}"),
        51_200.0,
    );
    close(
        value(&samples, "host_disk_written_bytes_total{device=\"sda\"}"),
        102_400.0,
    );
    close(
        value(&samples, "host_disk_io_seconds_total{device=\"sda\"}"),
        1.5,
    );
    for other in ["sda1", "dm-0", "loop0"] {
        let series = format!("host_disk_read_bytes_total{{device=\"{other}\"}}");
        assert_eq!(value(&samples, &series), None, "{other}");
    }
}

#[test]
fn loopback_and_bridges_are_left_out_and_speed_is_in_bytes() {
    let root = Root::new();
    let table = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                 \x20 eth0: 500 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\ndocker0:9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n";
    root.put("proc/net/dev", table)
        .put("sys/class/net/docker0/speed", "10000\n")
        .put("sys/class/net/eth0/speed", "1000\n");
    // No card: a container, where every interface but loopback is a way out.
    let samples = root.read();
    close(
        value(
            &samples,
            "host_network_receive_bytes_total{device=\"docker0\"}",
        ),
        9.0,
    );
    root.put("sys/class/net/eth0/device/vendor", "0x1af4");
    let samples = root.read();
    close(
        value(
            &samples,
            "host_network_receive_bytes_total{device=\"eth0\"}",
        ),
        500.0,
    );
    close(
        value(
            &samples,
            "host_network_transmit_bytes_total{device=\"eth0\"}",
        ),
        900.0,
    );
    close(
        value(&samples, "host_network_speed_bytes{device=\"eth0\"}"),
        1.25e8,
    );
    assert_eq!(
        value(
            &samples,
            "host_network_receive_bytes_total{device=\"docker0\"}"
        ),
        None
    );
    assert_eq!(
        value(&samples, "host_network_receive_bytes_total{device=\"lo\"}"),
        None
    );
    root.put("sys/class/net/eth0/speed", "-1\n");
    assert_eq!(
        value(&root.read(), "host_network_speed_bytes{device=\"eth0\"}"),
        None
    );
}

#[test]
fn a_file_system_is_shown_once_and_found_by_path() {
    let root = Root::new();
    let data = root.path("data");
    let inner = data.join("bind dir");
    fs::create_dir_all(&inner).unwrap();
    let (data, inner) = (data.canonicalize().unwrap(), inner.canonicalize().unwrap());
    let shown = |path: &Path| path.to_str().unwrap().replace(' ', "\\040");
    let mountinfo = format!(
        "22 1 0:5 / /proc rw - proc proc rw\n30 1 8:1 / {} rw shared:1 - ext4 /dev/sda1 rw\n\
         31 1 8:1 /x {} rw - ext4 /dev/sda1 rw\n32 1 0:9 / {} rw - tmpfs tmpfs rw\n",
        shown(&data),
        shown(&inner),
        shown(root.0.path()),
    );
    root.put("proc/self/mountinfo", &mountinfo);
    let mut host = root.host();
    let samples = host.read(Timestamp::from_millis(0)).unwrap();
    let sizes: Vec<_> = samples
        .iter()
        .filter(|s| s.series.metric == "host_filesystem_size_bytes")
        .collect();
    assert_eq!(sizes.len(), 1, "bind mounts and tmpfs are left out");
    assert_eq!(sizes[0].series.labels.get("mountpoint"), data.to_str());
    assert_eq!(sizes[0].series.labels.get("fstype"), Some("ext4"));
    assert_eq!(host.filesystem_of(&inner).as_deref(), data.to_str());
    assert_eq!(
        host.filesystem_of(root.0.path()),
        None,
        "tmpfs is not reported"
    );
}

#[test]
fn a_new_mount_is_seen_after_a_minute() {
    let root = Root::new();
    let data = root.0.path().canonicalize().unwrap();
    let mut host = root.host();
    let sizes = |samples: Vec<Sample>| {
        let found = samples
            .iter()
            .filter(|s| s.series.metric == "host_filesystem_size_bytes");
        found.count()
    };
    assert_eq!(sizes(host.read(Timestamp::from_millis(0)).unwrap()), 0);
    let line = format!("30 1 8:1 / {} rw - ext4 /dev/sda1 rw\n", data.display());
    root.put("proc/self/mountinfo", &line);
    assert_eq!(sizes(host.read(Timestamp::from_millis(30_000)).unwrap()), 0);
    let later = Timestamp::from_millis(i64::try_from(Millis::MINUTE.0).unwrap());
    assert_eq!(sizes(host.read(later).unwrap()), 1);
}

#[test]
fn pressure_is_read_where_the_kernel_keeps_it() {
    let root = Root::new();
    root.put(
        "proc/pressure/io",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=1000000\n",
    );
    let samples = root.read();
    close(
        value(
            &samples,
            "host_pressure_seconds_total{resource=\"io\",tasks=\"some\"}",
        ),
        2.5,
    );
    close(
        value(
            &samples,
            "host_pressure_seconds_total{resource=\"io\",tasks=\"full\"}",
        ),
        1.0,
    );
}

#[test]
fn every_sample_of_this_machine_is_declared_and_unique() {
    let mut host = Host::new(Options::default());
    let samples = host.read(Timestamp::from_millis(0)).unwrap();
    let declared: Vec<&str> = metrics().iter().map(|metric| metric.name).collect();
    let mut names: Vec<String> = samples.iter().map(|s| s.series.to_string()).collect();
    for sample in &samples {
        assert!(
            declared.contains(&sample.series.metric.as_ref()),
            "{}",
            sample.series
        );
        assert!(sample.value.is_finite(), "{}", sample.series);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), samples.len());
}
