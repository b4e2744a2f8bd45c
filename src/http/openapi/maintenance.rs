//! Shapes of writes to targets, written as in `openapi`.

/// Fields of each shape.
pub(super) const SHAPES: &[(&str, &str)] = &[
    (
        "Optimized",
        "success flag, message text, queueName text, jobId text, state text, vacuumed Vacuumed?",
    ),
    (
        "Vacuumed",
        "table text, before TableState, after TableState, tookMs whole, heldBy Holder?",
    ),
    (
        "TableState",
        "liveRows whole, deadRows whole, changedRows whole, tableBytes whole, indexBytes whole, \
      xidAge whole",
    ),
    (
        "Holder",
        "pid whole, application text, state text, openMs whole",
    ),
    (
        "DataArchivalPolicy",
        "table text, archiveAfterDays whole, archiveStrategy text, archiveDestination text?, \
      retentionDays whole?, enabled flag, column text?, batchRows whole, maxRows whole?",
    ),
    (
        "DataArchivalResult",
        "table text, recordsArchived whole, recordsDeleted whole, recordsExpired whole, \
      recordsLeft whole?, startTime time, endTime time, status text, errors [text], notes [text], \
      queueName text, jobId text, state text",
    ),
    (
        "ArchivalPreview",
        "table text, column text, before time, rows whole, referenced whole, bytes whole, \
      destination text?, makesDestination flag, notes [text]",
    ),
    ("AuditLog", "items [AuditEntry]"),
    (
        "AuditEntry",
        "at time, endedAt time?, by text, target text, role text, class text, table text, \
      what text, outcome any",
    ),
];

/// What a field says beyond its name and type.
pub(super) const NOTES: &[(&str, &str, &str)] = &[
    (
        "Optimized",
        "vacuumed",
        "null while the job is under way; GET /jobs/plimsoll/{jobId} has it then",
    ),
    (
        "Holder",
        "openMs",
        "whose open transaction keeps the dead rows that are left",
    ),
    (
        "DataArchivalResult",
        "recordsLeft",
        "old rows still there: referenced, locked or beyond maxRows; null where they cannot be counted in time",
    ),
];
