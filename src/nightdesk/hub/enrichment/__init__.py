"""Asks sources about what cases name, keeps what they answer, and says what is not known."""
