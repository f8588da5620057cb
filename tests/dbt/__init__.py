"""dbt on the sources that are made for it: `make test-dbt`, in an environment of its own."""
