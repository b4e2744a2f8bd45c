//! Which of the tables in a plan are partitions, of what, and how many there are.

use tokio_postgres::types::Type;

use super::WhatIf;
use crate::model::explain::Partition;
use crate::postgres::read::Cells;
use crate::postgres::{Error, Result};

/// From each leaf up to the top; what is above is short.
const PARTITIONS: &str = "\
    with recursive up as ( \
      select c.oid leaf, w.s, w.t, i.inhparent top \
      from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) w(s, t) \
      join pg_catalog.pg_namespace n on n.nspname = w.s \
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.t and c.relispartition \
      join pg_catalog.pg_inherits i on i.inhrelid = c.oid \
      union all \
      select u.leaf, u.s, u.t, i.inhparent from up u \
      join pg_catalog.pg_inherits i on i.inhrelid = u.top), \
    tops as (select u.leaf, u.s, u.t, u.top from up u \
      where not exists (select from pg_catalog.pg_inherits i where i.inhrelid = u.top)), \
    sizes as materialized (select d.top, \
      (select count(*) from pg_catalog.pg_partition_tree(d.top) p where p.isleaf) leaves \
      from (select distinct t.top from tops t) d) \
    select /* plimsoll */ t.s, t.t, \
      pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
      pg_catalog.pg_get_partkeydef(t.top), \
      z.leaves \
    from tops t join sizes z on z.top = t.top join pg_catalog.pg_class c on c.oid = t.top \
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace";

impl WhatIf {
    /// Those of the tables (schema, name) that are partitions.
    ///
    /// # Errors
    /// Those of the server or the line.
    pub async fn partitions(&self, names: &[(String, String)]) -> Result<Vec<Partition>> {
        let Some(backend) = self.backends.first() else {
            return Err(Error::NotConnected);
        };
        let schemas: Vec<&str> = names.iter().map(|(schema, _)| schema.as_str()).collect();
        let tables: Vec<&str> = names.iter().map(|(_, table)| table.as_str()).collect();
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&schemas, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)];
        let rows = backend
            .lock()
            .await
            .rows("partitions", PARTITIONS, &params)
            .await?;
        let read = rows.iter().map(|row| {
            let cells = Cells::new("partitions", row);
            Ok(Partition {
                schema: cells.text(0)?,
                name: cells.text(1)?,
                parent: cells.text(2)?,
                key: cells.text(3)?,
                siblings: usize::try_from(cells.count(4)?).unwrap_or(usize::MAX),
            })
        });
        read.collect()
    }
}
