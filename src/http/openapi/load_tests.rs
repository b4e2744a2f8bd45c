//! Shapes of `/load-tests`, written as those of the parent.

/// Fields of each shape.
pub(super) const SHAPES: &[(&str, &str)] = &[
    ("LoadTestList", "items [LoadTestSummary]"),
    (
        "LoadTestSummary",
        "id text, scenarioName text, url text, startTime time, duration number, ended text, \
      passed flag, totalRequests whole, failedRequests whole, requestsPerSecond number, \
      p50 number?, p95 number?, p99 number?",
    ),
    (
        "LoadTestResults",
        "id text, scenarioName text, url text, startTime time, endTime time, duration number, \
      rateFactor number, timeFactor number, ended text, reason text?, passed flag, \
      thresholds [LoadTestThreshold], plannedRequests whole, totalRequests whole, \
      successfulRequests whole, failedRequests whole, waitedRequests whole, unsentRequests whole, \
      unfinishedRequests whole, maxInFlight whole, metrics LoadTestMetrics, \
      service LatencyMetrics, stages [LoadTestPart], endpoints [LoadTestPart], \
      timeline [LoadTestPoint], generator LoadGenerator, bottlenecks [PerformanceBottleneck], \
      notes [text]",
    ),
    (
        "LoadTestThreshold",
        "name text, limit number, actual number?, passed flag",
    ),
    (
        "LoadTestMetrics",
        "latency LatencyMetrics, throughput LoadTestThroughput, errors LoadTestErrors, \
      resources LoadTestResources",
    ),
    (
        "LatencyMetrics",
        "p50 number?, p75 number?, p90 number?, p95 number?, p99 number?, p999 number?, \
      min number?, max number?, avg number?",
    ),
    (
        "LoadTestThroughput",
        "requestsPerSecond number, bytesPerSecond number",
    ),
    ("LoadTestErrors", "total whole, byType any, rate number"),
    (
        "LoadTestResources",
        "cpu number?, memory number?, network number?, disk number?",
    ),
    (
        "LoadTestPart",
        "name text, plannedRate number?, requests whole, rate number, latency LatencyMetrics, \
      service LatencyMetrics, errors LoadTestErrors",
    ),
    (
        "LoadTestPoint",
        "at number, requests whole, failed whole, p50 number?, p99 number?, max number?",
    ),
    (
        "LoadGenerator",
        "latenessP50Ms number?, latenessP99Ms number?, latenessMaxMs number?, cpuRatio number?, \
      runQueueWaitRatio number?, connections whole, limited flag, says text",
    ),
];

/// What a field says beyond its name and type.
pub(super) const NOTES: &[(&str, &str, &str)] = &[
    (
        "LoadTestMetrics",
        "latency",
        "ms from the instant at which a request was due, so that a server that stalls shows",
    ),
    (
        "LoadTestResults",
        "service",
        "ms from sending on; leaves out what requests waited before",
    ),
    ("LoadTestResults", "ended", "finished, stopped or aborted"),
    (
        "LoadTestErrors",
        "byType",
        "counts by 4xx, 5xx, connect, timeout, reset, other, unsent",
    ),
    (
        "LoadTestResources",
        "cpu",
        "null: the server that is loaded is not looked at",
    ),
    (
        "LoadTestPoint",
        "at",
        "its end, in seconds after the start; requests count where they ended",
    ),
    (
        "LoadGenerator",
        "limited",
        "whether latencies say as much about the generator as about the server",
    ),
];
