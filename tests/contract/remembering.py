"""moto with a journal as a process of its own, for tests that kill it: FOLDER PORT."""

from __future__ import annotations

import sys
from pathlib import Path

from werkzeug.serving import make_server

from runtime.lab.daemon import furnish
from runtime.lab.memory import moto
from runtime.lab.memory.journal import Journal

REGION = "us-east-1"

if __name__ == "__main__":
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    app = moto.Moto(moto.load(), Journal(folder / "journal.jsonl", region=REGION))
    for line in app.recall(furnish, REGION):
        sys.stderr.write(f"lost: {line}\n")
    make_server("127.0.0.1", port, app, threaded=True).serve_forever()
