#!/usr/bin/env bash
# A release in steps: cloudbuild.yaml runs those that end with an image which is proven on dev, promote.yaml the last.
#
#   PROJECT=my-project TAG=abc1234 deploy/release.sh [--dry-run] push|template|launch|proven|promote
#
# The image is built once: what promote puts into production has the digest that ran on dev. `promote` with an older
# TAG is a rollback. What fails ends the release; it can be run again. BRANCH, where it is set and not main, stops every
# step: other branches are tested and nothing else.
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
mode "${1:-}" && if [[ $MODE != run ]]; then shift; fi
: "${TAG:?export TAG first}"
# shellcheck source=deploy/names.sh
source "$(dirname "$0")/names.sh"
if [[ ${BRANCH:-main} != main ]]; then
  echo "branch $BRANCH is not released: it stops after the tests" && exit 0
fi

push() {
  run_or_stop docker tag "sessions:$TAG" "$IMAGE:$TAG"
  run_or_stop docker push "$IMAGE:$TAG"
}

# digest_of TAG: the image by its content, which no later push can change. From the list of tags: `images describe` asks
# Artifact Analysis as well, where a project has it, and no account of a build may read there.
digest_of() {
  local listed
  listed=$(look gcloud artifacts docker tags list "$IMAGE" \
    --format='value[separator=" "](tag.basename(),version.basename())')
  if [[ $MODE == dry-run ]]; then listed="$1 sha256:DIGEST"; fi
  [[ $'\n'$listed =~ $'\n'"$1 "(sha256:[0-9A-Za-z]+) ]] && echo "$IMAGE@${BASH_REMATCH[1]}"
}

# mark IMAGE TAG: not again where it has the tag, which gcloud would delete first, and no account of a build may
mark() {
  if [[ $MODE != dry-run && $(digest_of "$2" || true) == "$1" ]]; then return; fi
  run_or_stop gcloud artifacts docker tags add "$1" "$IMAGE:$2"
}

# build_template ENVIRONMENT IMAGE
build_template() {
  run_or_stop gcloud dataflow flex-template build "$(template_of "$1")" --project="$PROJECT" --image="$2" \
    --sdk-language=PYTHON --metadata-file="$(dirname "$HERE")/flex_template.json"
}

template() {
  local image
  image=$(digest_of "$TAG") || { echo "there is no image $IMAGE:$TAG: push it first" >&2 && return 1; }
  build_template dev "$image"
}

# What the proof on dev launches: the body of dev's nightly job with this template and image, in the file LAUNCH.
launch() {
  local body image
  image=$(digest_of "$TAG") || { echo "there is no image $IMAGE:$TAG: push it first" >&2 && return 1; }
  body=$(body_of sessions-dev-nightly)
  if [[ $MODE == dry-run ]]; then return; fi
  with_release "${body:?"no Scheduler job sessions-dev-nightly: run deploy/setup.sh first"}" "$(template_of dev)" \
    "$image" >"${LAUNCH:?export LAUNCH=FILE first}"
}

proven() {
  local image
  image=$(digest_of "$TAG") || { echo "there is no image $IMAGE:$TAG" >&2 && return 1; }
  mark "$image" "proven-$TAG"
}

promote() {
  local image job body
  image=$(digest_of "proven-$TAG") ||
    { echo "commit $TAG was not proven on dev: there is no image $IMAGE:proven-$TAG" >&2 && return 1; }
  # old images are removed, but for the last ones and those that were released (image_cleanup.json)
  mark "$image" "released-$TAG"
  build_template production "$image"
  # a job that names a template which is not there fails at night
  run_or_stop gcloud storage objects describe "$(template_of production)" --project="$PROJECT" --format='value(name)'
  # all bodies before the first update: a job that is missing leaves the others as they are
  for job in "${JOBS[@]}"; do
    body=$(body_of "$job")
    if [[ $MODE != dry-run ]]; then
      with_release "${body:?"no Scheduler job $job: run deploy/setup.sh first"}" "$(template_of production)" \
        "$image" >"$RENDERED/$job.json"
    fi
  done
  for job in "${JOBS[@]}"; do
    run_or_stop gcloud scheduler jobs update http "$job" --project="$PROJECT" --location="$REGION" \
      --message-body-from-file="$RENDERED/$job.json"
  done
}

case ${1:-} in
  push | template | launch | proven | promote) "$1" ;;
  *) echo "usage: deploy/release.sh [--dry-run] push|template|launch|proven|promote" >&2 && exit 2 ;;
esac
finish
