#!/usr/bin/env python3
"""A worker in Python 3, without any package: claims jobs, does them, says how they ended.

    PLIMSOLL_URL=http://127.0.0.1:3002 python3 worker.py mail

Stop it with Ctrl-C or SIGTERM: it takes no more jobs and ends the one that it has.
"""

import json
import os
import signal
import sys
import threading
import traceback
import urllib.error
import urllib.parse
import urllib.request

BASE = os.environ.get("PLIMSOLL_URL", "http://127.0.0.1:3002") + "/api/v1/performance/jobs"
TOKEN = os.environ.get("PLIMSOLL_TOKEN")
QUEUE = sys.argv[1] if len(sys.argv) > 1 else "mail"
WORKER = f"python-{os.getpid()}"
LEASE_MS = 30_000

stopping = threading.Event()


def add_up(data):
    return {"sum": sum(data["numbers"])}


# What each kind of job does; what it returns is kept as the job's result.
HANDLERS = {"sum": add_up}


class Refused(Exception):
    """What the server does not do, with its code."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


def post(path, body, timeout=30):
    """Sends JSON and returns the JSON of the answer."""
    headers = {"content-type": "application/json"}
    if TOKEN:
        headers["authorization"] = f"Bearer {TOKEN}"
    url = f"{BASE}/{urllib.parse.quote(QUEUE, safe='')}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            problem = json.load(error)
        except ValueError:
            problem = {}
        raise Refused(problem.get("code"), problem.get("detail", str(error))) from None


def work(job, token):
    path = "/" + urllib.parse.quote(job["id"], safe="")
    done = threading.Event()

    def beat():
        # Whoever is silent for longer than the lease loses the job to another worker.
        while not done.wait(LEASE_MS / 3000):
            try:
                post(f"{path}/heartbeat", {"token": token, "leaseMs": LEASE_MS})
            except (Refused, OSError):
                pass

    threading.Thread(target=beat, daemon=True).start()
    try:
        handler = HANDLERS.get(job["name"])
        if handler is None:
            message = f"no handler for {job['name']}"
            error = {"name": "UnknownJob", "message": message, "retryable": False}
            post(f"{path}/fail", {"token": token, "error": error})
            return
        post(f"{path}/complete", {"token": token, "returnvalue": handler(job["data"])})
    except Refused as error:
        # Another has it by now: nothing is left to say.
        if error.code != "lease-lost":
            raise
    except Exception as error:  # A job may fail in any way; its worker goes on.
        told = {"name": type(error).__name__, "message": str(error), "stack": traceback.format_exc()}
        post(f"{path}/fail", {"token": token, "error": told})
    finally:
        done.set()


def main():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    while not stopping.is_set():
        try:
            claim = {"max": 1, "waitMs": 2000, "leaseMs": LEASE_MS, "worker": WORKER}
            for one in post("/claim", claim)["items"]:
                work(one["job"], one["token"])
        except (Refused, OSError) as error:
            # The queue is made with its first job, and the server may be starting.
            if getattr(error, "code", None) != "unknown-queue":
                print(f"{WORKER}: {error}", file=sys.stderr)
            stopping.wait(1)


if __name__ == "__main__":
    main()
