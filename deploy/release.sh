#!/usr/bin/env bash
# The last three steps of cloudbuild.yaml, each for the environment of a branch: main is production, dev is dev. Other
# branches are tested and nothing else.
#
#   PROJECT=my-project BRANCH=main TAG=abc1234 deploy/release.sh [--dry-run] push|template|schedule
#
# `schedule` alone, with an older TAG, is a rollback.
set -euo pipefail
DRY_RUN=''
if [[ ${1:-} == --dry-run ]]; then DRY_RUN=yes && shift; fi
: "${BRANCH:?export BRANCH first}" "${TAG:?export TAG first}"
# shellcheck source=deploy/settings.sh
source "$(dirname "$0")/settings.sh"
case $BRANCH in
  main) use_environment production ;;
  dev) use_environment dev ;;
  *) echo "branch $BRANCH is not released: it stops after the tests" && exit 0 ;;
esac

push() {
  run docker tag "sessions:$TAG" "$IMAGE:$TAG"
  run docker push "$IMAGE:$TAG"
}

template() {
  run gcloud dataflow flex-template build "$TEMPLATE" --project="$PROJECT" --image="$IMAGE:$TAG" \
    --sdk-language=PYTHON --metadata-file="$(dirname "$HERE")/flex_template.json"
}

schedule() {
  local kind body
  for kind in nightly full_load; do
    body=$(render "$HERE/launch/$kind.json")
    run gcloud scheduler jobs update http "$JOB_NAME-${kind//_/-}" --project="$PROJECT" --location="$REGION" \
      --message-body-from-file="$body"
  done
}

case ${1:-} in
  push | template | schedule) "$1" ;;
  *) echo "usage: deploy/release.sh [--dry-run] push|template|schedule" >&2 && exit 2 ;;
esac
