//! Transaction ids: how old the oldest are, and who holds the horizon back.

use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "wraparound";

const HORIZON: Metric = Metric::gauge(
    "pg_xmin_horizon_age",
    "Transactions since the oldest snapshot that VACUUM must spare, by who holds it.",
)
.exact_to(1.0);
const PREPARED: Metric = Metric::gauge(
    "pg_prepared_transactions",
    "Prepared transactions that wait.",
)
.exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[&HORIZON, &PREPARED];

/// Reads the horizon. A holder without any snapshot is at 0.
pub(crate) async fn read(session: &mut Session) -> Result<Vec<Sample>> {
    let sql = format!(
        "select {MARKER} \
         (select max(age(backend_xmin)) from pg_stat_get_activity(null) \
          where pid <> pg_backend_pid() and backend_type <> 'walsender'), \
         (select max(age(backend_xmin)) from pg_stat_get_activity(null) \
          where backend_type = 'walsender'), \
         (select max(greatest(age(xmin), age(catalog_xmin))) from pg_replication_slots), \
         (select max(age(transaction)) from pg_prepared_xacts), \
         (select count(*) from pg_prepared_xacts)"
    );
    let mut out = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        for (column, holder) in ["session", "standby", "slot", "prepared"]
            .into_iter()
            .enumerate()
        {
            let labels = Labels::none().with("holder", holder);
            out.push(HORIZON.sample(labels, cells.number(column)?.unwrap_or(0.0)));
        }
        out.push(PREPARED.sample(Labels::none(), cells.number(4)?.unwrap_or(0.0)));
    }
    Ok(out)
}
