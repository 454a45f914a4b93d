"""One reader for each public collection, and what several of them share."""
