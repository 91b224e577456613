"""Checks of what the .sql files promise, against the schema that the migrations make; needs the extra ``check``."""
