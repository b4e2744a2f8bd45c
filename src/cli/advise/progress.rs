//! How far advice is, on the terminal's error side; nothing where that is no terminal.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

pub(super) use crate::cli::output::line;
use crate::work::advise::{Progress, Told};

/// Tells on a terminal, else nobody.
pub(super) fn teller() -> Told {
    if !io::stderr().is_terminal() {
        return Told::nobody();
    }
    Told(Arc::new(|progress| line(&words(progress))))
}

/// Takes the last line away.
pub(super) fn over() {
    if io::stderr().is_terminal() {
        line("");
    }
}

fn words(progress: &Progress) -> String {
    match progress {
        Progress::Planning { statements } => format!("planning {statements} statements"),
        Progress::Sampling { tables } => format!("looking at rows of {tables} tables"),
        Progress::Found {
            explains,
            cost_ratio,
        } => format!(
            "{explains} plans: {:.1} % of the cost is left; better is looked for",
            cost_ratio * 100.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_says_how_far_it_is() {
        let found = Progress::Found {
            explains: 120,
            cost_ratio: 0.5,
        };
        assert_eq!(
            words(&found),
            "120 plans: 50.0 % of the cost is left; better is looked for"
        );
    }
}
