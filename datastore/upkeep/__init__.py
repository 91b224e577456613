"""Upkeep of a database: backups, free pages, the WAL, and what is left of erased text. Each engine has its own."""
