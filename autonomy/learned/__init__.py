"""The model at work: what is kept of a training, how a case is scored by it, and whether it still fits."""
