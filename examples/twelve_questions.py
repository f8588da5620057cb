"""The twelve questions of docs/questions.md, asked of a local warehouse: `make notebook` opens it in a browser."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Twelve questions")

with app.setup:
    import sys
    from pathlib import Path

    import marimo as mo

    ROOT = Path(__file__).resolve().parents[1]
    sys.path.append(str(ROOT))  # a notebook has its own folder there only
    from deploy.question_page import PAGE, opened, questions


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Twelve questions

    What analysts ask, each with one query. The queries are those of `docs/questions.md`; the answers are of the
    warehouse below, and follow it when you name another one. The last cell is for a question of your own.
    """)
    return


@app.cell
def _():
    _named = mo.cli_args().get("warehouse") or ROOT / "warehouse"
    warehouse = mo.ui.text(str(_named), label="Warehouse", full_width=True)
    warehouse
    return (warehouse,)


@app.cell
def _(warehouse):
    published = Path(warehouse.value).expanduser() / "posthog_aggregated"
    mo.stop(not published.is_dir(), mo.md(f"`{published}` does not exist: `make run` makes it for the sample."))
    database = opened(published)
    return (database,)


@app.cell
def _(database):
    asked = {question.number: question for question in questions(PAGE.read_text(encoding="utf-8"))}

    def rows(query):
        """What a query gives: a dictionary a row."""
        found = database.execute(query)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    answers = {number: rows(question.query) for number, question in asked.items()}

    def shown(number):
        """A question with its answer, and the query below it."""
        question = asked[number]
        return mo.vstack(
            [
                mo.md(f"## {number}. {question.title}\n\n{question.told}"),
                mo.ui.table(answers[number], selection=None, show_column_summaries=False),
                mo.accordion({"The query": mo.md(f"```sql\n{question.query}```")}),
            ]
        )

    return answers, rows, shown


@app.cell
def _(answers, shown):
    mo.vstack([shown(number) for number in answers], gap=2)
    return


@app.cell(hide_code=True)
def _():
    query = mo.ui.code_editor(
        "SELECT mode, published_at, rows_read FROM runs ORDER BY published_at DESC", language="sql"
    )
    mo.vstack([mo.md("## And yours?\n\nAny SQL of DuckDB over the published tables."), query])
    return (query,)


@app.cell(hide_code=True)
def _(query, rows):
    mo.ui.table(rows(query.value), selection=None)
    return


if __name__ == "__main__":
    app.run()
