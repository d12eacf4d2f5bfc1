"""The console: two read-only pages, a queue of cases and one case with everything known and done about it."""
