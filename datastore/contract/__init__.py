"""The contract of a project's statements, checked against the schema that its migrations make. Never imported by a store."""
