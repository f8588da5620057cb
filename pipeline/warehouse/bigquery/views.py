"""The views in the dataset of the results: made, or made anew, after each publish.

They hold no data, so nothing is lost where one cannot be made: the tables are published all the same, and a line of the
log and the counter `views.not_made` tell of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from apache_beam.metrics import Metrics as BeamMetrics

from pipeline.errors import RunError
from pipeline.views.declarations import View
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.client import BigQueryClient
from transforms.machinery.counts import NAMESPACE

_LOG = logging.getLogger(__name__)
NOT_MADE = "views.not_made"


def make_views(client: BigQueryClient, dataset: str, views: Iterable[View], tables: Iterable[str]) -> None:
    """Create or replace views; a failure is told and no more.

    Args:
      client: BigQuery.
      dataset: of tables and views.
      views: each after those that it reads.
      tables: the names of the tables that are there.
    """
    names = {name: client.name(dataset, name) for name in tables}
    for view in views:
        target = client.name(dataset, view.name)
        try:
            if not view.reads <= set(names):
                raise RunError(f"it needs {', '.join(sorted(view.reads - set(names)))}")
            client.run(sql.create_view(target, view, names), f"view {dataset}.{view.name}")
        except RunError as error:
            BeamMetrics.counter(NAMESPACE, NOT_MADE).inc()
            _LOG.warning("view %s.%s was not made (%s); the tables are published", dataset, view.name, error)
        else:
            names[view.name] = target
