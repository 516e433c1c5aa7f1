"""The objective that is minimized: terms, targets and tiles."""
