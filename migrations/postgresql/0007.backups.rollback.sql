-- LOSES DATA: which backups were made (the files stay), and when maintenance last ran.
DROP TABLE maintenance_tasks;

DROP TABLE backups;
