"""The report: one page of what the published tables and their views say, for a browser without a network.

    command.py    the options, the file
    questions.py  what is asked, in BigQuery's SQL, of tables and views only
    readers.py    where it is asked: a local warehouse through DuckDB, or BigQuery
    section.py    what a section is: words, and numbers as a table; small groups hidden
    sections.py   rows → sections, those about persons and sessions; run_sections.py has those about runs
    verdict.py    whether the last run is good, in words
    charts.py     sections → charts (Vega-Altair)
    page.py       sections and charts → one HTML file

Runs and workers import none of it: charts and DuckDB are in the extra `report`.
"""
