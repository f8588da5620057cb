"""One run from its command line: options → plan → graph → summary, and what a failure looks like.

The same code runs on a laptop and in a Flex Template launcher. With a runner that only submits, nothing here
assumes a finished job: publishing is a step of the graph.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions

from pipeline import signals, tables
from pipeline.checks import Checks, numbers_before
from pipeline.code_version import code_version
from pipeline.command_line import MANY_ROWS, choose_shuffles, choose_workers, parse
from pipeline.credentials import credentials
from pipeline.errors import RunError, UsageError, cause_of
from pipeline.excluded import DeletionRequests, digest, load_excluded, requested
from pipeline.graph import build
from pipeline.marks import marks
from pipeline.next_steps import next_text, this_python
from pipeline.options import Settings, settings_of
from pipeline.plan import EVENTS_TOTAL, Plan, make_plan
from pipeline.privacy_key import load_key, stage_key
from pipeline.progress import Progress, Sizes
from pipeline.runners.dataflow import is_dataflow, submission_told, submitted_text
from pipeline.runners.engines import check_engine, engine, finish, is_engine
from pipeline.runners.hand_over import handing_over
from pipeline.runners.quick import quick_steps
from pipeline.runners.signatures import signatures_once
from pipeline.runners.workers import local_runner, local_workers
from pipeline.staged_ids import stage_ids
from pipeline.summary import plan_text, summary_text
from pipeline.terms import Terms
from pipeline.views.declarations import views
from pipeline.warehouse.base import REMEDY, Published, Run, Sink, Source
from pipeline.warehouse.kinds import kind_of
from transforms.ids.excluded import LeftOut
from transforms.ids.pseudonyms import Pseudonyms, key_id
from transforms.machinery.counts import Count, some_of
from transforms.machinery.steps import collecting_less
from transforms.metrics.definitions import Metrics, MetricsError
from transforms.metrics.file import load_metrics

_NOTHING = "; nothing is published"
_LOG = logging.getLogger("pipeline")


def main(argv: Sequence[str]) -> int:
    """Run the pipeline; the exit code is 0, 1 (failed, nothing published), 2 (bad options), or 128 + a signal.

    Files and folders that it writes are the owner's only (they hold phone numbers): the umask of the process is 077
    meanwhile. Default access lists of a folder (setfacl -d) still count, so others can be let in.
    A process that only does this gets its signals from `pipeline.signals`, and then ends with 128 + the signal.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as stack:
        try:
            options = parse(argv)
            settings = settings_of(options)
            check_engine(options)
            stack.enter_context(_details(told=settings.verbose))
            with _owners_only():
                _run(settings, options)
        except (UsageError, MetricsError) as error:
            print(f"pipeline: {error}", file=sys.stderr)
            return 2
        except (KeyboardInterrupt, Exception) as error:
            interrupted = signals.interrupted(error)
            told = f"{signals.cause()}{_NOTHING}" if interrupted else _told(error)
            if isinstance(error, _PublishedAnywayError):
                told = f"{told.removesuffix(_NOTHING)}; the run's tables are published all the same"
            print(f"pipeline: {told}", file=sys.stderr)
            return signals.exit_code() if interrupted else 1
    return 0


@contextlib.contextmanager
def _details(*, told: bool) -> Iterator[None]:
    """While entered, the log has details of failures, which may quote rows, or none, whatever a program lets log."""
    before = _LOG.level
    if told:
        _LOG.setLevel(logging.DEBUG)
    elif _LOG.isEnabledFor(logging.DEBUG):
        _LOG.setLevel(logging.INFO)
    # the runner logs what a worker raised, which may quote a row; the one line of cause does not. It may do so late, so
    # this level stays
    logging.getLogger("apache_beam").setLevel(logging.NOTSET if told else logging.CRITICAL + 1)
    try:
        yield
    finally:
        _LOG.setLevel(before)


@contextlib.contextmanager
def _owners_only() -> Iterator[None]:
    before = os.umask(0o077)
    os.umask(before | 0o077)
    try:
        yield
    finally:
        os.umask(before)


