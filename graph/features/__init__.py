"""What the catalog says of items, as columns that a net can read: numbers, labels, text and vectors."""
