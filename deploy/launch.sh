#!/usr/bin/env bash
# Launches the pipeline now, as the nightly job would, with other parameters: a backfill, a larger lateness, a sample.
#
#   PROJECT=my-project deploy/launch.sh [--dry-run] start_date=2026-01-05 end_date=2026-01-07
#
# The body is that of the Scheduler job (JOB, by default sessions-nightly), so that image and environment are the same.
set -euo pipefail
DRY_RUN=''
if [[ ${1:-} == --dry-run ]]; then DRY_RUN=yes && shift; fi
# shellcheck source=deploy/settings.sh
source "$(dirname "$0")/settings.sh"

for parameter in "$@"; do
  if [[ ! $parameter =~ ^[a-z_]+=[A-Za-z0-9_:/.-]*$ ]]; then
    echo "usage: deploy/launch.sh [--dry-run] name=value ...; not $parameter" >&2 && exit 2
  fi
done

body=$(gcloud scheduler jobs describe "${JOB:-sessions-nightly}" --project="$PROJECT" --location="$REGION" \
  --format='value(httpTarget.body)' | base64 --decode)
for parameter in "$@"; do
  name=${parameter%%=*} value=${parameter#*=}
  if [[ $body =~ $'\n      '"\"$name\": "\"[^\"]*\" ]]; then
    body=${body/"${BASH_REMATCH[0]}"/$'\n      '"\"$name\": \"$value\""}
  else
    body=${body/'"parameters": {'/'"parameters": {'$'\n      '"\"$name\": \"$value\","}
  fi
done
printf '%s\n' "$body" >"$RENDERED/launch.json"
if [[ $DRY_RUN ]]; then cat "$RENDERED/launch.json"; fi
token=$(look gcloud auth print-access-token)
# the token goes through a file that only this user may read, not through the list of processes
(umask 077 && echo "header = \"Authorization: Bearer $token\"" >"$RENDERED/curl")
run curl --fail-with-body --silent --show-error --request POST --config "$RENDERED/curl" \
  --header 'Content-Type: application/json' --data "@$RENDERED/launch.json" "$LAUNCH_URI"
rm -f "$RENDERED/curl"
