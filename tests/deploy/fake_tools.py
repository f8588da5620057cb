"""A pretended `gcloud`, `bq`, `docker` and `curl`: one program that is called by these names.

It notes every call, remembers what was made, changed and removed (in `$CLOUD/state.json`), and answers questions about
it. A line of `$CLOUD/fail` is an expression: calls that it matches fail.
"""

from __future__ import annotations

import binascii
import json
import os
import re
import sys

HERE = os.environ["CLOUD"]
VERBS = (
    *(
        "describe",
        "list",
        "create",
        "update",
        "delete",
        "add",
        "import",
        "enable",
        "pause",
        "resume",
        "rm",
        "submit",
        "build",
    ),
    *("add-iam-policy-binding", "get-iam-policy", "set-cleanup-policies", "print-access-token"),
)
State = dict[str, dict[str, str]]


def main(tool: str, words: list[str]) -> int:
    """Do one call."""
    line = " ".join([tool, *words])
    with open(f"{HERE}/calls", "a+") as log:
        log.write(json.dumps([tool, *words]) + "\n")
        log.seek(0)
        keep_files(words, sum(1 for _ in log))
    if any(re.search(pattern, line) for pattern in text_of(f"{HERE}/fail").splitlines()):
        sys.stderr.write(f"PERMISSION_DENIED: {line}\n")
        return 1
    state: State = json.loads(text_of(f"{HERE}/state.json"))
    flags = dict(word[2:].split("=", 1) if "=" in word else (word[2:], "") for word in words if word.startswith("--"))
    names = [word for word in words if not word.startswith("-")]
    code = {"gcloud": gcloud, "bq": bq, "docker": docker, "curl": lambda *_: 0}[tool](state, names, flags)
    with open(f"{HERE}/state.json", "w") as file:
        json.dump(state, file)
    return code


def text_of(path: str) -> str:
    """The content of a file; nothing when there is none."""
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read()


def copy(source: str, target: str) -> None:
    """A file as another one of the folder."""
    with open(f"{HERE}/{target}", "w") as file:
        file.write(text_of(source))


def keep_files(words: list[str], number: int) -> None:
    """What a body said when it was sent."""
    for word in words:
        if re.match(r"--(message-body-from-file|policy-from-file|config-from-file|source)=", word):
            copy(word.partition("=")[2], f"{number}.json")
        if word.startswith("@"):
            copy(word[1:], "launched.json")


def gcloud(state: State, names: list[str], flags: dict[str, str]) -> int:
    """A call of gcloud."""
    if names[:2] == ["config", "set"]:
        return 0
    at = next(number for number, word in enumerate(names) if word in VERBS)
    group, verb, rest = " ".join(names[:at]), names[at], names[at + 1 :]
    name = flags.get("secret") or (rest[-1].partition("@my-project.")[0] if rest else "")
    key = f"{group}/{name}"
    if verb == "print-access-token":
        print("secret-token")
    elif verb == "describe":
        return describe(state, group, key, flags.get("format", ""))
    elif verb == "list":
        listed(state, group, flags)
    elif verb == "get-iam-policy":
        print("\n".join(state.get(f"policy {key}", {})))
    elif verb == "add-iam-policy-binding":
        state.setdefault(f"policy {key}", {})[f"{flags['role']} {flags['member']}"] = flags.get("condition", "")
    elif verb in ("delete", "rm"):
        state.pop(key.replace("storage/", "storage buckets/"), None)
    elif group == "artifacts docker tags":
        state[f"artifacts docker images/{rest[1]}"] = {"image_summary.digest": rest[0].partition("@")[2]}
    elif verb == "submit":  # a build that ends well
        given = dict(pair.split("=") for pair in flags["substitutions"].split(","))
        image = f"{given['_REGION']}-docker.pkg.dev/{flags['project']}/sessions/pipeline"
        for tag in (given["SHORT_SHA"], f"proven-{given['SHORT_SHA']}"):
            state[f"artifacts docker images/{image}:{tag}"] = {"image_summary.digest": "sha256:0123"}
    elif verb in ("create", "add", "import", "update"):
        change(state, group, name, flags)
    return 0


