"""Signs requests with oauthlib, alone or for requests, and sends them.

Reads a request from each line of stdin and writes its answer as a line to stdout, both as JSON.
"""

import json
import ssl
import sys
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlencode, urlsplit

import requests
from oauthlib.oauth1 import (
    SIGNATURE_TYPE_AUTH_HEADER,
    SIGNATURE_TYPE_BODY,
    SIGNATURE_TYPE_QUERY,
    Client,
)
from requests.adapters import HTTPAdapter
from requests_oauthlib import OAuth1Session

FORM = "application/x-www-form-urlencoded"
PLACES = {
    "header": SIGNATURE_TYPE_AUTH_HEADER,
    "query": SIGNATURE_TYPE_QUERY,
    "body": SIGNATURE_TYPE_BODY,
}
PATIENCE = 30


class Dial(HTTPAdapter):
    """Connects to where the test wants it, after the URL has been signed."""

    def __init__(self, job):
        self.job = job
        super().__init__()

    def send(self, request, **options):
        url = urlsplit(request.url)
        request.headers.setdefault("Host", self.job.get("host", url.netloc))
        self.sent = request.path_url
        scheme = "https" if "ca" in self.job else "http"
        signed = f"{url.scheme}://{url.netloc}"
        request.url = request.url.replace(signed, f"{scheme}://{self.job['connect']}", 1)
        return super().send(request, **options)


def with_requests(job):
    session = OAuth1Session(**credentials(job))
    session.trust_env = False
    dial = Dial(job)
    session.mount("http://", dial)
    session.mount("https://", dial)
    answer = session.request(
        job["method"],
        job["url"],
        params=pairs(job, "params"),
        data=pairs(job, "form"),
        json=job.get("json"),
        headers=job.get("headers"),
        verify=job.get("ca"),
        allow_redirects=False,
        timeout=PATIENCE,
    )
    return {"sent": dial.sent, "status": answer.status_code, "body": answer.text}


def with_oauthlib(job):
    url, headers, body = job["url"], dict(job.get("headers", {})), None
    if "params" in job:
        url += "?" + urlencode(pairs(job, "params"))
    if "form" in job:
        body = urlencode(pairs(job, "form"))
        headers["Content-Type"] = FORM
    elif "json" in job:
        body = json.dumps(job["json"])
        headers["Content-Type"] = "application/json"
    client = Client(**credentials(job))
    url, headers, body = client.sign(url, job["method"], body, headers)

    parts = url.split("/", 3)
    target = "/" + parts[3]
    if "ca" in job:
        context = ssl.create_default_context(cafile=job["ca"])
        connection = HTTPSConnection(job["connect"], context=context, timeout=PATIENCE)
    else:
        connection = HTTPConnection(job["connect"], timeout=PATIENCE)
    connection.putrequest(job["method"], target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", job.get("host", parts[2]))
    for name, value in headers.items():
        connection.putheader(name, value)
    body = body.encode() if body else None
    if body:
        connection.putheader("Content-Length", len(body))
    connection.endheaders(body)
    with connection.getresponse() as answer:
        return {"sent": target, "status": answer.status, "body": answer.read().decode()}


def credentials(job):
    """What both libraries name alike."""
    consumer, token = job["consumer"], job["token"]
    return {
        "client_key": consumer[0],
        "client_secret": consumer[1],
        "resource_owner_key": token[0],
        "resource_owner_secret": token[1],
        "signature_method": job["signature"],
        "signature_type": PLACES[job["place"]],
    }


def pairs(job, key):
    return [tuple(pair) for pair in job[key]] if key in job else None


send = {"requests": with_requests, "oauthlib": with_oauthlib}[sys.argv[1]]
for line in sys.stdin.buffer:
    try:
        answer = send(json.loads(line))
    except Exception as error:  # What a library refuses to sign is an answer too.
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
