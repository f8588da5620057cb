#!/usr/bin/env bash
# Sets up all that the pipeline needs in a Google Cloud project. Safe to run again: what is there stays, what is kept
# in files (lifecycle, alerts) is updated.
#
#   PROJECT=my-project ALERT_EMAIL=me@example.com deploy/setup.sh [--dry-run]
#
# --dry-run prints every command and runs none. The Scheduler jobs are made paused: docs/deploy.md says when to resume.
set -euo pipefail
case ${1:-} in
  '') DRY_RUN='' ;;
  --dry-run) DRY_RUN=yes ;;
  *) echo "usage: deploy/setup.sh [--dry-run]" >&2 && exit 2 ;;
esac
# shellcheck source=deploy/settings.sh
source "$(dirname "$0")/settings.sh"

section() { echo "# $*"; }

enable_apis() {
  section "APIs"
  run gcloud services enable --project="$PROJECT" \
    artifactregistry.googleapis.com bigquery.googleapis.com bigquerydatatransfer.googleapis.com \
    bigquerystorage.googleapis.com cloudbuild.googleapis.com cloudscheduler.googleapis.com compute.googleapis.com \
    dataflow.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com \
    secretmanager.googleapis.com storage.googleapis.com
  # workers have no public addresses, so they reach Google's APIs from inside
  run gcloud compute networks subnets update "$SUBNETWORK" --project="$PROJECT" --region="$REGION" \
    --enable-private-ip-google-access
}

create_accounts() {
  section "service accounts"
  local account
  for account in "etl-runner:Runs the workers and the launcher" "scheduler-invoker:Launches the template" \
    "release-builder:Builds and releases"; do
    ensure gcloud iam service-accounts describe "${account%%:*}@$PROJECT.iam.gserviceaccount.com" \
      --project="$PROJECT" -- \
      gcloud iam service-accounts create "${account%%:*}" --project="$PROJECT" --display-name="${account#*:}"
  done
}

create_storage() {
  section "bucket, image repository, secret"
  ensure gcloud storage buckets describe "gs://$BUCKET" --project="$PROJECT" -- \
    gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" --location="$REGION" \
    --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=0
  run gcloud storage buckets update "gs://$BUCKET" --project="$PROJECT" --lifecycle-file="$HERE/bucket_lifecycle.json"
  ensure gcloud artifacts repositories describe sessions --project="$PROJECT" --location="$REGION" -- \
    gcloud artifacts repositories create sessions --project="$PROJECT" --location="$REGION" \
    --repository-format=docker --description="Images of the session pipeline"
  run gcloud artifacts repositories set-cleanup-policies sessions --project="$PROJECT" --location="$REGION" \
    --policy="$HERE/image_cleanup.json" --no-dry-run
  ensure gcloud secrets describe excluded-users --project="$PROJECT" -- \
    gcloud secrets create excluded-users --project="$PROJECT" --replication-policy=automatic
  # an empty list to begin with: one distinct id a line
  ensure gcloud secrets versions describe latest --secret=excluded-users --project="$PROJECT" -- \
    gcloud secrets versions add excluded-users --project="$PROJECT" --data-file="$HERE/excluded_users.txt"
}

create_datasets() {
  section "datasets: production and dev; the exports' own must be there already"
  local environment
  for environment in production dev; do
    use_environment "$environment"
    ensure bq --project_id="$PROJECT" show --dataset "$PROJECT:$AGGREGATED_DATASET" -- \
      bq --project_id="$PROJECT" --location="$LOCATION" mk --dataset \
      --description="Sessions and persons ($environment)" "$PROJECT:$AGGREGATED_DATASET"
    grant_on_dataset dataEditor "$AGGREGATED_DATASET"
  done
  grant_on_dataset dataViewer "$POSTHOG_DATASET"
  grant_on_dataset dataViewer "$FIREBASE_DATASET"
}

# Datasets have no gcloud command for grants; a grant that is there already stays.
grant_on_dataset() {
  run bq --project_id="$PROJECT" --location="$LOCATION" query --use_legacy_sql=false \
    "GRANT \`roles/bigquery.$1\` ON SCHEMA \`$PROJECT.$2\` TO 'serviceAccount:$RUNNER'"
}

# on_project MEMBER ROLE
on_project() {
  run gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$1" --role="$2" --condition=None
}

