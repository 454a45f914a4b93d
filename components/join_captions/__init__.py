"""Step: the parts of a captioned dataset become one."""
