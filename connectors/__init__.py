"""One folder per vendor: how its alerts are fetched and its actions dispatched."""
