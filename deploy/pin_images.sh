#!/usr/bin/env bash
# Writes the digests of the base images behind their tags, in the Dockerfile and the builds: a tag can be pushed again,
# a digest cannot. Needs docker and a network; read the difference before you commit it.
#
#   deploy/pin_images.sh [--dry-run]
set -euo pipefail
# shellcheck source=deploy/steps.sh
source "$(dirname "$0")/steps.sh"
mode "${1:-}" || { echo "usage: deploy/pin_images.sh [--dry-run]" >&2 && exit 2; }
cd "${ROOT:-$(dirname "$0")/..}"
files=(Dockerfile cloudbuild.yaml deploy/promote.yaml)

# every image with a tag: those of our own stages and of Cloud Build's builders have none
images=$(sed --quiet --regexp-extended 's/^(FROM|    name:) ([^ @]+:[^ @]+).*/\2/p' "${files[@]}" | sort --unique)
for image in $images; do
  digest=$(look docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
  if [[ $MODE == dry-run ]]; then continue; fi
  if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
    left_out "docker buildx imagetools inspect $image" "no digest for $image"
    continue
  fi
  sed --in-place --regexp-extended "s|^(FROM\|    name:) $image(@sha256:[0-9a-f]+)?|\1 $image@$digest|" "${files[@]}"
  echo "$image@$digest"
done
finish
