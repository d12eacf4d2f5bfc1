"""The decision record for people: made again, shown whole, told in words and as a picture."""
