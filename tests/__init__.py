"""The tests: one folder a package, one module a module, and whole runs in `end_to_end`."""
