"""How a run is launched, read and published: options, plan, graph, tables, runners and warehouses."""

__version__ = "1.0.0"
