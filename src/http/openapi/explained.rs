//! Shapes of an explained statement, written as those of the parent.

/// Fields of each shape.
pub(super) const SHAPES: &[(&str, &str)] = &[
    (
        "QueryOptimizationResult",
        "target text, query text, executionTime number?, planTime number?, roundTripMs number, \
      totalCost number, rows number, analyzed flag, notRun text?, parameters QueryParameters, \
      plan QueryExecutionPlan, buffers PlanBuffers?, rowsRemovedByFilter number?, \
      misestimateFactor number?, predictedTime PredictedTime?, predictedTimeBasis text, \
      jit PlanJit?, recommendations [QueryRecommendation], suggestedIndexes [SuggestedIndex], \
      indexBasis text",
    ),
    ("QueryParameters", "count whole, basis text, types [text]"),
    (
        "QueryExecutionPlan",
        "nodeType text, relation text?, schema text?, alias text?, indexName text?, \
      parentRelationship text?, subplanName text?, cteName text?, joinType text?, strategy text?, \
      startupCost number, totalCost number, planRows number, planWidth number, \
      actualTime number?, actualRows number?, actualLoops number?, exclusiveCost number, \
      exclusiveTime number?, share number, misestimateFactor number?, \
      rowsRemovedByFilter number?, buffers PlanBuffers?, spill PlanSpill?, workersPlanned whole?, \
      workersLaunched whole?, heapFetches number?, conditions [PlanCondition], sortKey [text], \
      groupKey [text], plans [QueryExecutionPlan]",
    ),
    ("PlanCondition", "kind text, text text"),
    (
        "PlanBuffers",
        "sharedHit number, sharedRead number, sharedDirtied number, tempRead number, \
      tempWritten number",
    ),
    ("PlanSpill", "method text, bytes number, batches number?"),
    ("PlanJit", "functions number, totalMs number?"),
    (
        "PredictedTime",
        "ms number, lowMs number, highMs number, level number, statements whole, \
      errorFactor number",
    ),
    (
        "QueryRecommendation",
        "type text, rule text, description text, impact text, implementation text?, \
      columns [text], proof CostProof?",
    ),
    ("CostProof", "costBefore number, costAfter number"),
    (
        "SuggestedIndex",
        "ddl text, predictedCost number?, predictedSize whole?, costBefore number?, \
      costWithout number?, reason text",
    ),
    ("QueryQuestion", "query text, params [any]?, analyze flag?"),
];

/// What a field says beyond its name and type.
pub(super) const NOTES: &[(&str, &str, &str)] = &[
    (
        "QueryOptimizationResult",
        "executionTime",
        "ms, the server's own figure; null where the statement was only planned, see notRun",
    ),
    (
        "QueryOptimizationResult",
        "predictedTime",
        "from the planner's cost and what this server's own statements took; null where predictedTimeBasis says why",
    ),
    (
        "QueryParameters",
        "basis",
        "none, given, generic (a plan for any values) or sampled (values that the columns have)",
    ),
    (
        "QueryExecutionPlan",
        "exclusiveCost",
        "what the node costs the statement without those below; all of them sum to totalCost of the root",
    ),
    (
        "QueryRecommendation",
        "type",
        "index, rewrite, partition or denormalize",
    ),
    ("QueryRecommendation", "impact", "high, medium or low"),
    (
        "QueryQuestion",
        "analyze",
        "run it too; left out: where explain.analyze allows it and it calls nothing that might do more than read",
    ),
];
