"""A made-up shop with planted interests, drift, bursts, seasons and dirt, and the truth about it beside the files."""
