"""Import a file's conversations and learnings into a store, in repeatable batches."""

from datastore.importing.batches import Progress, import_file
from datastore.importing.report import MAX_KEPT, ImportReport

__all__ = ["MAX_KEPT", "ImportReport", "Progress", "import_file"]
