//! Which partitioned table or index a partition belongs to: advice on one of thousands is for all.
//!
//! Read when a partition is new, and else once in [`ROUND`] cycles; nothing is opened.

use std::collections::HashMap;

use super::tables::FIRST_USER_OID;
use crate::model::database::Parent;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "partitions";

/// Cycles between two readings where nothing new came.
const ROUND: u64 = 60;
/// Levels of partitions of partitions that are climbed.
const LEVELS_MAX: usize = 32;

/// The topmost parent of each partition.
#[derive(Debug, Default)]
pub(crate) struct Parents(HashMap<u32, Parent>);

impl Parents {
    /// Reads all of them again, if one of `children` is new or it is time to.
    pub(crate) async fn refresh(
        &mut self,
        session: &mut Session,
        children: &[u32],
        cycle: u64,
    ) -> Result<()> {
        let is_known = children.iter().all(|oid| self.0.contains_key(oid));
        if children.is_empty() || (is_known && !cycle.is_multiple_of(ROUND)) {
            return Ok(());
        }
        let sql = format!(
            "select {MARKER} inhrelid, inhparent from pg_inherits \
             where inhparent >= {FIRST_USER_OID}"
        );
        let mut above: HashMap<u32, u32> = HashMap::new();
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            above.insert(cells.get(0)?, cells.get(1)?);
        }
        let sql = format!(
            "select {MARKER} c.oid, n.nspname::text, c.relname::text from pg_class c \
             join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('p', 'I')"
        );
        let mut names: HashMap<u32, Parent> = HashMap::new();
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            let parent = Parent {
                oid: cells.get(0)?,
                schema: cells.text(1)?,
                name: cells.text(2)?,
            };
            names.insert(parent.oid, parent);
        }
        let root = |child: &u32| {
            let mut levels = std::iter::successors(above.get(child), |oid| above.get(oid));
            let top = levels.by_ref().take(LEVELS_MAX).last()?;
            Some((*child, names.get(top)?.clone()))
        };
        self.0 = children.iter().filter_map(root).collect();
        Ok(())
    }

    /// The topmost parent of one; `None` where it is no partition.
    pub(crate) fn of(&self, oid: u32) -> Option<&Parent> {
        self.0.get(&oid)
    }
}
