//! What the host gives: one declaration a metric. Read beside the file that fills it.

use crate::model::series::Metric;

/// Processor time by mode, of the whole machine.
pub static CPU_SECONDS: Metric = Metric::counter(
    "host_cpu_seconds_total",
    "Processor time of the machine by mode, in seconds.",
)
.exact_to(0.01);
/// Processor time used, by the control group where it is limited, else by the machine.
pub static CPU_BUSY: Metric = Metric::counter(
    "host_cpu_busy_seconds_total",
    "Processor time used within what host_cpu_cores allows, in seconds.",
)
.exact_to(0.01);
/// Cores that may be used.
pub static CPU_CORES: Metric = Metric::gauge(
    "host_cpu_cores",
    "Cores that may be used: online ones, or the control group's quota where it is less.",
);
/// Load average over one minute.
pub static LOAD1: Metric = Metric::gauge("host_load1", "Load average over 1 minute.");
/// Load average over five minutes.
pub static LOAD5: Metric = Metric::gauge("host_load5", "Load average over 5 minutes.");
/// Load average over fifteen minutes.
pub static LOAD15: Metric = Metric::gauge("host_load15", "Load average over 15 minutes.");
/// When the machine was started.
pub static BOOT_TIME: Metric = Metric::gauge(
    "host_boot_time_seconds",
    "When the machine was started, in seconds since 1970.",
);
/// Physical memory.
pub static MEMORY_TOTAL: Metric =
    Metric::gauge("host_memory_total_bytes", "Physical memory of the machine.");
/// Memory that can be had without swapping.
pub static MEMORY_AVAILABLE: Metric = Metric::gauge(
    "host_memory_available_bytes",
    "Memory that programs can still have without swapping.",
);
/// Memory in use, page cache left out.
pub static MEMORY_USED: Metric = Metric::gauge(
    "host_memory_used_bytes",
    "Memory in use within host_memory_limit_bytes, page cache left out, shared memory counted.",
);
/// Memory that may be used.
pub static MEMORY_LIMIT: Metric = Metric::gauge(
    "host_memory_limit_bytes",
    "Memory that may be used: physical, or the control group's limit where it is less.",
);
/// Swap space.
pub static SWAP_TOTAL: Metric = Metric::gauge("host_swap_total_bytes", "Swap space.");
/// Swap space in use.
pub static SWAP_USED: Metric = Metric::gauge("host_swap_used_bytes", "Swap space in use.");
/// Size of a file system.
pub static FILESYSTEM_SIZE: Metric =
    Metric::gauge("host_filesystem_size_bytes", "Size of the file system.");
/// Bytes used on a file system.
pub static FILESYSTEM_USED: Metric = Metric::gauge(
    "host_filesystem_used_bytes",
    "Bytes in use on the file system.",
);
/// Bytes that an ordinary user can still write.
pub static FILESYSTEM_AVAILABLE: Metric = Metric::gauge(
    "host_filesystem_available_bytes",
    "Bytes that an ordinary user can still write to the file system.",
);
/// Bytes read from a device.
pub static DISK_READ: Metric = Metric::counter(
    "host_disk_read_bytes_total",
    "Bytes read from the block device.",
);
/// Bytes written to a device.
pub static DISK_WRITTEN: Metric = Metric::counter(
    "host_disk_written_bytes_total",
    "Bytes written to the block device.",
);
/// Time in which a device had work.
pub static DISK_IO: Metric = Metric::counter(
    "host_disk_io_seconds_total",
    "Time in which the block device had requests in flight, in seconds.",
)
.exact_to(0.001);
/// Whether a device spins, as the kernel takes it.
pub static DISK_ROTATIONAL: Metric = Metric::gauge(
    "host_disk_rotational",
    "1 if the kernel takes the block device for one that spins, else 0.",
);
/// Bytes received.
pub static NETWORK_RECEIVED: Metric = Metric::counter(
    "host_network_receive_bytes_total",
    "Bytes received through the interface.",
);
/// Bytes sent.
pub static NETWORK_TRANSMITTED: Metric = Metric::counter(
    "host_network_transmit_bytes_total",
    "Bytes sent through the interface.",
);
/// Line speed, where the kernel tells.
pub static NETWORK_SPEED: Metric = Metric::gauge(
    "host_network_speed_bytes",
    "Line speed of the interface in bytes per second, where the kernel tells.",
);
/// Time that tasks waited for a resource.
pub static PRESSURE: Metric = Metric::counter(
    "host_pressure_seconds_total",
    "Time in which some or all tasks waited for the resource, in seconds.",
)
.exact_to(1e-6);

/// All of them, in the order of `/metrics`.
pub(super) static ALL: &[&Metric] = &[
    &CPU_SECONDS,
    &CPU_BUSY,
    &CPU_CORES,
    &LOAD1,
    &LOAD5,
    &LOAD15,
    &BOOT_TIME,
    &MEMORY_TOTAL,
    &MEMORY_AVAILABLE,
    &MEMORY_USED,
    &MEMORY_LIMIT,
    &SWAP_TOTAL,
    &SWAP_USED,
    &FILESYSTEM_SIZE,
    &FILESYSTEM_USED,
    &FILESYSTEM_AVAILABLE,
    &DISK_READ,
    &DISK_WRITTEN,
    &DISK_IO,
    &DISK_ROTATIONAL,
    &NETWORK_RECEIVED,
    &NETWORK_TRANSMITTED,
    &NETWORK_SPEED,
    &PRESSURE,
];
