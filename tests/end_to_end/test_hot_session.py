"""One session of a million events beside 100,000 small ones: bounded memory, marked, everything else exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.builders import METRICS, at, published
from transforms.metrics import file

ROOT = Path(__file__).parents[2]
HOT, SMALL = 1_000_000, 100_000
MAX_MEGABYTES = 1_500
#: Runs the pipeline and tells its own peak (kB): what the kernel reports of a child can include its parent's.
MEASURED_RUN = """
import sys
from pipeline.launcher import main
code = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(code)
"""


def hot_warehouse(warehouse: Path) -> Path:
    """Events of the hot session with small sessions of one event strewn in."""
    folder = warehouse / "posthog_etl" / "events"
    folder.mkdir(parents=True)
    size = HOT + SMALL
    number = np.arange(size)
    small = number % (size // SMALL) == 0
    text = np.where(small, np.char.add("small-", number.astype(str)), "hot")
    head, tail = '{"$lib": "posthog-react-native", "$session_id": "', '"}'
    start = int(at(0).timestamp() * 1_000_000)
    content = pa.table(
        {
            "uuid": pa.array([f"00000000-0000-7000-8000-{i:012x}" for i in range(size)]),
            "event": pa.array(["$screen"] * size).dictionary_encode(),
            "properties": pa.array([f"{head}{value}{tail}" for value in text.tolist()]),
            "distinct_id": pa.array(["anon"] * size).dictionary_encode(),
            "timestamp": pa.array(start + number * 1_000, pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(content, folder / "part-0.parquet", row_group_size=100_000)
    return warehouse


def test_a_hot_session_is_bounded_and_marked(tmp_path: Path) -> None:
    warehouse = hot_warehouse(tmp_path)
    arguments = [sys.executable, "-c", MEASURED_RUN, "--quiet", "--warehouse", str(warehouse), "--full_load"]
    arguments += ["--metrics_file", str(file.PACKAGED)]
    done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout.split()[-1]) / 1024 < MAX_MEGABYTES
    sessions = published(warehouse, "sessions")
    assert sessions.num_rows >= SMALL
    [hot] = sessions.filter(pa.compute.equal(sessions["session_id"], "hot")).to_pylist()
    assert hot["is_oversized"]
    assert hot["event_count"] == hot["screen_count"] == METRICS.max_events_per_session
    assert hot["end_timestamp"] == at((HOT + SMALL - 1) / 1_000)
    assert pa.compute.sum(sessions["is_oversized"]).as_py() == 1
