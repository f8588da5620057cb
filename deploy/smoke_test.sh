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
# where [privacy] of the image's metrics hashes, a run takes a key, and elsewhere it takes none; this one is thrown away
hashes=$(python -c 'from transforms.metrics.file import load_metrics; print(load_metrics().privacy.hashes)')
key=()
if [[ $hashes == True ]]; then
  python -c 'import secrets; print(secrets.token_hex(32))' >key
  key=(--privacy_key=key)
fi
python "$main" --runner DirectRunner --quiet "${key[@]}"
python "$main" --runner DirectRunner --quiet "${key[@]}" | tee second.txt
grep --quiet incremental second.txt
