"""The views: what analysts ask of the tables, each declared once, in a file of BigQuery's SQL here.

    declarations.py  the files, and what a metrics file fills in
    local.py         their SQL in DuckDB's words
    published.py     the published run that they are asked of
    command.py       the options, the rows as CSV

It imports nothing: what a command imports, it imports when it is ready for signals (`__main__`).
"""