def describe(state: State, group: str, key: str, form: str) -> int:
    """Print the field that was asked for, or fail."""
    if group == "projects":
        print("123456")
        return 0
    if key not in state:
        sys.stderr.write(f"NOT_FOUND: {key}\n")
        return 1
    print(state[key].get(form.removeprefix("value(").removesuffix(")"), ""))
    return 0


def listed(state: State, group: str, flags: dict[str, str]) -> None:
    """Print the entries of a group that a filter of the form field="value" lets through."""
    field, _, wanted = flags.get("filter", "=").partition("=")
    fields = flags.get("format", "").partition("(")[2].removesuffix(")").split(",")
    for key, entry in state.items():
        if key.startswith(f"{group}/") and entry.get(field) == wanted.strip('"'):
            print(" ".join(entry.get(name, "") for name in fields))


def change(state: State, group: str, name: str, flags: dict[str, str]) -> None:
    """Make or change something."""
    body = next((flags[key] for key in ("policy-from-file", "config-from-file", "source") if key in flags), "")
    sent = json.loads(text_of(body)) if body else {}
    if group in ("alpha monitoring policies", "beta monitoring channels") and "/" not in name:
        name = f"projects/my-project/{group.split()[-1]}/{sum(key.startswith(group) for key in state)}"
    elif sent and not name:
        name = sent["name"].rsplit("/", 1)[-1]
    entry = state.setdefault(f"{group}/{name}", {"name": name})
    entry |= {key: flags[key] for key in ("location", "network") if key in flags}
    if "enable-private-ip-google-access" in flags:
        entry["privateIpGoogleAccess"] = "True"
    for pair in filter(None, flags.get("update-labels", "").split(",")):
        label, _, value = pair.partition("=")
        entry[f"labels.{label}"] = value
    if "message-body-from-file" in flags:
        entry["httpTarget.body"] = encoded(flags["message-body-from-file"])
    if "channel-labels" in flags:
        entry["labels.email_address"] = flags["channel-labels"].partition("=")[2]
    for key in ("notification-channels", "set-notification-channels"):
        if key in flags:
            entry["notificationChannels"] = flags[key]
    if sent:
        entry["tags"] = ";".join(sent.get("tags", []))
        entry["displayName"] = sent.get("displayName", "")
        entry["labels.content"] = sent.get("labels", {}).get("content", "")
        entry["userLabels.content"] = sent.get("userLabels", {}).get("content", "")


def encoded(path: str) -> str:
    """A file in base64."""
    return binascii.b2a_base64(text_of(path).encode()).decode().strip()


def bq(state: State, names: list[str], flags: dict[str, str]) -> int:
    """A call of bq."""
    command = names[0]
    key = f"dataset/{names[-1].rpartition(':')[2]}"
    if command == "ls":
        configs = [{"name": name[3:]} | entry for name, entry in state.items() if name.startswith("dts")]
        print(json.dumps(configs, indent=2, sort_keys=True))
    elif "transfer_config" in flags:
        if command == "mk":
            config = {"displayName": flags["display_name"], "params": flags["params"]}
            state["dtsprojects/my-project/locations/eu/transferConfigs/1"] = config
        else:
            del state[f"dts{names[-1]}"]
    elif command == "query" and "GRANT" in names[-1]:
        role, dataset, member = re.findall(r"`(.+?)` ON SCHEMA `.+\.(.+)` TO 'serviceAccount:(.+)'", names[-1])[0]
        state.setdefault(f"dataset/{dataset}", {})[member] = role
    elif command == "mk":
        state[key] = {"location": flags["location"]}
    elif command == "show" and key not in state:
        return 1
    elif command == "show":
        print(json.dumps(state[key]))
    elif command == "rm":
        if state[key].get("tables") and "-r" not in sys.argv:
            sys.stderr.write("the dataset is still in use\n")
            return 1
        del state[key]
    return 0


def docker(state: State, names: list[str], flags: dict[str, str]) -> int:
    """A call of docker."""
    if names[0] == "push":
        state[f"artifacts docker images/{names[1]}"] = {"image_summary.digest": "sha256:0123"}
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ["FAKE_TOOL"], sys.argv[1:]))
