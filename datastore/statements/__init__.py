"""The named statements: read from .sql files by aiosql, checked, and made into fast functions."""
