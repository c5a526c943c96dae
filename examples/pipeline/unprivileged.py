"""Run `nomoat` as another user of this machine: `python -m examples.pipeline.unprivileged USER COMMAND …`.

Rules: everything that the command needs is imported before the user changes, because the new one may
not be able to read the Python that this runs in. There is no way back.
"""

import importlib
import os
import pwd
import sys

# What a witness loads only when it starts to serve.
LATER = (
    "nomoat.cli.witness",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.logging",
    "encodings.idna",
    "encodings.utf_8_sig",
)


def main() -> None:
    user, *command = sys.argv[1:]
    run = importlib.import_module("nomoat.cli").main
    for module in LATER:
        importlib.import_module(module)
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.umask(0o077)
    sys.argv = ["nomoat", *command]
    run()


if __name__ == "__main__":
    main()
