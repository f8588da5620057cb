#!/usr/bin/env bash
# Sets up all that the pipeline needs in a Google Cloud project. Safe to run again: what is as the settings want it
# stays, what is not is changed, and what cannot be changed is said. Nothing stops it half-way: a step that fails is
# listed at the end with its command.
#
#   PROJECT=my-project ALERT_EMAIL=me@example.com deploy/setup.sh [--dry-run|--plan]
#
# --dry-run prints every command for an empty project and runs none; --plan looks at the project, runs nothing that
# changes it, and prints what would be created, changed and left. The Scheduler jobs are made paused: docs/deploy.md
# says when to resume.
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
mode "$@" && [[ $# -le 1 && ${1:--} == -* ]] || { echo "usage: deploy/setup.sh [--dry-run|--plan]" >&2 && exit 2; }
# shellcheck source=deploy/settings.sh
source "$(dirname "$0")/settings.sh"

enable_apis() {
  section "APIs"
  # one call takes twenty. Those of the last line are not asked by this pipeline: Dataflow wants to find them enabled
  # before it takes any job
  run gcloud services enable --project="$PROJECT" \
    artifactregistry.googleapis.com bigquery.googleapis.com bigquerydatatransfer.googleapis.com \
    bigquerystorage.googleapis.com cloudbuild.googleapis.com cloudscheduler.googleapis.com compute.googleapis.com \
    dataflow.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com \
    secretmanager.googleapis.com storage.googleapis.com \
    cloudresourcemanager.googleapis.com datastore.googleapis.com pubsub.googleapis.com storage-api.googleapis.com \
    storage-component.googleapis.com
}

set_up_network() {
  section "network: workers have no public addresses, so they reach Google's APIs from inside"
  local subnet=("$SUBNETWORK" --project="$NETWORK_PROJECT" --region="$REGION")
  if [[ $NETWORK_PROJECT == "$PROJECT" ]]; then
    ensure "subnet $SUBNETWORK in $REGION" gcloud compute networks subnets describe "${subnet[@]}" -- create_network
  fi
  local access number
  access=$(look gcloud compute networks subnets describe "${subnet[@]}" --format='value(privateIpGoogleAccess)')
  keep "private access to Google's APIs from $SUBNETWORK" True "$access" \
    gcloud compute networks subnets update "${subnet[@]}" --enable-private-ip-google-access
  if [[ $NETWORK_PROJECT != "$PROJECT" ]]; then
    number=$(look gcloud projects describe "$PROJECT" --format='value(projectNumber)')
    # Dataflow starts the workers, so its own account must be let into the other project's network
    number=serviceAccount:service-${number:-PROJECT_NUMBER}@dataflow-service-producer-prod.iam.gserviceaccount.com
    grant "subnet $SUBNETWORK" "$number" roles/compute.networkUser \
      gcloud compute networks subnets get-iam-policy "${subnet[@]}" -- \
      gcloud compute networks subnets add-iam-policy-binding "${subnet[@]}" --member="$number" \
      --role=roles/compute.networkUser
  fi
}

# Without a `default` network: one with a single subnet, in which workers of one job may talk to each other.
create_network() {
  ensure "network sessions" gcloud compute networks describe sessions --project="$PROJECT" -- \
    gcloud compute networks create sessions --project="$PROJECT" --subnet-mode=custom
  run gcloud compute networks subnets create "$SUBNETWORK" --project="$PROJECT" --network=sessions \
    --region="$REGION" --range=10.128.0.0/20 --enable-private-ip-google-access
  ensure "firewall rule sessions-dataflow" \
    gcloud compute firewall-rules describe sessions-dataflow --project="$PROJECT" -- \
    gcloud compute firewall-rules create sessions-dataflow --project="$PROJECT" --network=sessions \
    --allow=tcp:12345-12346 --source-tags=dataflow --target-tags=dataflow
}

create_accounts() {
  section "service accounts"
  local entry name
  for entry in "${ACCOUNTS[@]}"; do
    name=${entry%%:*}
    ensure "account $name" gcloud iam service-accounts describe "$(account "$name")" --project="$PROJECT" -- \
      gcloud iam service-accounts create "$name" --project="$PROJECT" --display-name="${entry#*:}"
  done
}

create_storage() {
  section "bucket, image repository, secret"
  ensure "bucket $BUCKET" gcloud storage buckets describe "gs://$BUCKET" --project="$PROJECT" -- \
    gcloud storage buckets create "gs://$BUCKET" --project="$PROJECT" --location="$REGION" \
    --uniform-bucket-level-access --public-access-prevention --soft-delete-duration=0
  local content there
  there=$(look gcloud storage buckets describe "gs://$BUCKET" --project="$PROJECT" --format='value(location)')
  fixed "location of bucket $BUCKET" "$REGION" "$there"
  content=$(content_of "$HERE/bucket_lifecycle.json")
  there=$(look gcloud storage buckets describe "gs://$BUCKET" --project="$PROJECT" --format='value(labels.lifecycle)')
  keep "lifecycle of bucket $BUCKET" "$content" "$there" \
    gcloud storage buckets update "gs://$BUCKET" --project="$PROJECT" \
    --lifecycle-file="$HERE/bucket_lifecycle.json" --update-labels="lifecycle=$content"
  local repository=(sessions --project="$PROJECT" --location="$REGION")
  ensure "image repository sessions" gcloud artifacts repositories describe "${repository[@]}" -- \
    gcloud artifacts repositories create "${repository[@]}" --repository-format=docker \
    --description="Images of the session pipeline"
  content=$(content_of "$HERE/image_cleanup.json")
  there=$(look gcloud artifacts repositories describe "${repository[@]}" --format='value(labels.cleanup)')
  keep "cleanup of old images" "$content" "$there" set_cleanup "$content"
  ensure "secret excluded-users" gcloud secrets describe excluded-users --project="$PROJECT" -- \
    gcloud secrets create excluded-users --project="$PROJECT" --replication-policy=automatic
  # an empty list to begin with: one distinct id a line
  ensure "a version of secret excluded-users" \
    gcloud secrets versions describe latest --secret=excluded-users --project="$PROJECT" -- \
    gcloud secrets versions add excluded-users --project="$PROJECT" --data-file="$HERE/excluded_users.txt"
}

set_cleanup() {
  run gcloud artifacts repositories set-cleanup-policies sessions --project="$PROJECT" --location="$REGION" \
    --policy="$HERE/image_cleanup.json" --no-dry-run
  run gcloud artifacts repositories update sessions --project="$PROJECT" --location="$REGION" \
    --update-labels="cleanup=$1"
}

create_datasets() {
  section "datasets: production and dev; the exports' own must be there already"
  local environment there
  for environment in production dev; do
    use_environment "$environment"
    ensure "dataset $AGGREGATED_DATASET" bq --project_id="$PROJECT" show --dataset "$PROJECT:$AGGREGATED_DATASET" -- \
      bq --project_id="$PROJECT" --location="$LOCATION" mk --dataset \
      --description="Sessions and persons ($environment)" "$PROJECT:$AGGREGATED_DATASET"
    there=$(look bq --project_id="$PROJECT" --format=json show --dataset "$PROJECT:$AGGREGATED_DATASET")
    fixed "location of dataset $AGGREGATED_DATASET" "$LOCATION" "$(value_of "$there" location || true)"
    grant_on_dataset dataEditor "$AGGREGATED_DATASET"
    grant_on_input "$POSTHOG_DATASET" "the pipeline needs it: let PostHog export to it first"
    # to an account without a role in the project Google denies what does not exist, so a run could not tell
    grant_on_input "$FIREBASE_DATASET" "runs stop without it: let Firebase export to it first, or where nothing will, \
make it empty (bq --location=$LOCATION mk --dataset $PROJECT:$FIREBASE_DATASET); sessions have no users then"
    grant_on_input "$PRIVACY_DATASET" ""
  done
}

# Datasets have no gcloud command for grants; a grant that is there already stays.
grant_on_dataset() {
  keep "roles/bigquery.$1 on dataset $2 for $RUNNER" "$RUNNER" "$(member_of "$2")" \
    run_patiently bq --project_id="$PROJECT" --location="$LOCATION" query --use_legacy_sql=false \
    "GRANT \`roles/bigquery.$1\` ON SCHEMA \`$PROJECT.$2\` TO 'serviceAccount:$RUNNER'"
}

# The runner, when the dataset's list of access names it.
member_of() {
  look bq --project_id="$PROJECT" --format=json show --dataset "$PROJECT:$1" |
    grep --only-matching --fixed-strings "$RUNNER" | head -n 1 || true
}

# grant_on_input DATASET WHY: what it means that the dataset is not there; nothing for one that need not be
grant_on_input() {
  local check=(bq --project_id="$PROJECT" show --dataset "$PROJECT:$1")
  if [[ $MODE == dry-run ]]; then
    echo "$(show "${check[@]}") >/dev/null 2>&1 && {"
    grant_on_dataset dataViewer "$1"
    echo "}"
  elif ! "${check[@]}" >/dev/null 2>&1; then
    [[ -z $2 ]] || left_out "deploy/setup.sh" "dataset $1 is not there, so nobody may read it yet; $2"
  else
    grant_on_dataset dataViewer "$1"
  fi
}

# on_project MEMBER ROLE
on_project() {
  grant "project $PROJECT" "serviceAccount:$(account "$1")" "$2" gcloud projects get-iam-policy "$PROJECT" -- \
    gcloud projects add-iam-policy-binding "$PROJECT" --member="serviceAccount:$(account "$1")" --role="$2" \
    --condition=None
}

# on_bucket MEMBER ROLE only|except PREFIXES...: only objects below these prefixes, or all but these. Objects are listed on
# the bucket, whose own name has no such prefix: `except` lets list, `only` does not.
on_bucket() {
  local member=$1 role=$2 title=$3-${4//\//-} condition='' prefix not='' joined=' || '
  if [[ $3 == except ]]; then not='!' joined=' && '; fi
  shift 3
  for prefix in "$@"; do
    condition+="${condition:+$joined}${not}resource.name.startsWith('projects/_/buckets/$BUCKET/objects/$prefix/')"
  done
  member=serviceAccount:$(account "$member")
  grant "bucket $BUCKET" "$member $title" "$role" \
    gcloud storage buckets get-iam-policy "gs://$BUCKET" --project="$PROJECT" -- \
    gcloud storage buckets add-iam-policy-binding "gs://$BUCKET" --project="$PROJECT" --member="$member" \
    --role="$role" --condition="title=$title,expression=$condition"
}

# on_repository MEMBER ROLE
on_repository() {
  local repository=(sessions --project="$PROJECT" --location="$REGION")
  grant "image repository" "serviceAccount:$(account "$1")" "$2" \
    gcloud artifacts repositories get-iam-policy "${repository[@]}" -- \
    gcloud artifacts repositories add-iam-policy-binding "${repository[@]}" \
    --member="serviceAccount:$(account "$1")" --role="$2"
}

# may_use MEMBER ACCOUNT: start things that run as ACCOUNT
may_use() {
  local what=("$(account "$2")" --project="$PROJECT") member
  member=serviceAccount:$(account "$1")
  grant "account $2" "$member" roles/iam.serviceAccountUser \
    gcloud iam service-accounts get-iam-policy "${what[@]}" -- \
    gcloud iam service-accounts add-iam-policy-binding "${what[@]}" --member="$member" \
    --role=roles/iam.serviceAccountUser
}

grant_roles() {
  local runner secret secrets=(excluded-users)
  if [[ $PRIVACY_KEY != none ]]; then secrets+=("${PRIVACY_KEY%%/*}"); fi
  section "roles of etl-runner and etl-runner-dev: do the work, read the exports, write the results of their own"
  for runner in etl-runner etl-runner-dev; do
    on_project "$runner" roles/dataflow.worker
    on_project "$runner" roles/bigquery.jobUser
    on_project "$runner" roles/bigquery.readSessionUser
    on_repository "$runner" roles/artifactregistry.reader
    for secret in "${secrets[@]}"; do
      grant "secret $secret" "serviceAccount:$(account "$runner")" roles/secretmanager.secretAccessor \
        gcloud secrets get-iam-policy "$secret" --project="$PROJECT" -- \
        gcloud secrets add-iam-policy-binding "$secret" --project="$PROJECT" \
        --member="serviceAccount:$(account "$runner")" --role=roles/secretmanager.secretAccessor
    done
  done
  on_bucket etl-runner roles/storage.objectUser except templates
  on_bucket etl-runner-dev roles/storage.objectUser except templates temp/production staging/production

  section "roles of scheduler-invoker: launch the template as one of them"
  on_project scheduler-invoker roles/dataflow.developer
  on_bucket scheduler-invoker roles/storage.objectViewer only templates
  may_use scheduler-invoker etl-runner
  may_use scheduler-invoker etl-runner-dev

  section "roles of build-tester: nothing but the log of a build"
  on_project build-tester roles/logging.logWriter

  section "roles of release-builder: push the image, prove it with a run on data of its own; nothing in production"
  on_project release-builder roles/logging.logWriter
  on_project release-builder roles/dataflow.developer
  on_project release-builder roles/bigquery.user
  on_project release-builder roles/cloudscheduler.viewer
  on_repository release-builder roles/artifactregistry.writer
  on_bucket release-builder roles/storage.objectUser only templates/dev source
  may_use release-builder etl-runner-dev

  section "roles of releaser: point the Scheduler jobs to an image that is there"
  on_project releaser roles/logging.logWriter
  on_project releaser roles/cloudscheduler.admin
  on_repository releaser roles/artifactregistry.writer
  on_bucket releaser roles/storage.objectUser only templates/production
  may_use releaser scheduler-invoker
}

create_triggers() {
  section "build triggers: every branch is tested, main is built and proven on dev, a tag v* asks for its release"
  if [[ ${REPOSITORY:-} ]]; then  # a connection of the second generation
    # shellcheck disable=SC2034  # render uses it
    CONNECTION="\"repositoryEventConfig\": {\"repository\": \"$REPOSITORY\","
    [[ ! $REPOSITORY =~ /locations/([^/]+)/ ]] || BUILD_REGION=${BASH_REMATCH[1]}
  elif [[ ${REPO_OWNER:-} && ${REPO_NAME:-} ]]; then
    # shellcheck disable=SC2034  # render uses it
    CONNECTION="\"github\": {\"owner\": \"$REPO_OWNER\", \"name\": \"$REPO_NAME\","
  else
    left_out "deploy/setup.sh" "no build triggers: connect the repository in the console, then export REPOSITORY (second generation) or REPO_OWNER and REPO_NAME (first)"
    return
  fi
  local file trigger name there
  for file in "$HERE"/triggers/*.json; do
    trigger=$(render "$file")
    name=$(value_of "$(<"$trigger")" name)
    there=$(look gcloud builds triggers describe "$name" --project="$PROJECT" --region="$BUILD_REGION" \
      --format='value(tags)')
    keep "trigger $name" "sessions;content-$(content_of "$trigger")" "$there" \
      gcloud builds triggers import --project="$PROJECT" --region="$BUILD_REGION" --source="$trigger"
  done
}

create_schedule() {
  section "Scheduler jobs, made paused: incremental at 02:00 UTC, and a full load that is only run by hand"
  local environment kind name present body
  for environment in production dev; do
    use_environment "$environment"
    for kind in nightly full_load; do
      name=$JOB_NAME-${kind//_/-}
      present=$(body_of "$name" || true)
      body=$(rendered_body "$kind" "$present")
      # a retry can't start a second run: the job's name is taken
      keep "Scheduler job $name" "$(<"$body")" "$present" set_job "$name" "$body" "$present"
    done
  done
}

# rendered_body KIND PRESENT: as the settings want it, with the image and the template of the job that is there.
rendered_body() {
  local template image KEY_PARAMETER=''
  # shellcheck disable=SC2034  # render uses it
  if [[ $PRIVACY_KEY != none ]]; then KEY_PARAMETER=,$'\n      '"\"privacy_key\": \"secret://$PRIVACY_KEY\""; fi
  template=$(value_of "$2" containerSpecGcsPath || true)
  image=$(value_of "$2" sdkContainerImage || true)
  TEMPLATE=${template:-$TEMPLATE} RELEASED=${image:-$IMAGE:$TAG} render "$HERE/launch/$1.json"
}

# set_job NAME BODY PRESENT
set_job() {
  if [[ $3 ]]; then
    run gcloud scheduler jobs update http "$1" --project="$PROJECT" --location="$REGION" --message-body-from-file="$2"
    return
  fi
  run gcloud scheduler jobs create http "$1" --project="$PROJECT" --location="$REGION" \
    --schedule='0 2 * * *' --time-zone=Etc/UTC --uri="$LAUNCH_URI" --http-method=POST \
    --headers=Content-Type=application/json --message-body-from-file="$2" \
    --oauth-service-account-email="$(account scheduler-invoker)" \
    --oauth-token-scope=https://www.googleapis.com/auth/cloud-platform \
    --attempt-deadline=180s --max-retry-attempts=3 --min-backoff=60s --max-backoff=600s
  run gcloud scheduler jobs pause "$1" --project="$PROJECT" --location="$REGION"
}

create_alerts() {
  section "dashboard, scheduled query that watches the tables' age, alerts"
  use_environment production
  local file rendered name there channel=''
  rendered=$(render "$HERE/dashboard.json")
  there=$(look gcloud monitoring dashboards describe sessions --project="$PROJECT" --format='value(labels.content)')
  keep "dashboard sessions" "$(content_of "$rendered")" "$there" set_dashboard "$rendered" "$there"
  rendered=$(render "$HERE/freshness.sql")
  there=$(find_freshness)
  keep "scheduled query sessions-freshness" "$(content_of "$rendered")" "${there##* }" \
    set_freshness "$rendered" "${there%% *}"
  if [[ ${ALERT_EMAIL:-} ]]; then
    channel=$(find_channel)
    if [[ -z $channel ]]; then
      [[ $MODE == dry-run ]] || echo "create  mail to $ALERT_EMAIL"
      run gcloud beta monitoring channels create --project="$PROJECT" --display-name=sessions --type=email \
        --channel-labels=email_address="$ALERT_EMAIL"
      channel=$(find_channel)
    fi
  else
    left_out "deploy/setup.sh" "nobody is told of alerts: export ALERT_EMAIL"
  fi
  for file in "$HERE"/alerts/*.json; do
    rendered=$(render "$file")
    name=$(value_of "$(<"$file")" displayName)
    there=$(look gcloud alpha monitoring policies list --project="$PROJECT" --filter="displayName=\"$name\"" \
      --format='value[separator=" "](name,userLabels.content,notificationChannels)' --limit=1)
    keep "alert $name" "$(content_of "$rendered") $channel" "${there#* }" \
      set_alert "$rendered" "${there%% *}" "$channel"
  done
}

find_channel() {
  look gcloud beta monitoring channels list --project="$PROJECT" \
    --filter="labels.email_address=\"$ALERT_EMAIL\"" --format='value(name)' --limit=1
}

# set_alert FILE PRESENT CHANNEL
set_alert() {
  if [[ $2 ]]; then
    run gcloud alpha monitoring policies update "$2" --project="$PROJECT" --policy-from-file="$1" \
      ${3:+--set-notification-channels="$3"}
  else
    run gcloud alpha monitoring policies create --project="$PROJECT" --policy-from-file="$1" \
      ${3:+--notification-channels="$3"}
  fi
}

# set_dashboard FILE PRESENT: made anew, because an update wants to be told which version it replaces.
set_dashboard() {
  if [[ $2 ]]; then run gcloud monitoring dashboards delete sessions --project="$PROJECT" --quiet; fi
  run gcloud monitoring dashboards create --project="$PROJECT" --config-from-file="$1"
}

# set_freshness FILE PRESENT
set_freshness() {
  local query
  query=$(<"$1")
  query=${query//\"/\\\"}
  if [[ $2 ]]; then run bq --project_id="$PROJECT" --location="$LOCATION" rm -f --transfer_config "$2"; fi
  run bq --project_id="$PROJECT" --location="$LOCATION" mk --transfer_config --data_source=scheduled_query \
    --display_name=sessions-freshness --schedule='every 6 hours' --service_account_name="$(account etl-runner)" \
    --params="{\"query\": \"${query//$'\n'/\\n}\"}"
}

enable_apis
set_up_network
create_accounts
create_storage
create_datasets
grant_roles
create_triggers
create_schedule
create_alerts
finish
