# shellcheck shell=bash
# Names and helpers that setup.sh and release.sh share; sourced, never run.
#
# Every name has a default but PROJECT; give another by exporting it. docs/deploy.md lists them.
# shellcheck disable=SC2034  # used by the scripts that source this file

: "${PROJECT:?export PROJECT=your-project-id first}"
: "${REGION:=europe-west1}"                # of workers, images and the bucket
: "${LOCATION:=EU}"                        # of the BigQuery datasets; REGION must lie in it
: "${BUCKET:=$PROJECT-sessions}"
: "${SUBNETWORK:=default}"                 # of the workers, in REGION
: "${POSTHOG_DATASET:=posthog_etl}"
: "${FIREBASE_DATASET:=firebase_etl_prod}"
: "${MACHINE_TYPE:=e2-standard-2}"
: "${MAX_WORKERS:=10}"                     # of a nightly run; a full load may use ten times as many
: "${TAG:=unreleased}"                     # of the image: the commit

RUNNER=etl-runner@$PROJECT.iam.gserviceaccount.com
INVOKER=scheduler-invoker@$PROJECT.iam.gserviceaccount.com
BUILDER=release-builder@$PROJECT.iam.gserviceaccount.com
LAUNCH_URI=https://dataflow.googleapis.com/v1b3/projects/$PROJECT/locations/$REGION/flexTemplates:launch
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DRY_RUN=${DRY_RUN:-}

# The names that differ between production and dev. One job name for nightly runs and full loads: Dataflow refuses a
# second active job of a name, so that they never overlap.
use_environment() {
  ENVIRONMENT=$1
  case $ENVIRONMENT in
    production) JOB_NAME=sessions AGGREGATED_DATASET=${PRODUCTION_DATASET:-posthog_aggregated} ;;
    dev) JOB_NAME=sessions-dev AGGREGATED_DATASET=${DEV_DATASET:-posthog_aggregated_dev} ;;
    *) echo "unknown environment $ENVIRONMENT: production or dev" >&2 && return 1 ;;
  esac
  IMAGE=$REGION-docker.pkg.dev/$PROJECT/sessions/$ENVIRONMENT
  TEMPLATE=gs://$BUCKET/templates/$ENVIRONMENT/$TAG.json
  FULL_LOAD_WORKERS=$((MAX_WORKERS * 10))
}

# Print a command as it can be copied.
show() {
  local line
  printf -v line '%q ' "$@"
  echo "${line% }"
}

# Run a command, or only print it.
run() {
  if [[ $DRY_RUN ]]; then show "$@"; else "$@"; fi
}

# ensure CHECK -- CREATE: run CREATE (a command or a function) unless CHECK succeeds, so that running everything again
# changes nothing.
ensure() {
  local check=()
  while [[ $1 != -- ]]; do check+=("$1") && shift; done
  shift
  if [[ $DRY_RUN ]]; then
    echo "$(show "${check[@]}") >/dev/null 2>&1 || {"
    create "$@"
    echo "}"
  elif "${check[@]}" >/dev/null 2>&1; then
    echo "there already: $(show "${check[@]}")"
  else
    create "$@"
  fi
}

create() {
  if [[ $(type -t "$1") == function ]]; then "$@"; else run "$@"; fi
}

# What a command that only looks prints; nothing in a dry run.
exec 3>&1
look() {
  if [[ $DRY_RUN ]]; then show "$@" >&3; else "$@"; fi
}

# A file with every ${NAME} replaced by the value of that variable; the name of the result.
render() {
  local text name result
  text=$(<"$1")
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    text=${text//"\${$name}"/${!name:?"$1 needs $name"}}
  done
  result=${RENDERED:?}/$(basename "$1")
  printf '%s\n' "$text" >"$result"
  echo "$result"
}

RENDERED=${RENDERED:-$(mktemp -d)}
