# shellcheck shell=bash
# How the scripts run their commands: for real, printed (--dry-run), or compared with what is there (--plan).
#
# `run` never stops a script: a command that fails is listed at the end, to be run again. `run_or_stop` is for steps that
# need each other. Sourced, never run.

MODE=${MODE:-run}                          # run, dry-run or plan
RENDERED=${RENDERED:-$(mktemp -d)}

# The modes of a script from its first argument.
mode() {
  case ${1:-} in
    --dry-run) MODE=dry-run ;;
    --plan) MODE=plan ;;
    -*) return 1 ;;
  esac
}

section() { echo "# $*"; }

# Print a command as it can be copied.
show() {
  local line
  printf -v line '%q ' "$@"
  echo "${line% }"
}

# Run a command, or only print it. When it fails, the script goes on and finish tells.
run() {
  case $MODE in
    dry-run) show "$@" ;;
    run) "$@" || left_out "$(show "$@")" ;;
  esac
}

# The same, when what comes after it would do harm without it: the script ends here.
run_or_stop() {
  case $MODE in
    run) "$@" || stop "$(show "$@")" ;;
    *) run "$@" ;;
  esac
}

# stop COMMAND
stop() {
  printf '# STOPPED, and nothing after it was done. Mend the cause, then run this script again:\n%s\n' "$1" >&2
  exit 1
}

# `run` for what depends on something made seconds ago: new service accounts are not known everywhere at once.
run_patiently() {
  local attempt
  if [[ $MODE == run ]]; then
    for attempt in 1 2 3; do
      if "$@" >"$RENDERED/answer" 2>&1; then return; fi
      sleep $((attempt * ${PATIENCE:-5}))
    done
  fi
  run "$@"
}

# What a command that only looks prints; nothing in a dry run.
exec 3>&1
look() {
  if [[ $MODE == dry-run ]]; then show "$@" >&3; else "$@" 2>/dev/null || true; fi
}

# left_out COMMAND [REASON]: remember what is still to do.
left_out() {
  local entry=${2:+# $2$'\n'}$1
  if [[ $'\n'$(cat "$RENDERED/left_out" 2>/dev/null)$'\n' != *$'\n'"$entry"$'\n'* ]]; then
    printf '%s\n' "$entry" >>"$RENDERED/left_out"
  fi
}

# What was left out; the exit code of the script.
finish() {
  if [[ ! -s $RENDERED/left_out ]]; then return; fi
  if [[ $MODE == plan ]]; then
    echo "# would be left out:"
    sed 's/^# /left out  /; /^[^l]/d' "$RENDERED/left_out"
    return
  fi
  echo "# LEFT OUT. Mend the cause, then run this script again, or these commands:" >&2
  cat "$RENDERED/left_out" >&2
  return 1
}

# ensure WHAT CHECK... -- CREATE...: run CREATE (a command or a function) unless CHECK succeeds.
ensure() {
  local what=$1 check=()
  shift
  while [[ $1 != -- ]]; do check+=("$1") && shift; done
  shift
  if [[ $MODE == dry-run ]]; then
    echo "$(show "${check[@]}") >/dev/null 2>&1 || {"
    make "$@"
    echo "}"
  elif "${check[@]}" >/dev/null 2>&1; then
    echo "leave   $what"
  else
    echo "create  $what"
    make "$@"
  fi
}

# keep WHAT WANTED THERE SET...: run SET, which makes or changes, unless what is there is what is wanted.
keep() {
  local what=$1 wanted=$2 there=$3
  shift 3
  if [[ $MODE != dry-run ]]; then
    if [[ $there == "$wanted" ]]; then
      echo "leave   $what"
      return
    fi
    if [[ $there ]]; then echo "change  $what"; else echo "create  $what"; fi
  fi
  make "$@"
}

# fixed WHAT WANTED THERE: say so when something that cannot be changed is not as the settings want it.
fixed() {
  if [[ $3 && ${3,,} != "${2,,}" ]]; then
    echo "leave   $1: it is $3 and cannot become $2; take another name, or the setting that fits"
  fi
}

# grant WHERE MEMBER ROLE READ... -- ADD...: run ADD unless the policy that READ shows has it. Nothing is taken away. After
# MEMBER and a blank stands the title of the condition, if there is one.
declare -A POLICIES
grant() {
  local where=$1 member=$2 role=$3 read=() there=''
  shift 3
  while [[ $1 != -- ]]; do read+=("$1") && shift; done
  shift
  if [[ ! ${POLICIES[$where]+known} ]]; then
    POLICIES[$where]=$(look "${read[@]}" --flatten='bindings[].members' \
      --format='value[separator=" "](bindings.role,bindings.members,bindings.condition.title)' | sed 's/ *$//')
  fi
  if [[ $'\n'${POLICIES[$where]}$'\n' == *$'\n'"$role $member"$'\n'* ]]; then there=$role; fi
  keep "$role on $where for ${member#*:}" "$role" "$there" run_patiently "$@"
}

make() {
  if [[ $(type -t "$1") == function ]]; then "$@"; else run "$@"; fi
}

# A file with every ${NAME} replaced by the value of that variable, which may be empty; the name of the result. ${CONTENT} becomes a
# checksum of all the rest, by which keep sees whether the file has changed since it was sent.
render() {
  local text name result CONTENT=''
  text=$(<"$1")
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    if [[ $name == CONTENT ]]; then
      text=${text//"\${CONTENT}"/@CONTENT@}
    else
      text=${text//"\${$name}"/"${!name?"$1 needs $name"}"}
    fi
  done
  CONTENT=c$(cksum <<<"$text" | cut -d' ' -f1)
  result=$RENDERED/$(basename "$1")
  printf '%s\n' "${text//@CONTENT@/"$CONTENT"}" >"$result"
  echo "$result"
}

# The checksum in a rendered file, or of one without.
content_of() {
  if [[ $(<"$1") =~ (content|freshness)[\":\ -]+(c[0-9]+) ]]; then
    echo "${BASH_REMATCH[2]}"
  else
    echo "c$(cksum <"$1" | cut -d' ' -f1)"
  fi
}
