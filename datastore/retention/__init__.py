"""Retention and erasure: policies, the data of a subject, receipts and tombstones."""