# on_bucket MEMBER ROLE [PREFIXES...]: only objects below these prefixes
on_bucket() {
  local member=$1 role=$2 condition=None prefix
  shift 2
  if (($#)); then
    condition=''
    for prefix in "$@"; do
      condition+="${condition:+ || }resource.name.startsWith('projects/_/buckets/$BUCKET/objects/$prefix/')"
    done
    condition="title=only-${1},expression=$condition"
  fi
  run gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" --project="$PROJECT" \
    --member="serviceAccount:$member" --role="$role" --condition="$condition"
}

# on_repository MEMBER ROLE
on_repository() {
  run gcloud artifacts repositories add-iam-policy-binding sessions --project="$PROJECT" --location="$REGION" \
    --member="serviceAccount:$1" --role="$2"
}

# may_use MEMBER ACCOUNT: start things that run as ACCOUNT
may_use() {
  run gcloud iam service-accounts add-iam-policy-binding "$2" --project="$PROJECT" \
    --member="serviceAccount:$1" --role=roles/iam.serviceAccountUser
}

grant_roles() {
  section "roles of etl-runner: do the work, read the exports, write the results"
  on_project "$RUNNER" roles/dataflow.worker
  on_project "$RUNNER" roles/bigquery.jobUser
  on_project "$RUNNER" roles/bigquery.readSessionUser
  on_bucket "$RUNNER" roles/storage.objectUser
  on_repository "$RUNNER" roles/artifactregistry.reader
  run gcloud secrets add-iam-policy-binding excluded-users --project="$PROJECT" \
    --member="serviceAccount:$RUNNER" --role=roles/secretmanager.secretAccessor

  section "roles of scheduler-invoker: launch the template as etl-runner"
  on_project "$INVOKER" roles/dataflow.developer
  on_bucket "$INVOKER" roles/storage.objectViewer templates
  may_use "$INVOKER" "$RUNNER"

  section "roles of release-builder: push images and templates, update the Scheduler jobs"
  on_project "$BUILDER" roles/logging.logWriter
  on_project "$BUILDER" roles/cloudscheduler.admin
  on_repository "$BUILDER" roles/artifactregistry.writer
  on_bucket "$BUILDER" roles/storage.objectUser templates source
  may_use "$BUILDER" "$INVOKER"
}

create_trigger() {
  section "build trigger: every branch is tested, main and dev are released"
  if [[ -z ${REPO_OWNER:-} || -z ${REPO_NAME:-} ]]; then
    echo "# none: connect the repository in the console, export REPO_OWNER and REPO_NAME, and run this again"
    return
  fi
  ensure gcloud builds triggers describe sessions --project="$PROJECT" --region="$REGION" -- \
    gcloud builds triggers create github --name=sessions --project="$PROJECT" --region="$REGION" \
    --repo-owner="$REPO_OWNER" --repo-name="$REPO_NAME" --branch-pattern=.\* --build-config=cloudbuild.yaml \
    --substitutions="_REGION=$REGION,_BUCKET=$BUCKET" --include-logs-with-status \
    --service-account="projects/$PROJECT/serviceAccounts/$BUILDER"
}

create_schedule() {
  section "Scheduler jobs, made paused: incremental at 02:00 UTC, and a full load that is only run by hand"
  local environment kind body name
  for environment in production dev; do
    use_environment "$environment"
    for kind in nightly full_load; do
      body=$(render "$HERE/launch/$kind.json")
      name=$JOB_NAME-${kind//_/-}
      # a retry can't start a second run: the job's name is taken
      ensure gcloud scheduler jobs describe "$name" --project="$PROJECT" --location="$REGION" -- \
        create_job "$name" "$body"
    done
  done
}

create_job() {
  run gcloud scheduler jobs create http "$1" --project="$PROJECT" --location="$REGION" \
    --schedule='0 2 * * *' --time-zone=Etc/UTC --uri="$LAUNCH_URI" --http-method=POST \
    --headers=Content-Type=application/json --message-body-from-file="$2" \
    --oauth-service-account-email="$INVOKER" \
    --oauth-token-scope=https://www.googleapis.com/auth/cloud-platform \
    --attempt-deadline=180s --max-retry-attempts=3 --min-backoff=60s --max-backoff=600s
  run gcloud scheduler jobs pause "$1" --project="$PROJECT" --location="$REGION"
}

create_alerts() {
  section "alerts: failed jobs, failed launches, stale tables"
  use_environment production
  local query channel file policy name
  file=$(render "$HERE/freshness.sql")
  query=$(<"$file")
  query=${query//\"/\\\"}
  if ! look bq --project_id="$PROJECT" --format=json ls --transfer_config --transfer_location="$LOCATION" |
    grep --quiet '"sessions-freshness"'; then
    run bq --project_id="$PROJECT" --location="$LOCATION" mk --transfer_config --data_source=scheduled_query \
      --display_name=sessions-freshness --schedule='every 6 hours' --service_account_name="$RUNNER" \
      --params="{\"query\": \"${query//$'\n'/\\n}\"}"
  fi
  channel=''
  if [[ ${ALERT_EMAIL:-} ]]; then
    channel=$(look gcloud beta monitoring channels list --project="$PROJECT" \
      --filter="labels.email_address=\"$ALERT_EMAIL\"" --format='value(name)' --limit=1)
    if [[ -z $channel ]]; then
      run gcloud beta monitoring channels create --project="$PROJECT" --display-name=sessions --type=email \
        --channel-labels=email_address="$ALERT_EMAIL"
      channel=$(look gcloud beta monitoring channels list --project="$PROJECT" \
        --filter="labels.email_address=\"$ALERT_EMAIL\"" --format='value(name)' --limit=1)
    fi
  else
    echo "# nobody is told: export ALERT_EMAIL and run this again"
  fi
  for file in "$HERE"/alerts/*.json; do
    policy=$(render "$file")
    name=$(sed -n 's/^  "displayName": "\(.*\)",$/\1/p' "$file")
    name=$(look gcloud alpha monitoring policies list --project="$PROJECT" \
      --filter="displayName=\"$name\"" --format='value(name)' --limit=1)
    if [[ $name ]]; then
      run gcloud alpha monitoring policies update "$name" --project="$PROJECT" --policy-from-file="$policy" \
        ${channel:+--set-notification-channels="$channel"}
    else
      run gcloud alpha monitoring policies create --project="$PROJECT" --policy-from-file="$policy" \
        ${channel:+--notification-channels="$channel"}
    fi
  done
}

enable_apis
create_accounts
create_storage
create_datasets
grant_roles
create_trigger
create_schedule
create_alerts
