"""PostgreSQL: the connection pool, transactions, settings, errors and query plans."""
