"""What users call: spans by hand, search, feedback, datasets."""
