"""The running product; the only layer that knows every other."""
