"""One run: its settings, its parts, its directory, its sessions."""
