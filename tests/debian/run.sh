#!/usr/bin/env bash
# `make run` and `make test-fast` on the Python that people have: in a fresh Debian 13, which ships 3.13; SUITE=testing
# takes the next one, with 3.14. Needs root and debootstrap, as on Debian or Ubuntu; MIRROR=URL takes another mirror than
# debootstrap's own. The system stays in DIR-SUITE (350 MB, and the environment), so that a second time takes the tests'
# own time.
#   usage: tests/debian/run.sh DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${SUITE:-trixie}
root=$(realpath -m "${1:?usage: tests/debian/run.sh DIR}-$suite")

[ "$(id -u)" = 0 ] || { echo "chroot needs root: sudo make test-python" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt install debootstrap" >&2; exit 1; }
if ! [ -x "$root/usr/bin/make" ]; then
  debootstrap --variant=minbase --include=python3,python3-venv,make,git,ca-certificates "$suite" "$root" ${MIRROR:+"$MIRROR"}
fi

mkdir -p "$root/job" "$root/proc"
find "$root/job" -mindepth 1 -maxdepth 1 -not -name '.venv' -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar --extract --directory="$root/job"
# the network as this machine has it
cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
[ -z "${PIP_CERT:-}" ] || install -D "$PIP_CERT" "$root$PIP_CERT"

mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
chroot "$root" bash -euc 'cd /job && git init --quiet && git add --all && python3 --version && make run && make test-fast'
