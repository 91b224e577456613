"""``python -m datastore.cli``: the command without its console script."""

from datastore.cli import main

main()
