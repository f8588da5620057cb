"""A pretended `gcloud`, `bq`, `docker` and `curl`, answered by this process.

They note every call, remember what was made, changed and removed (in `state.json` of their folder), and answer
questions about it. A line of the file `fail` is an expression: calls that it matches fail.

A script makes a hundred calls, and a Python process for each would be nine tenths of the time that its tests take. So
the programs on the PATH are some lines of bash, which pass their words on to a server in here.
"""

from __future__ import annotations

import binascii
import functools
import json
import os
import re
import shutil
import socketserver
import threading
import traceback
from pathlib import Path

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
TOOLS = ("gcloud", "bq", "docker", "curl")
State = dict[str, dict[str, str]]

#: Sends the words and prints the answer. Each part ends with a zero byte, which no word of a command can hold.
_PROGRAM = """#!{bash}
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\0' $(($# + 2)) {tool} "$CLOUD" "$@" >&3
IFS= read -r -d '' code <&3 && IFS= read -r -d '' out <&3 && IFS= read -r -d '' err <&3 || exit 70
printf %s "$err" >&2
printf %s "$out"
exit "$code"
"""


def put_tools(folder: Path) -> None:
    """The programs, to be put on the PATH of a script that has the folder as `CLOUD`."""
    for tool in TOOLS:
        (folder / tool).write_text(_PROGRAM.format(bash=shutil.which("bash"), port=_port(), tool=tool))
        (folder / tool).chmod(0o755)


