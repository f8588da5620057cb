"""Of the benchmarks, what compares and what writes the page: a figure that is wrong misleads for long."""
