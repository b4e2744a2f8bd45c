//! Marks of deploys: what statements took is compared with what they took before.

use crate::model::ranking::Deploy;
use crate::store::{Result, Store};

const KIND: &str = "deploy";
/// Marks that are kept; older ones go.
const KEPT_MAX: usize = 500;
/// Longest name, in characters.
pub const NAME_MAX: usize = 200;

/// Keeps a mark; the oldest go when there are too many.
///
/// # Errors
/// When the record cannot be written.
pub fn mark(store: &Store, deploy: &Deploy) -> Result<()> {
    let records = store.records();
    records.put(KIND, &id(deploy), deploy)?;
    let all = list(store)?;
    for old in all.iter().take(all.len().saturating_sub(KEPT_MAX)) {
        records.delete(KIND, &id(old))?;
    }
    Ok(())
}

/// All marks, oldest first.
///
/// # Errors
/// When the records cannot be read.
pub fn list(store: &Store) -> Result<Vec<Deploy>> {
    let records = store.records().list::<Deploy>(KIND)?;
    Ok(records.into_iter().map(|(_, deploy)| deploy).collect())
}

/// Records are listed by name, so a name begins with the time.
fn id(deploy: &Deploy) -> String {
    let at = deploy.at.as_millis().max(0);
    // Two deploys in one millisecond are two.
    let name: String = deploy.name.chars().take(NAME_MAX / 4).collect();
    format!("{at:015}-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Timestamp;
    use crate::store::Options;

    #[test]
    fn marks_come_back_in_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        for (name, at) in [("b", 2_000_000_000_000), ("a", 900), ("c", 900)] {
            let deploy = Deploy {
                name: name.to_owned(),
                at: Timestamp::from_millis(at),
            };
            mark(&store, &deploy).unwrap();
        }
        let names: Vec<String> = list(&store).unwrap().into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["a", "c", "b"]);
    }
}
