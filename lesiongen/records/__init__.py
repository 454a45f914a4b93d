"""The typed documents that one stage writes and another reads, each with its reader."""
