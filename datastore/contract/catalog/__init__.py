"""The DBA's catalogue of a project: Markdown pages and one HTML file, from the facts that the check gathers."""
