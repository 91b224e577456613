"""PostgreSQL: the pool, transactions, settings, errors, plans."""
