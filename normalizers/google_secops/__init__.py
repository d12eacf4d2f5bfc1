"""Google SecOps (Chronicle): detections of rules, and single events of the unified data model."""
