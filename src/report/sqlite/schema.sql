-- The archive's schema, format 1. Times are UTC milliseconds since 1970; to read one:
--   SELECT datetime(made_at_ms / 1000, 'unixepoch') FROM projections;
-- Values are in the resource's unit: cores, bytes, bytes per second, connections.
-- Reading an archive back uses `documents` and `series` with `history`; the other tables say the
-- same for a person with any SQLite tool.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,  -- format_version, generator, made_at, documents_crc32
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE documents (
    name TEXT PRIMARY KEY,   -- `report`: everything that a report shows, as JSON
    json TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE targets (
    target         TEXT PRIMARY KEY,
    server_version TEXT,
    database       TEXT,
    in_recovery    INTEGER,
    reach          TEXT NOT NULL,   -- starting, up, or why it does not answer
    data_from_ms   INTEGER,
    data_until_ms  INTEGER,
    series         INTEGER NOT NULL,
    samples        INTEGER NOT NULL
);

CREATE TABLE projections (
    target               TEXT NOT NULL,
    resource             TEXT NOT NULL,
    made_at_ms           INTEGER NOT NULL,
    usage                REAL,
    limit_value          REAL,
    limit_origin         TEXT,
    utilisation          REAL,
    growth_per_day       REAL,
    method               TEXT,
    backtest_mae         REAL,
    backtest_coverage80  REAL,
    confidence           TEXT,
    act_by_ms            INTEGER,
    standing             TEXT NOT NULL,
    action               TEXT NOT NULL,
    synthetic_from_ms    INTEGER,         -- made-up history, where there is any
    synthetic_until_ms   INTEGER,
    PRIMARY KEY (target, resource)
);

CREATE TABLE crossings (
    target      TEXT NOT NULL,
    resource    TEXT NOT NULL,
    name        TEXT NOT NULL,           -- warn, critical, limit
    threshold   REAL NOT NULL,
    probability REAL NOT NULL,
    p10_ms      INTEGER,
    p50_ms      INTEGER,
    p90_ms      INTEGER,
    crossed     INTEGER NOT NULL
);

CREATE TABLE forecast_points (
    target   TEXT NOT NULL,
    resource TEXT NOT NULL,
    at_ms    INTEGER NOT NULL,
    mean     REAL NOT NULL,
    lo50     REAL, hi50 REAL,
    lo80     REAL, hi80 REAL,
    lo95     REAL, hi95 REAL,
    PRIMARY KEY (target, resource, at_ms)
) WITHOUT ROWID;

CREATE TABLE findings (
    finding  INTEGER PRIMARY KEY,
    target   TEXT NOT NULL,
    id       TEXT NOT NULL,
    severity TEXT NOT NULL,
    title    TEXT NOT NULL,
    object   TEXT,
    advice   TEXT NOT NULL,
    cure_sql TEXT,
    lock     TEXT
);

CREATE TABLE evidence (
    finding INTEGER NOT NULL REFERENCES findings (finding),
    label   TEXT NOT NULL,
    value   TEXT NOT NULL
);

CREATE TABLE bottlenecks (
    target         TEXT NOT NULL,
    component      TEXT NOT NULL,
    severity       TEXT NOT NULL,
    description    TEXT NOT NULL,
    impact         TEXT NOT NULL,
    recommendation TEXT NOT NULL
);

CREATE TABLE alerts (
    target    TEXT NOT NULL,
    resource  TEXT NOT NULL,
    severity  TEXT NOT NULL,
    message   TEXT NOT NULL,
    at_ms     INTEGER NOT NULL
);

CREATE TABLE blind_spots (
    target TEXT NOT NULL,
    what   TEXT NOT NULL,
    why    TEXT NOT NULL,
    cure   TEXT NOT NULL
);

CREATE TABLE statements (
    target          TEXT NOT NULL,
    query_id        INTEGER NOT NULL,
    query           TEXT NOT NULL,
    calls           INTEGER NOT NULL,
    total_exec_time REAL NOT NULL,       -- ms
    mean_exec_time  REAL NOT NULL
);

CREATE TABLE series (
    series   INTEGER PRIMARY KEY,
    target   TEXT NOT NULL,
    name     TEXT NOT NULL,              -- metric{label="value"}
    key      TEXT NOT NULL,              -- the same as JSON
    kind     TEXT NOT NULL,              -- counter or gauge
    start_ms INTEGER NOT NULL,
    step_ms  INTEGER NOT NULL,
    steps    INTEGER NOT NULL
);

-- A step without a row is a gap.
CREATE TABLE history (
    series INTEGER NOT NULL REFERENCES series (series),
    step   INTEGER NOT NULL,
    value  REAL NOT NULL,
    PRIMARY KEY (series, step)
) WITHOUT ROWID;

CREATE VIEW history_readable AS
SELECT s.target, s.name, h.value,
       datetime((s.start_ms + h.step * s.step_ms) / 1000, 'unixepoch') AS at_utc
  FROM history h JOIN series s USING (series);
