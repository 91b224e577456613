-- LOSES DATA: the vectors. `datastore embed` makes them again after the step is applied.
--
-- Locks: readers and writers of these tables wait until the rollback ends, for milliseconds.
LOCK TABLE message_vectors, learning_vectors, vector_cells, vector_indexes, messages, learnings IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER messages_vectors_update ON messages;

DROP FUNCTION datastore_forget_message_vector();

DROP TRIGGER learnings_vectors_update ON learnings;

DROP FUNCTION datastore_forget_learning_vector();

DROP TABLE message_vectors;

DROP TABLE learning_vectors;

DROP TABLE vector_cells;

DROP TABLE vector_indexes;
