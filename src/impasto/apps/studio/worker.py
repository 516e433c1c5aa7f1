"""The worker: a process of its own that paints one job after the other."""
