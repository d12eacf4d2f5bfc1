"""The normaliser engine: ids, object builders, mapping compiler, bundles."""
