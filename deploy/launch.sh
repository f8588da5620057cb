#!/usr/bin/env bash
# Launches the pipeline now, as a Scheduler job would, with other parameters: a first load, a backfill, a sample.
#
#   PROJECT=my-project deploy/launch.sh [--dry-run|--check] start_date=2026-01-05 end_date=2026-01-07
#
# The body is that of the Scheduler job (JOB, by default sessions-nightly, for full_load=true sessions-full-load), so
# that image and environment are the same; that job may be paused. --check lets Dataflow validate it and starts nothing.
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
validate=''
if [[ ${1:-} == --check ]]; then validate=yes && shift; fi
mode "${1:-}" || { echo "usage: deploy/launch.sh [--dry-run|--check] name=value ...; not $1" >&2 && exit 2; }
if [[ $MODE != run ]]; then shift; fi
# shellcheck source=deploy/names.sh
source "$(dirname "$0")/names.sh"

job=sessions-nightly
for parameter in "$@"; do
  if [[ ! $parameter =~ ^[a-z_]+=[A-Za-z0-9_:/.-]*$ ]]; then
    echo "usage: deploy/launch.sh [--dry-run|--check] name=value ...; not $parameter" >&2 && exit 2
  fi
  if [[ $parameter == full_load=true ]]; then job=sessions-full-load; fi
done
job=${JOB:-$job}

# a dry run looks too: what it prints is what would be sent
body=$(MODE=run body_of "$job")
if [[ -z $body ]]; then
  # it may be there, and the account may not look, or not be logged in: gcloud says which
  why=$(gcloud scheduler jobs describe "$job" --project="$PROJECT" --location="$REGION" 2>&1 >/dev/null | head -n 1) || true
  echo "no Scheduler job $job in $REGION: run deploy/setup.sh first${why:+ (gcloud: $why)}" >&2 && exit 1
fi
for parameter in "$@"; do
  name=${parameter%%=*} value=${parameter#*=}
  if [[ $body =~ $'\n      '\"$name\":\ \"[^\"]*\" ]]; then
    body=${body/"${BASH_REMATCH[0]}"/$'\n      '"\"$name\": \"$value\""}
  else
    body=${body/'"parameters": {'/'"parameters": {'$'\n      '"\"$name\": \"$value\","}
  fi
done
if [[ $validate ]]; then body="{"$'\n  "validateOnly": true,'"${body#\{}"; fi
printf '%s\n' "$body" >"$RENDERED/launch.json"
if [[ $MODE == dry-run ]]; then cat "$RENDERED/launch.json"; fi
token=$(look gcloud auth print-access-token)
# the token goes through a file that only this user may read, not through the list of processes
(umask 077 && echo "header = \"Authorization: Bearer $token\"" >"$RENDERED/curl")
run curl --fail-with-body --silent --show-error --request POST --config "$RENDERED/curl" \
  --header 'Content-Type: application/json' --data "@$RENDERED/launch.json" "$LAUNCH_URI"
rm -f "$RENDERED/curl"
finish
