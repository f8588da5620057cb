"""The job on Prism and Flink, with workers killed: `make test-engines`."""
