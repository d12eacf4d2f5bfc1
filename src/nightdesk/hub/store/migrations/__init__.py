"""The schema's history: one module a step, run in order by ``Store.open``."""
