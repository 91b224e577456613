"""Where statements run: connections, transactions, locks, the driver's errors."""
