"""A language model as a bounded adviser: it may add words and raise caution, and it can do nothing else (law 7)."""
