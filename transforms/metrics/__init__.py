"""What is measured: the metrics file, what it may say, and the kinds of metrics."""
