"""Pure data and how it is read: spans, traces, messages, usage. No thread, no store, no display."""
