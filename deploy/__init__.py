"""What brings the pipeline to Google Cloud: template metadata, scripts, launch bodies, alerts, costs.

Nothing here is in the installed package. docs/deploy.md says how to use it.
"""
