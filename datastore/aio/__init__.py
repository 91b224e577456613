"""The store for asyncio: `datastore.aio.store.AsyncDatastore` calls the synchronous store on threads."""
