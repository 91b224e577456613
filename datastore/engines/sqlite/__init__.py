"""SQLite: the connection of each thread, transactions, the write gate, errors, plans, files."""
