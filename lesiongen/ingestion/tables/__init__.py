"""Tables of every kind as streams of rows."""
