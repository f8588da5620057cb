"""How a run is launched, read and published: options, plan, graph, tables and warehouses."""

__version__ = "1.0.0"
