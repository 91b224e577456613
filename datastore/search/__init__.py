"""Search without a database: analysis of texts, query syntax, ranking, marking. No driver, no SQL."""
