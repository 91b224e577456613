"""Database engines: connections, transactions, locks and driver errors."""
