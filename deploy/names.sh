# shellcheck shell=bash
# The names that a release needs, and nothing more: what cloudbuild.yaml passes on. Sourced, never run.
#
# All else about a launch (datasets, network, machines) stands in the bodies of the Scheduler jobs, which setup.sh
# writes and a release leaves as they are but for image and template.
# shellcheck disable=SC2034  # used by the scripts that source this file

: "${PROJECT:?export PROJECT=your-project-id first}"
: "${REGION:=europe-west1}"                # of workers, images, schedule and the bucket
: "${BUCKET:=$PROJECT-sessions}"
: "${TAG:=unreleased}"                     # of the image: the commit

IMAGE=$REGION-docker.pkg.dev/$PROJECT/sessions/pipeline
LAUNCH_URI=https://dataflow.googleapis.com/v1b3/projects/$PROJECT/locations/$REGION/flexTemplates:launch
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
#: All Scheduler jobs: one that runs every night and one for full loads, of each environment.
JOBS=(sessions-nightly sessions-full-load sessions-dev-nightly sessions-dev-full-load)

account() { echo "$1@$PROJECT.iam.gserviceaccount.com"; }

# The template of an environment. Of the pipeline's accounts only the releaser may change what is below production/.
template_of() { echo "gs://$BUCKET/templates/$1/$TAG.json"; }

# The body that a Scheduler job sends.
body_of() {
  look gcloud scheduler jobs describe "$1" --project="$PROJECT" --location="$REGION" \
    --format='value(httpTarget.body)' | base64 --decode
}

# The first value of a name in the JSON text $1.
value_of() {
  [[ $1 =~ \"$2\":\ ?\"([^\"]*)\" ]] && echo "${BASH_REMATCH[1]}"
}

# The launch body $1 with another template and image, and nothing else changed.
with_release() {
  local text=$1 name value
  for name in containerSpecGcsPath sdkContainerImage; do
    value=$2 && shift
    [[ $text =~ \"$name\":\ \"[^\"]*\" ]] || { echo "no $name in the launch body" >&2 && return 1; }
    text=${text/"${BASH_REMATCH[0]}"/"\"$name\": \"$value\""}
  done
  echo "$text"
}
