"""Tests of deploy/, the image, the build and what the pipeline submits to Dataflow."""
