"""An evaluation as a page: one HTML file that opens from disk and needs nothing beside it, and its pictures."""
