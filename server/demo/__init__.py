"""`penchant demo`: a retailer's year through the same commands and calls that a user would type."""
