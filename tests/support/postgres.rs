//! A private server, thrown away with the test.

use std::path::{Path, PathBuf};

use plimsoll::demo::cluster::{Binaries, Cluster, ClusterOptions, find_binaries};
use plimsoll::work::with_causes;
use tokio::sync::OnceCell;

/// Which server version a test wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Major {
    /// Whatever the distribution gives, or the first on `PATH`.
    Distribution,
    /// The oldest that is supported.
    Thirteen,
    /// The newest that is supported.
    Eighteen,
}

impl Major {
    /// All of them, for tests that must hold on each.
    pub(crate) const ALL: [Self; 3] = [Self::Distribution, Self::Thirteen, Self::Eighteen];

    /// The programs, or why there are none. Which folders: `packaging/install-tools.sh test`.
    pub(crate) fn binaries(self) -> Result<Binaries, String> {
        let built = |major: &str| {
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/postgres/{major}/bin"))
        };
        let found = match self {
            Self::Distribution => {
                let mut folders = search_path();
                folders.retain(|folder| folder.join("initdb").is_file());
                find_binaries(&folders).or_else(|_| Binaries::in_folder(&built("18")))
            }
            Self::Thirteen => Binaries::in_folder(&built("13")),
            Self::Eighteen => Binaries::in_folder(&built("18")),
        };
        found.map_err(|error| format!("{self:?}: {error}; or run packaging/install-tools.sh test"))
    }

    /// The programs; `None` after saying that the test is skipped.
    ///
    /// Panics with `REQUIRE_POSTGRES=1`.
    pub(crate) fn binaries_or_skip(self) -> Option<Binaries> {
        match self.binaries() {
            Ok(binaries) => Some(binaries),
            Err(reason) if required() => panic!("REQUIRE_POSTGRES is set, but {reason}"),
            Err(reason) => {
                super::skipped(&reason);
                None
            }
        }
    }
}

/// Starts a server of its own for one test; `None` after saying that the test is skipped.
///
/// It does not wait for the disk, which no test of ours is about.
pub(crate) async fn start(major: Major) -> Option<Cluster> {
    start_with(major, &[]).await
}

/// As [`start`], with further settings.
pub(crate) async fn start_with(major: Major, settings: &[(&str, &str)]) -> Option<Cluster> {
    let binaries = major.binaries_or_skip()?;
    let mut options = ClusterOptions::new(binaries)
        .with("fsync", "off")
        .with("synchronous_commit", "off");
    for (name, value) in settings {
        options = options.with(name, value);
    }
    match Cluster::start(options).await {
        Ok(cluster) => Some(cluster),
        Err(error) => panic!("the test server did not start: {}", with_causes(&error)),
    }
}

/// One server of the distribution's version for all tests of a binary, which saves seconds each.
///
/// Tests share it by making a database each. It ends with the process.
pub(crate) async fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceCell<Option<Cluster>> = OnceCell::const_new();
    SHARED
        .get_or_init(|| start(Major::Distribution))
        .await
        .as_ref()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test run is configured by the environment"
)]
fn required() -> bool {
    std::env::var("REQUIRE_POSTGRES").is_ok_and(|value| value == "1")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test run is configured by the environment"
)]
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}
