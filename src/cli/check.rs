//! `plimsoll check`.

use anyhow::bail;
use clap::Args;

use super::client::Client;
use super::output::{Format, json};
use super::{CRITICAL, FAILED, OK, Outcome, UNKNOWN, World, calls, findings, silence};
use crate::http::wire::TargetFindings;
use crate::model::finding::Severity;

/// Say what is wrong now, with the cure, and tell scripts by the exit code
///
/// Asks the running server. With connection strings it looks by itself, once, without a history:
/// then nothing is said about the future.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll check
  plimsoll check --target main
  plimsoll check --target postgres://plimsoll@db.example/app
  plimsoll check --explain index-bloat
  plimsoll check --silence unused-index:public.by_month --reason 'month-end report' --until 2027-03-31
  plimsoll check --unsilence unused-index:public.by_month
  plimsoll check --format json || mail -s 'database' dba@example.org

Exit codes: 0 nothing to mend, 1 warnings, 2 critical, 3 could not look")]
pub(super) struct Check {
    /// Name of a target of the running server, or a connection string to look at without one
    #[arg(long, value_name = "NAME|URL")]
    target: Vec<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// What a check means, what it needs and when it speaks; all for every check
    #[arg(long, value_name = "ID", conflicts_with_all = ["target", "silence", "unsilence"])]
    explain: Option<String>,
    /// Silence a finding; it is still counted. With --target on that one alone
    #[arg(long, value_name = "ID[:OBJECT]", requires_all = ["reason", "until"])]
    silence: Option<String>,
    /// Why it is silenced
    #[arg(long, requires = "silence")]
    reason: Option<String>,
    /// When it speaks again: a day or an instant
    #[arg(long, value_name = "DATE", requires = "silence")]
    until: Option<String>,
    /// Take a silence back, named as `plimsoll check` names it
    #[arg(long, value_name = "ID[:OBJECT][@TARGET]", conflicts_with = "silence")]
    unsilence: Option<String>,
}

pub(super) async fn run(command: &Check, world: &World<'_>) -> anyhow::Result<Outcome> {
    if let Some(id) = &command.explain {
        return silence::explain(id);
    }
    if let Some(id) = &command.unsilence {
        return silence::unsilence(id, world).await;
    }
    if let (Some(what), Some(reason), Some(until)) =
        (&command.silence, &command.reason, &command.until)
    {
        let target = command.target.first().map(String::as_str);
        let order = silence::Order {
            what,
            target,
            reason,
            until,
        };
        return silence::silence(&order, world).await;
    }
    let by_itself = command.target.iter().any(|target| target.contains('='))
        || command.target.iter().any(|target| target.contains("://"));
    let targets = if by_itself {
        let mut settings = world.settings.clone();
        settings.targets.clone_from(&command.target);
        let config = crate::config::load(&settings.flags(), world.environment)?;
        calls::check_once(&config).await?
    } else {
        let config = world.load()?;
        let mut all: Vec<TargetFindings> = Client::new(&config.socket())
            .json("/local/findings")
            .await?;
        if let Some(stranger) = stranger(&command.target, &all) {
            let known: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
            bail!(
                "there is no target {stranger:?}; one of {}",
                known.join(", ")
            );
        }
        all.retain(|target| command.target.is_empty() || command.target.contains(&target.name));
        all
    };
    let code = verdict(&targets);
    let text = match command.format {
        Format::Json => json(&targets)?,
        Format::Text => targets
            .iter()
            .map(|target| findings::shown(target, world.paint))
            .collect(),
    };
    Ok(Outcome {
        text: text.into_bytes(),
        code,
    })
}

fn stranger<'a>(asked: &'a [String], known: &[TargetFindings]) -> Option<&'a str> {
    let is_known = |name: &&String| known.iter().any(|target| target.name == **name);
    asked
        .iter()
        .find(|name| !is_known(name))
        .map(String::as_str)
}

/// The worst wins; a target that could not be looked at is worse than a warning, because nobody
/// knows what it hides.
fn verdict(targets: &[TargetFindings]) -> u8 {
    let severities = |target: &TargetFindings| {
        let findings = target.findings.iter().map(|finding| finding.severity);
        findings
            .chain(target.alerts.iter().map(|alert| alert.severity))
            .max()
    };
    let worst = targets.iter().filter_map(severities).max();
    let unseen = targets
        .iter()
        .any(|target| target.state == "down" || target.taken_at.is_none());
    match worst {
        Some(Severity::Critical) => CRITICAL,
        _ if unseen || targets.is_empty() => UNKNOWN,
        Some(Severity::Warning) => FAILED,
        _ => OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Finding;

    fn target(state: &str, looked: bool, severities: &[Severity]) -> TargetFindings {
        let finding = |severity: &Severity| Finding {
            id: "x".to_owned(),
            severity: *severity,
            title: "x".to_owned(),
            object: None,
            evidence: Vec::new(),
            advice: "x".to_owned(),
            cure: None,
        };
        TargetFindings {
            name: "t".to_owned(),
            state: state.to_owned(),
            reason: None,
            taken_at: looked.then(|| "2026-05-01T12:00:00Z".to_owned()),
            findings: severities.iter().map(finding).collect(),
            silenced: Vec::new(),
            alerts: Vec::new(),
            blind_spots: Vec::new(),
        }
    }

    #[test]
    fn the_worst_wins_and_an_unseen_target_hides_nothing_critical() {
        use Severity::{Critical, Info, Warning};
        assert_eq!(verdict(&[target("up", true, &[Info])]), OK);
        assert_eq!(verdict(&[target("up", true, &[Info, Warning])]), FAILED);
        assert_eq!(
            verdict(&[target("up", true, &[Warning, Critical])]),
            CRITICAL
        );
        assert_eq!(verdict(&[target("down", true, &[])]), UNKNOWN);
        assert_eq!(verdict(&[target("starting", false, &[])]), UNKNOWN);
        let mixed = [target("down", true, &[]), target("up", true, &[Critical])];
        assert_eq!(verdict(&mixed), CRITICAL);
        let mixed = [target("down", true, &[]), target("up", true, &[Warning])];
        assert_eq!(verdict(&mixed), UNKNOWN);
        assert_eq!(verdict(&[]), UNKNOWN);
    }
}
