"""Data that leaves, and data that stays: backups, verification, maintenance."""
