"""The process that paints the studio's jobs."""