@functools.cache
def _port() -> int:
    """Where the one server of this process listens."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class _Handler(socketserver.StreamRequestHandler):
    """One call: the number of words and the words; back go exit code, output and errors."""

    def handle(self) -> None:
        received = b""
        while (ended := received.count(b"\0")) == 0 or ended <= int(received.partition(b"\0")[0]):
            if not (more := self.request.recv(65536)):
                return  # the script was ended
            received += more
        _, tool, folder, *given = received.decode().split("\0")[:-1]
        call = Call(folder, tool, given)
        try:
            code = call.do()
        except Exception:  # as of a program: the caller sees it, and the test with it
            code, call.err = 70, traceback.format_exc()
        self.request.sendall(b"\0".join(text.encode() for text in (str(code), call.out, call.err, "")))


class Call:
    """One call of a tool.

    Attributes:
      folder: where the cloud is remembered.
      tool: one of `TOOLS`.
      words: its arguments.
      out: what it prints.
      err: what it says of errors.
    """

    def __init__(self, folder: str, tool: str, words: list[str]) -> None:
        self.folder, self.tool, self.words = folder, tool, words
        self.out = self.err = ""

    def do(self) -> int:
        """Note it, do it; the exit code."""
        tool, words, here = self.tool, self.words, self.folder
        line = " ".join([tool, *words])
        with open(f"{here}/calls", "a+") as log:
            log.write(json.dumps([tool, *words]) + "\n")
            log.seek(0)
            self.keep_files(sum(1 for _ in log))
        if any(re.search(pattern, line) for pattern in text_of(f"{here}/fail").splitlines()):
            self.err = f"PERMISSION_DENIED: {line}\n"
            return 1
        state: State = json.loads(text_of(f"{here}/state.json"))
        flags = dict(
            word[2:].split("=", 1) if "=" in word else (word[2:], "") for word in words if word.startswith("--")
        )
        names = [word for word in words if not word.startswith("-")]
        code = {"gcloud": self.gcloud, "bq": self.bq, "docker": self.docker, "curl": lambda *_: 0}[tool](
            state, names, flags
        )
        with open(f"{here}/state.json", "w") as file:
            json.dump(state, file)
        return code

    def print(self, text: str) -> None:
        """A line of output."""
        self.out += f"{text}\n"

    def copy(self, source: str, target: str) -> None:
        """A file as another one of the folder."""
        with open(f"{self.folder}/{target}", "w") as file:
            file.write(text_of(source))

    def keep_files(self, number: int) -> None:
        """What a body said when it was sent."""
        for word in self.words:
            if re.match(r"--(message-body-from-file|policy-from-file|config-from-file|source)=", word):
                self.copy(word.partition("=")[2], f"{number}.json")
            if word.startswith("@"):
                self.copy(word[1:], "launched.json")

    def gcloud(self, state: State, names: list[str], flags: dict[str, str]) -> int:
        """A call of gcloud."""
        if names[:2] == ["config", "set"]:
            return 0
        at = next(number for number, word in enumerate(names) if word in VERBS)
        group, verb, rest = " ".join(names[:at]), names[at], names[at + 1 :]
        name = flags.get("secret") or (rest[-1].partition("@my-project.")[0] if rest else "")
        key = f"{group}/{name}"
        if verb == "print-access-token":
            self.print("secret-token")
        elif group == "artifacts docker images" and verb == "describe":  # as in a project with Artifact Analysis
            self.err = "PERMISSION_DENIED: permission containeranalysis.occurrences.list\n"
            return 1
        elif group == "artifacts docker tags" and verb == "list":
            for tagged in [key for key in state if key.startswith(f"{group}/{name}:")]:
                self.print(f"{tagged.rpartition(':')[2]} {state[tagged]['version']}")
        elif verb == "describe":
            return self.describe(state, group, key, flags.get("format", ""))
        elif verb == "list":
            self.listed(state, group, flags)
        elif verb == "get-iam-policy":
            self.print("\n".join(state.get(f"policy {key}", {})))
        elif verb == "add-iam-policy-binding":
            title = flags.get("condition", "").partition("title=")[2].partition(",")[0]
            state.setdefault(f"policy {key}", {})[f"{flags['role']} {flags['member']} {title}"] = ""
        elif verb in ("delete", "rm"):
            state.pop(key.replace("storage/", "storage buckets/"), None)
            for file in [file for file in state if file.startswith(f"storage objects/{name}/")]:
                del state[file]
        elif group == "dataflow flex-template":
            state[f"storage objects/{name}"] = {"name": name}
        elif group == "artifacts docker tags":
            state[f"{group}/{rest[1]}"] = {"version": rest[0].partition("@")[2]}
        elif verb == "submit":  # a build that ends well
            given = dict(pair.split("=") for pair in flags["substitutions"].split(","))
            image = f"{given['_REGION']}-docker.pkg.dev/{flags['project']}/sessions/pipeline"
            for tag in (given["SHORT_SHA"], f"proven-{given['SHORT_SHA']}"):
                state[f"artifacts docker tags/{image}:{tag}"] = {"version": "sha256:0123"}
        elif verb in ("create", "add", "import", "update"):
            self.change(state, group, name, flags)
        return 0

    def describe(self, state: State, group: str, key: str, form: str) -> int:
        """Print the field that was asked for, or fail."""
        if group == "projects":
            self.print("123456")
            return 0
        if key not in state:
            self.err += f"NOT_FOUND: {key}\n"
            return 1
        self.print(state[key].get(form.removeprefix("value(").removesuffix(")"), ""))
        return 0

    def listed(self, state: State, group: str, flags: dict[str, str]) -> None:
        """Print the entries of a group that a filter of the form field="value" lets through."""
        field, _, wanted = flags.get("filter", "=").partition("=")
        fields = flags.get("format", "").partition("(")[2].removesuffix(")").split(",")
        for key, entry in state.items():
            if key.startswith(f"{group}/") and entry.get(field) == wanted.strip('"'):
                self.print(" ".join(entry.get(name, "") for name in fields))

    def change(self, state: State, group: str, name: str, flags: dict[str, str]) -> None:
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

    def bq(self, state: State, names: list[str], flags: dict[str, str]) -> int:
        """A call of bq."""
        command = names[0]
        key = f"dataset/{names[-1].rpartition(':')[2]}"
        if command == "ls":
            configs = [{"name": name[3:]} | entry for name, entry in state.items() if name.startswith("dts")]
            self.print(json.dumps(configs, indent=2, sort_keys=True))
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
            self.print(json.dumps(state[key]))
        elif command == "rm":
            if state[key].get("tables") and "-r" not in self.words:
                self.err += "the dataset is still in use\n"
                return 1
            del state[key]
        return 0

    def docker(self, state: State, names: list[str], flags: dict[str, str]) -> int:
        """A call of docker."""
        if names[0] == "push":
            state[f"artifacts docker tags/{names[1]}"] = {"version": "sha256:0123"}
        return 0


def text_of(path: str) -> str:
    """The content of a file; nothing when there is none."""
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read()


def encoded(path: str) -> str:
    """A file in base64."""
    return binascii.b2a_base64(text_of(path).encode()).decode().strip()
