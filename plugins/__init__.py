"""What is installed inside other products; it imports nothing of ours at runtime."""
