"""SQLite: a connection per thread, transactions, the write gate, errors, query plans and files."""
