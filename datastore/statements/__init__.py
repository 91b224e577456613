"""Named statements: read from .sql files by aiosql, checked, and compiled into fast functions."""
