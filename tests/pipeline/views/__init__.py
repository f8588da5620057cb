"""The views, on both engines."""
