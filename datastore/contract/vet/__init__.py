"""The vet rules: what a statement that prepares may still do wrong."""
