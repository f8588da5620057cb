"""Tests on the real Google Cloud: `make test-cloud PROJECT=… BUCKET=…`."""