class _PublishedAnywayError(Exception):
    """A run ended badly, but after its tables were published."""


def _told(error: BaseException) -> str:
    cause = cause_of(error)
    if cause is None:
        # not one of ours: its text may quote a row, so only its kind is told unless debugging
        _LOG.debug("details of the failure", exc_info=error)
        first = error.__cause__ if isinstance(error, _PublishedAnywayError) else error
        cause = f"unexpected {type(first).__name__} (--verbose shows details){_NOTHING}"
    return cause


@dataclass(frozen=True)
class _Given:
    """What the options of a run stand for."""

    settings: Settings
    options: PipelineOptions
    metrics: Metrics
    listed: frozenset[str]
    """The ids of `--excluded_users`."""
    pseudonyms: Pseudonyms
    source: Source
    sink: Sink

    @property
    def is_elsewhere(self) -> bool:
        """Whether the steps run on other machines than this."""
        return is_dataflow(self.options) or is_engine(self.options)


def _run(settings: Settings, options: PipelineOptions) -> None:
    metrics = load_metrics(settings.metrics_file)
    tables.outputs(metrics)  # a metric with the name of another column is told before anything starts
    with contextlib.ExitStack() as stack:
        stack.enter_context(credentials(settings.credentials_path, settings.credentials_secret, settings.project))
        pseudonyms = Pseudonyms(metrics.privacy, load_key(settings.privacy_key, settings.project, metrics.privacy))
        listed = load_excluded(settings.excluded_users, settings.project)
        # one place is both so far; nothing below asks for that
        source = sink = kind_of(settings.values["warehouse"]).open_warehouse(settings.values, options)
        stack.enter_context(contextlib.closing(sink))
        given = _Given(settings, options, metrics, listed, pseudonyms, source, sink)
        if not settings.plan_only:
            sink.acquire()
        run, left_out = _plan(given)
        if not settings.plan_only:
            stack.enter_context(collecting_less())  # the local runner's shuffles are objects of this process
            stack.enter_context(signatures_once() if given.is_elsewhere else quick_steps())
            stack.enter_context(handing_over())
            _execute(given, run, left_out)
            if not is_dataflow(options):
                print(next_text(settings, options.view_as(GoogleCloudOptions).temp_location, this_python()))


def _plan(given: _Given) -> tuple[Run, LeftOut]:
    """Look at what is there, decide what to read and whom to leave out, and say so."""
    started_at, request = datetime.now(UTC), given.settings.request
    inputs, published = given.source.inputs(), given.sink.published()
    anew = request.full_load or request.limit is not None
    if published.damage and not anew:
        raise RunError(f"{published.damage}; {REMEDY}")
    left_out, terms, requests = _left_out(given, started_at)
    plan = make_plan(
        request,
        published.last_run,
        now=started_at,
        terms=terms,
        absent=inputs.absent,
        reach_back_to=None if anew else _reach_back(given.sink, published, terms, left_out),
        latest_end=None if request.days is None else given.sink.latest_end(*request.days),
    )
    run = _run_of(given, plan, terms, started_at, published, (*inputs.counts, *requests))
    print(plan_text(run, inputs, published, given.sink.where_to_look(plan)))
    return run, left_out


def _run_of(
    given: _Given, plan: Plan, terms: Terms, started_at: datetime, published: Published, counts: tuple[Count, ...]
) -> Run:
    """A run of a plan; `counts` are of what its inputs lack."""
    settings, metrics, version = given.settings, given.metrics, code_version()
    zone = metrics.reporting_timezone
    before, scan = numbers_before(published.runs, zone), given.source.scan(plan)
    return Run(
        run_id=f"{started_at:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}",
        started_at=started_at,
        plan=plan,
        scan=scan,
        terms=terms,
        max_rejected_ratio=settings.max_rejected_ratio,
        max_filtered_ratio=settings.max_filtered_ratio,
        code_version=version,
        options=settings.given,
        input_counts=(*counts, *some_of({EVENTS_TOTAL: plan.events_total(scan.rows_total) or 0}).items()),
        tables=tables.outputs(metrics, sample=plan.mode == "sample"),
        keeps_persons=plan.keeps_persons(version),
        checks=Checks(metrics.day_checks, zone, before, are_ignored=settings.ignore_checks),
        views=() if plan.mode == "sample" else views(metrics),
    )


