//! Named points at which a test may end the process, to see what survives.
//!
//! For: the crash harness in `tests/store`. Not for: anything at run time; in a release build
//! `hit` is empty and `arm` does not exist. Read [`NAMES`] for the points.

/// All points, in the order in which a scrape passes them on its way to rest.
pub const NAMES: &[&str] = &[
    "before_wal_write",
    "mid_wal_frame",
    "after_wal_write",
    "before_wal_rotate",
    "after_wal_rotate",
    "before_batch",
    "after_batch",
    "between_phases",
    "after_flush",
    "after_fdatasync",
    "before_sealed_mark",
    "before_wal_delete",
    "after_wal_delete",
];

#[cfg(debug_assertions)]
static ARMED: std::sync::Mutex<Option<(String, u64)>> = std::sync::Mutex::new(None);

/// Ends the process at the `nth` pass (1 is the first) of the point `name`.
#[cfg(debug_assertions)]
pub fn arm(name: &str, nth: u64) {
    *ARMED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = Some((name.to_owned(), nth.max(1)));
}

/// Whether the next pass of `name` ends the process: lets a caller leave work half done first.
#[cfg(debug_assertions)]
pub(super) fn is_next(name: &str) -> bool {
    let armed = ARMED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    matches!(&*armed, Some((wanted, 1)) if wanted == name)
}

/// Whether the next pass of `name` ends the process: never, in a release build.
#[cfg(not(debug_assertions))]
pub(super) fn is_next(_name: &str) -> bool {
    false
}

/// Passes the point `name`.
#[cfg(debug_assertions)]
pub(super) fn hit(name: &str) {
    debug_assert!(NAMES.contains(&name), "{name} is no failpoint");
    let mut armed = ARMED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((wanted, left)) = armed.as_mut()
        && wanted == name
    {
        *left -= 1;
        if *left == 0 {
            std::process::abort();
        }
    }
}

/// Passes the point `name`: nothing, in a release build.
#[cfg(not(debug_assertions))]
pub(super) fn hit(_name: &str) {}
