//! Ten thousand partitions: looked at, advised on and explained, each with a clear answer.

use std::time::Duration;

use plimsoll::advise::checks::{self, Thresholds};
use plimsoll::work::advise::{Workload, of_target};

use crate::advise::{options, request};
use crate::explain::Stage;
use crate::{later, superuser};

const PARTITIONS: usize = 10_000;

/// A hundred tables of a hundred parts each, so that making them takes seconds.
const PARTS: &str = "\
    create table part (id int, zip int) partition by range (id);; \
    do $$ begin for i in 0..99 loop \
      execute format('create table part_%s partition of part for values from (%s) to (%s) \
        partition by range (id)', i, i * 100, i * 100 + 100); \
      for j in 0..99 loop \
        execute format('create table part_%s_%s partition of part_%s for values from (%s) to (%s)', \
          i, j, i, i * 100 + j, i * 100 + j + 1); \
      end loop; commit; \
    end loop; end $$;; \
    insert into part select g % 10000, g from generate_series(1, 30000) g;; analyze part";

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_partitions_have_a_clear_answer_everywhere() {
    for major in [15, 18] {
        let Some(stage) = Stage::set(major).await else {
            continue;
        };
        stage.run(PARTS).await;
        let mut observer = superuser(&stage.server);
        observer.scrape(later(0)).await.unwrap();
        let (_, snapshot) = observer.catalog(later(0)).await.unwrap();
        assert!(
            snapshot.tables.len() >= PARTITIONS,
            "{}",
            snapshot.tables.len()
        );
        let found = checks::run(&snapshot, &Thresholds::default());
        // One finding for a table, not one for each of its parts.
        let objects = found.iter().filter_map(|f| f.object.as_deref());
        let of_parts = objects.filter(|object| object.contains("part"));
        assert!(of_parts.count() < 20, "{found:?}");

        let file = "select * from part where zip = 3;".to_owned();
        let mut request = request(Workload::File(file));
        request.time = Duration::from_secs(2);
        let advice = of_target("t", &options(&stage.server), request).await;
        let advice = advice.unwrap();
        assert!(advice.skipped.is_empty(), "{:?}", advice.skipped);
        assert!(advice.cost_before > 0.0 && advice.cost_after <= advice.cost_before);

        let analyst = stage.analyst("postgres", &[]);
        let query = "select count(*) from part where zip = 3";
        let analysis = crate::explain::told(&analyst, query).await;
        let all = format!("all {PARTITIONS} partitions of public.part are read");
        let said = analysis.recommendations.iter();
        assert!(
            said.clone().any(|one| one.description.contains(&all)),
            "{:?}",
            said.map(|one| &one.description).collect::<Vec<_>>()
        );
        // Where one of them is enough, no other is spoken of.
        let one = crate::explain::told(&analyst, "select * from part where id = 77").await;
        assert_eq!(one.plan.nodes().len(), 1, "{:?}", one.plan);
    }
}
