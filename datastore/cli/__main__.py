"""``python -m datastore.cli``: runs the command without the console script."""

from datastore.cli import main

main()
