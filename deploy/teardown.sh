#!/usr/bin/env bash
# Removes what setup.sh made: schedule, triggers, alerts, dashboard, images, bucket, accounts, and empty datasets.
#
#   PROJECT=my-project deploy/teardown.sh [--dry-run|--plan] [NAME...]
#
# What holds data of its own goes only when it is named: posthog_aggregated, posthog_aggregated_dev (by the names of
# the settings), excluded-users. The exports' datasets, the APIs and private access of the subnet are left alone.
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
mode "${1:-}" || { echo "usage: deploy/teardown.sh [--dry-run|--plan] [NAME...]" >&2 && exit 2; }
if [[ $MODE != run ]]; then shift; fi
# shellcheck source=deploy/settings.sh
source "$(dirname "$0")/settings.sh"
NAMED=("$@")
for name in "$@"; do
  case $name in
    "$PRODUCTION_DATASET" | "$DEV_DATASET" | excluded-users) ;;
    *) echo "deploy/teardown.sh: $name is nothing that setup.sh makes and that holds data; they are" \
      "$PRODUCTION_DATASET, $DEV_DATASET, excluded-users" >&2 && exit 2 ;;
  esac
done
[[ ! ${REPOSITORY:-} =~ /locations/([^/]+)/ ]] || BUILD_REGION=${BASH_REMATCH[1]}

is_named() { [[ " ${NAMED[*]} " == *" $1 "* ]]; }

# gone WHAT CHECK... -- DELETE...: run DELETE if CHECK succeeds.
gone() {
  local what=$1 check=()
  shift
  while [[ $1 != -- ]]; do check+=("$1") && shift; done
  shift
  if [[ $MODE == dry-run ]]; then
    echo "$(show "${check[@]}") >/dev/null 2>&1 && {"
    run "$@"
    echo "}"
  elif "${check[@]}" >/dev/null 2>&1; then
    echo "remove  $what"
    run "$@"
  fi
}

section "what starts runs and builds"
for job in "${JOBS[@]}"; do
  where=("$job" --project="$PROJECT" --location="$REGION")
  gone "Scheduler job $job" gcloud scheduler jobs describe "${where[@]}" -- \
    gcloud scheduler jobs delete "${where[@]}" --quiet
done
for trigger in sessions-test sessions-build sessions-release; do
  where=("$trigger" --project="$PROJECT" --region="$BUILD_REGION")
  gone "trigger $trigger" gcloud builds triggers describe "${where[@]}" -- \
    gcloud builds triggers delete "${where[@]}" --quiet
done

section "what watches"
for file in "$HERE"/alerts/*.json; do
  name=$(value_of "$(<"$file")" displayName)
  policy=$(look gcloud alpha monitoring policies list --project="$PROJECT" --filter="displayName=\"$name\"" \
    --format='value(name)' --limit=1)
  if [[ $policy ]]; then
    echo "remove  alert $name"
    run gcloud alpha monitoring policies delete "$policy" --project="$PROJECT" --quiet
  fi
done
gone "dashboard sessions" gcloud monitoring dashboards describe sessions --project="$PROJECT" -- \
  gcloud monitoring dashboards delete sessions --project="$PROJECT" --quiet
query=$(find_freshness)
if [[ $query ]]; then
  echo "remove  scheduled query sessions-freshness"
  run bq --project_id="$PROJECT" --location="$LOCATION" rm -f --transfer_config "${query%% *}"
fi

section "images, files, list of excluded users"
where=(sessions --project="$PROJECT" --location="$REGION")
gone "image repository sessions" gcloud artifacts repositories describe "${where[@]}" -- \
  gcloud artifacts repositories delete "${where[@]}" --quiet
gone "bucket $BUCKET" gcloud storage buckets describe "gs://$BUCKET" --project="$PROJECT" -- \
  gcloud storage rm "gs://$BUCKET" --recursive --project="$PROJECT"
if is_named excluded-users; then
  gone "secret excluded-users" gcloud secrets describe excluded-users --project="$PROJECT" -- \
    gcloud secrets delete excluded-users --project="$PROJECT" --quiet
else
  echo "leave   secret excluded-users: name it to remove it"
fi

section "result datasets"
for dataset in "$PRODUCTION_DATASET" "$DEV_DATASET"; do
  # without -r bq refuses a dataset that has tables
  recursive=()
  if is_named "$dataset"; then recursive=(-r); else echo "leave   dataset $dataset if it has tables: name it to remove them"; fi
  gone "dataset $dataset" bq --project_id="$PROJECT" show --dataset "$PROJECT:$dataset" -- \
    bq --project_id="$PROJECT" rm "${recursive[@]}" -f --dataset "$PROJECT:$dataset"
done

section "accounts, with their roles"
for name in "${ACCOUNTS[@]%%:*}"; do
  gone "account $name" gcloud iam service-accounts describe "$(account "$name")" --project="$PROJECT" -- \
    gcloud iam service-accounts delete "$(account "$name")" --project="$PROJECT" --quiet
done

section "the network that setup.sh makes where there is none"
gone "firewall rule sessions-dataflow" \
  gcloud compute firewall-rules describe sessions-dataflow --project="$PROJECT" -- \
  gcloud compute firewall-rules delete sessions-dataflow --project="$PROJECT" --quiet
network=$(look gcloud compute networks subnets describe "$SUBNETWORK" --project="$NETWORK_PROJECT" \
  --region="$REGION" --format='value(network)')
if [[ $NETWORK_PROJECT == "$PROJECT" && ${network##*/} == sessions ]]; then
  gone "subnet $SUBNETWORK of network sessions" \
    gcloud compute networks subnets describe "$SUBNETWORK" --project="$PROJECT" --region="$REGION" -- \
    gcloud compute networks subnets delete "$SUBNETWORK" --project="$PROJECT" --region="$REGION" --quiet
  gone "network sessions" gcloud compute networks describe sessions --project="$PROJECT" -- \
    gcloud compute networks delete sessions --project="$PROJECT" --quiet
fi
finish
