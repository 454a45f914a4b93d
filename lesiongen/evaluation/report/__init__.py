"""The report of an evaluation: sentences, figures and the page."""
