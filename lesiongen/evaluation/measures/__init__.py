"""What is measured: one file for each entry of the report."""