def _left_out(given: _Given, now: datetime) -> tuple[LeftOut, Terms, Sequence[Count]]:
    """Whom the list and the deletion requests leave out, what the run is made under, and numbers of the requests."""
    source, pseudonyms = given.source, given.pseudonyms
    rows = source.deletion_requests()
    requests = DeletionRequests() if rows is None else requested(rows, now)
    accounts = pseudonyms.pairs(source.user_accounts(given.listed | requests.ids))  # the source knows no hash
    left_out = LeftOut.of(pseudonyms.set_of(given.listed), pseudonyms.set_of(requests.ids))
    terms = Terms(
        metrics_digest=given.metrics.digest,
        excluded_digest=None if given.settings.excluded_users is None else digest(left_out.listed),
        excluded_marks=marks(left_out.listed, accounts),
        deletion_digest=None if rows is None else digest(left_out.requested),
        deletion_marks=marks(left_out.requested, accounts, requested=True),
        privacy_key_id=key_id(pseudonyms.key),
    )
    return left_out, terms, requests.counts


def _reach_back(sink: Sink, published: Published, terms: Terms, left_out: LeftOut) -> datetime | None:
    """Start of the earliest session that other lists than the last run's may concern; None where they are the same."""
    last = published.last_run
    if last is None or last.terms.digests == terms.digests:
        return None
    return sink.earliest_session_with(left_out.every)


def _execute(given: _Given, run: Run, left_out: LeftOut) -> None:
    """Let the graph of a run work, here or elsewhere; what fails before the switch leaves nothing behind.

    Raises:
      _PublishedAnywayError: it failed after the switch, which nothing takes back.
    """
    source, sink, options = given.source, given.sink, given.options
    options.view_as(SetupOptions).save_main_session = False
    workers = choose_workers(options, run.scan.rows)
    if workers > 1:
        print(f"  workers   {workers} processes (from {MANY_ROWS:,} rows on; --direct_num_workers decides otherwise)")
    try:
        source.prepare(run)
        sink.begin(run)
        _work(given, run, *(_staged(given, run, left_out) if given.is_elsewhere else (left_out, given.pseudonyms)))
    except BaseException as error:
        if not is_dataflow(options) and sink.is_published(run):
            raise _PublishedAnywayError from error
        source.release(run)
        sink.abandon(run)
        raise


def _staged(given: _Given, run: Run, left_out: LeftOut) -> tuple[LeftOut, Pseudonyms]:
    """The same ids and key for workers elsewhere, which read them from files: a graph is no place for them."""
    folder, settings = given.sink.scratch(run), given.settings
    ids = left_out.staged(lambda ids, name: stage_ids(ids, folder, f"{run.run_id}-{name}"))
    key = stage_key(given.pseudonyms.key, settings.privacy_key, settings.project, folder, run.run_id)
    return ids, Pseudonyms(given.pseudonyms.privacy, key)


def _work(given: _Given, run: Run, left_out: LeftOut, pseudonyms: Pseudonyms) -> None:
    """Build the graph, run it, and tell how it went; of a job on Dataflow only where to follow it."""
    source, sink, options = given.source, given.sink, given.options
    with engine(options) as runner:
        pipeline = beam.Pipeline(runner or local_runner(options), options)
        with contextlib.suppress(OSError):  # only for other languages' transforms, and a killed run would leave it
            os.rmdir(pipeline.local_tempdir)
        shuffles = choose_shuffles(options, run.scan.rows)
        build(pipeline, source, sink, run, given.metrics, left_out, shuffles, pseudonyms)
        progress = Progress(sink.told, Sizes.of(run), enabled=not given.settings.quiet)
        with progress, submission_told(options), local_workers():
            result = pipeline.run()
            if is_dataflow(options):
                print(submitted_text(result, options))
                return
            finish(result, options)
        print(summary_text(run, result, sink.where_to_look(run.plan), sink.counted(run)))
