"""The pixel loop and its methods. Nothing here knows about styles."""
