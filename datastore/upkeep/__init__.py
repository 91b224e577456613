"""Upkeep of a database: backups, free pages, the WAL, and remains of erased text. Each engine has its own upkeep."""
