"""Learning from streams: an iterator of events that owns no process and no socket."""
