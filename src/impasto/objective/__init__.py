"""What is minimized: terms, targets and tiles."""
