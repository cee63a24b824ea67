"""What happens while a program runs: spans are opened and ended, queued and handed to sinks."""
