"""A warehouse in BigQuery: `warehouse.py` is the seam, the other modules are its parts."""
