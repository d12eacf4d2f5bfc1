"""Earned autonomy at work: cases scored as they come, the model trained from what people judged, and watched."""
