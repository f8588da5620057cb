#!/usr/bin/env bash
# Builds what is in this folder by hand, with the steps of cloudbuild.yaml and as the account that builds main.
#
#   PROJECT=my-project deploy/build.sh [--dry-run]
#
# The build runs where the triggers' builds do: Cloud Build refuses some projects in most regions.
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
mode "${1:-}" || { echo "usage: deploy/build.sh [--dry-run]" >&2 && exit 2; }
# shellcheck source=deploy/names.sh
source "$(dirname "$0")/names.sh"
cd "$HERE/.."
if [[ $TAG == unreleased ]]; then TAG=$(git rev-parse --short=7 HEAD); fi
run gcloud builds submit --project="$PROJECT" --region="${BUILD_REGION:-$REGION}" --config=cloudbuild.yaml \
  --gcs-source-staging-dir="gs://$BUCKET/source" \
  --service-account="projects/$PROJECT/serviceAccounts/$(account release-builder)" \
  --substitutions="BRANCH_NAME=main,SHORT_SHA=$TAG,_REGION=$REGION,_BUCKET=$BUCKET"
finish
