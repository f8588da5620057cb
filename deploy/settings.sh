# shellcheck shell=bash
# The names of what setup.sh makes and teardown.sh removes, beside those in names.sh; sourced, never run.
#
# Every name has a default but PROJECT; give another by exporting it. docs/deploy.md lists them.
# shellcheck disable=SC2034  # used by the scripts that source this file

# shellcheck source=deploy/names.sh
source "$(dirname "${BASH_SOURCE[0]}")/names.sh"
: "${LOCATION:=EU}"                        # of the BigQuery datasets; REGION must lie in it
: "${NETWORK_PROJECT:=$PROJECT}"           # of a Shared VPC: its host project
: "${SUBNETWORK:=default}"                 # of the workers, in REGION
: "${POSTHOG_DATASET:=posthog_etl}"
: "${FIREBASE_DATASET:=firebase_etl_prod}"
: "${PRIVACY_DATASET:=privacy}"          # with deletion_requests, if there are any
: "${PRIVACY_KEY:=none}"                  # secret with the key of the hashes, where the metrics file has any; NAME/versions/1
: "${PRODUCTION_DATASET:=posthog_aggregated}"
: "${DEV_DATASET:=posthog_aggregated_dev}"
: "${MACHINE_TYPE:=e2-standard-2}"
: "${MAX_WORKERS:=10}"                     # of a nightly run; a full load may use ten times as many
: "${BUILD_REGION:=$REGION}"               # of the repository's connection to Cloud Build

FULL_LOAD_WORKERS=$((MAX_WORKERS * 10))
SUBNETWORK_PATH=regions/$REGION/subnetworks/$SUBNETWORK
if [[ $NETWORK_PROJECT != "$PROJECT" ]]; then
  SUBNETWORK_PATH=https://www.googleapis.com/compute/v1/projects/$NETWORK_PROJECT/$SUBNETWORK_PATH
fi

# The names that differ between production and dev. One job name for nightly runs and full loads of an environment:
# Dataflow refuses a second active job of a name, so that they never overlap.
use_environment() {
  ENVIRONMENT=$1
  case $ENVIRONMENT in
    production) JOB_NAME=sessions AGGREGATED_DATASET=$PRODUCTION_DATASET RUNNER=$(account etl-runner) ;;
    dev) JOB_NAME=sessions-dev AGGREGATED_DATASET=$DEV_DATASET RUNNER=$(account etl-runner-dev) ;;
    *) echo "unknown environment $ENVIRONMENT: production or dev" >&2 && return 1 ;;
  esac
  TEMPLATE=$(template_of "$ENVIRONMENT")
}

ACCOUNTS=(
  "etl-runner:Runs workers and launcher in production"
  "etl-runner-dev:Runs workers and launcher in dev"
  "scheduler-invoker:Launches the template"
  "build-tester:Tests every branch"
  "release-builder:Builds main and proves it on dev"
  "releaser:Releases to production what was proven on dev"
)

# The name of the scheduled query and the checksum that it was made with; bq sorts the keys, so the name comes first.
find_freshness() {
  look bq --project_id="$PROJECT" --format=prettyjson ls --transfer_config --transfer_location="$LOCATION" |
    grep --only-matching --extended-regexp 'projects/[^"]+/transferConfigs/[^"]+|sessions-freshness c[0-9]+' |
    grep --before-context=1 'sessions-freshness' | head -n 2 | sed 's/^sessions-freshness //' | paste -s -d ' ' || true
}
