//! Power cuts: what was acknowledged is on the disk, not only on its way there.
#![expect(
    clippy::disallowed_methods,
    reason = "CI says by environment that it is CI"
)]

use std::process::Command;

/// Exit code of `power_cut.py` where the machine cannot mount a loop device.
const CANNOT_MOUNT: i32 = 77;

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/power_cut.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .args(["--rounds", "6"])
        .output();
    let (code, text) = match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.code(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        }
        Err(error) => (Some(CANNOT_MOUNT), error.to_string()),
    };
    if code == Some(CANNOT_MOUNT) && std::env::var("CI").is_err() {
        eprintln!("SKIPPED: no power was cut on this machine: {text}");
        return;
    }
    assert_eq!(code, Some(0), "{text}");
}
