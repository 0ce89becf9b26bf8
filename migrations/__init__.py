"""Alembic revisions; a package of the wheel, so that an admin needs no checkout."""
