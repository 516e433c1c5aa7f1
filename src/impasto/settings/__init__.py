"""Every option, declared once; nothing here imports torch."""
