"""What travels: messages, the tick frame, codecs, settings and errors. Plain data, no I/O."""
