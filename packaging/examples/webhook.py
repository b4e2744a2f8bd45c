#!/usr/bin/env python3
"""A target of webhooks in Python 3, without any package: verifies the signature, then does the job.

    PLIMSOLL_WEBHOOK_SECRET=… python3 webhook.py 8080

The signature is that of Standard Webhooks, so its libraries verify it, too.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["PLIMSOLL_WEBHOOK_SECRET"]
# An old message that somebody sends again is refused.
TOLERANCE_S = 300


def is_genuine(headers, body):
    message, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE_S:
        return False
    key = SECRET.encode()
    if SECRET.startswith("whsec_"):
        key = base64.b64decode(SECRET[len("whsec_"):])
    signed = f"{message}.{sent}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(wanted, one) for one in given)


class Target(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.headers, body):
            return self.answer(401, {"error": "the signature does not fit"})
        job = json.loads(body)
        if job["name"] != "sum":
            return self.answer(422, {"error": f"no handler for {job['name']}"})
        # A delivery may come twice: webhook-id is the same then.
        return self.answer(200, {"sum": sum(job["data"]["numbers"])})

    def answer(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), Target)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()
