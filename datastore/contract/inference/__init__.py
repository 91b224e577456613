"""Result columns, numbers of rows and orders of statements, worked out from the schema without running them."""
