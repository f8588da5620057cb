#!/usr/bin/env bash
# Run inside the image by cloudbuild.yaml, without a network, as nobody, on a read-only file system but for /tmp:
# is everything there that Dataflow starts, and does the installed pipeline run? The sample generator is no part of the
# image: it comes with this script, and PYTHONPATH says where it is. ROOT is for tests without Docker.
set -euo pipefail
for program in /opt/apache/beam/boot /opt/google/dataflow/python_template_launcher; do
  test -x "${ROOT:-}$program" || { echo "missing in the image: $program" >&2 && exit 1; }
done
python -m pip check
cd "$(mktemp -d)"
main=${ROOT:-}$FLEX_TEMPLATE_PYTHON_PY_FILE
python "$main" --runner DirectRunner --quiet
python "$main" --runner DirectRunner --quiet | tee second.txt
grep --quiet incremental second.txt
