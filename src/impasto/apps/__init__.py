"""What people touch: the command line. Nothing in the core imports from here."""
