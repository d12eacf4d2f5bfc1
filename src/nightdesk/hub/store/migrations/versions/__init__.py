"""Each step as it was on its day; a released one is never changed."""
