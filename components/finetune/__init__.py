"""Step: a generator is fine-tuned on a captioned dataset."""
