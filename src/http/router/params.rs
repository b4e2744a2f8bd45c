//! Parameters that several routes take.

use super::Param;

pub(super) const TARGET: Param = Param {
    name: "target",
    place: "query",
    about: "name of the target; default: the first in order of name",
};
pub(super) const WINDOW: Param = Param {
    name: "window",
    place: "query",
    about: "how far back, 1m to 366d, such as 24h; default 1h, of one statement 24h",
};
pub(super) const DATABASE: Param = Param {
    name: "database",
    place: "query",
    about: "only statements of this database; with window alone",
};
pub(super) const ROLE: Param = Param {
    name: "role",
    place: "query",
    about: "only statements of this role; with window alone",
};
pub(super) const MONTHS: Param = Param {
    name: "months",
    place: "query",
    about: "months ahead, 1 to 24; default 6",
};
pub(super) const STEP: Param = Param {
    name: "step",
    place: "query",
    about: "month (default) or day: the distance of projections",
};
pub(super) const BEFORE: Param = Param {
    name: "before",
    place: "query",
    about: "a date such as 2027-01-31: each threshold then has probabilityBefore",
};
pub(super) const RESOURCE: Param = Param {
    name: "resource",
    place: "query",
    about: "cpu, memory, storage, bandwidth, database, connections, or all (default)",
};
/// A scenario as terms of a query.
pub(super) const SCENARIO: &[Param] = &[
    RESOURCE,
    Param {
        name: "growth",
        place: "query",
        about: "growth on top of the present level, times this, 0 to 1000",
    },
    Param {
        name: "load",
        place: "query",
        about: "all of the load, times this, 0 to 1000; storage and databases then fill faster",
    },
    Param {
        name: "season",
        place: "query",
        about: "FACTOR or FACTOR@DATE: seasons swing so much farther",
    },
    Param {
        name: "event",
        place: "query",
        about: "FACTOR@FROM..TO, several with commas: the load between two dates",
    },
    Param {
        name: "migration",
        place: "query",
        about: "AMOUNT or AMOUNT@DATE, several with commas: comes for good, with a minus goes",
    },
    Param {
        name: "archive",
        place: "query",
        about: "PERCENT or PERCENT@DATE, several with commas: that share of the level is freed",
    },
    Param {
        name: "limit",
        place: "query",
        about: "another limit, such as 2TB; for one resource",
    },
    MONTHS,
    STEP,
    BEFORE,
    TARGET,
];
const QUERY: Param = Param {
    name: "query",
    place: "query",
    about: "the expression, in PromQL",
};
pub(super) const SELECTORS: Param = Param {
    name: "match[]",
    place: "query",
    about: "a selector, such as x{a=\"b\"}; may come several times",
};
pub(super) const START: Param = Param {
    name: "start",
    place: "query",
    about: "seconds since 1970, or RFC 3339; only what had a value since",
};
pub(super) const INSTANT: &[Param] = &[
    QUERY,
    Param {
        name: "time",
        place: "query",
        about: "seconds since 1970, or RFC 3339; default: now",
    },
];
pub(super) const RANGE: &[Param] = &[
    QUERY,
    Param {
        name: "start",
        place: "query",
        about: "first instant: seconds since 1970, or RFC 3339",
    },
    Param {
        name: "end",
        place: "query",
        about: "last instant",
    },
    Param {
        name: "step",
        place: "query",
        about: "seconds, or a length such as 5m; at most 11000 steps",
    },
];
pub(super) const WHICH: &[Param] = &[SELECTORS, START];
