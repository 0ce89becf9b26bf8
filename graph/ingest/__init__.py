"""Files in, rows of the store out: a mapping file says what is what, bad rows are set aside with line and reason."""
