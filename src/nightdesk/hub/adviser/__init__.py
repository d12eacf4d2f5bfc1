"""The optional adviser at work: whom it is, what it was asked, and what came of it."""
