#!/usr/bin/env bash
# Proves an image on Dataflow with rows of its own: two nights there, compared with two on a local warehouse.
#
#   PROJECT=my-project BUCKET=my-bucket [IMAGE_TAG=abc1234] deploy/prove.sh [--dry-run]
#
# Without IMAGE_TAG, an image is built here from this folder and pushed. `make test-dataflow` runs it; the build of
# main does the same in steps (cloudbuild.yaml).
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
mode "${1:-}" || { echo "usage: deploy/prove.sh [--dry-run]" >&2 && exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
: "${PROJECT:?export PROJECT=your-project-id first}"
export TAG=${IMAGE_TAG:-try-$(git -C "$here" rev-parse --short=7 HEAD)} LAUNCH=$RENDERED/launch.json
dry=()
if [[ $MODE == dry-run ]]; then dry=(--dry-run); fi
if [[ -z ${IMAGE_TAG:-} ]]; then
  # Dataflow's machines are of this kind, whatever this one is
  run_or_stop docker build --platform=linux/amd64 "--tag=sessions:$TAG" "$here/.."
  "$here/release.sh" "${dry[@]}" push
fi
"$here/release.sh" "${dry[@]}" template
"$here/release.sh" "${dry[@]}" launch
run env TEST_CLOUD=yes LAUNCH="$LAUNCH" "${PYTHON:-$here/../.venv/bin/python}" -m pytest -rs "$here/../tests/cloud/test_dataflow.py"
finish
