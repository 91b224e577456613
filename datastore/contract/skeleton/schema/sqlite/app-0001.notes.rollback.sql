-- LOSES DATA: every note.
DROP TABLE notes;
