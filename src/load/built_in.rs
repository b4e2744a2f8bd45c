//! The five scenarios of the specification, compiled in from `data/scenarios`.

macro_rules! scenario {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/data/scenarios/",
                $name,
                ".toml"
            )),
        )
    };
}

const ALL: [(&str, &str); 5] = [
    scenario!("baseline-performance"),
    scenario!("stress-test"),
    scenario!("spike-test"),
    scenario!("endurance-test"),
    scenario!("api-focused"),
];

/// Names of the built-in scenarios.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The file of a built-in scenario, as it would be written.
pub fn text(name: &str) -> Option<&'static str> {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{pace, read};

    #[test]
    fn the_five_scenarios_have_the_arrivals_of_the_specification() {
        // Arrivals in all, seconds in all, and the highest rate.
        for (name, arrivals, seconds, peak) in [
            ("baseline-performance", 5_100, 300, 25.0),
            ("stress-test", 48_000, 600, 200.0),
            ("spike-test", 17_400, 300, 250.0),
            ("endurance-test", 166_500, 3_600, 50.0),
            ("api-focused", 15_000, 300, 50.0),
        ] {
            let scenario = read(name, text(name).unwrap()).unwrap();
            assert_eq!(scenario.name, name);
            assert_eq!(scenario.duration().0, seconds * 1_000, "{name}");
            assert!((scenario.peak_rate() - peak).abs() < 1e-9, "{name}");
            let schedule = pace::Schedule::of(&scenario.stages);
            assert_eq!(schedule.total(), arrivals, "{name}");
        }
        assert_eq!(names().count(), 5);
        assert_eq!(text("banana"), None);
    }
}
