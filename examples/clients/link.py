#!/usr/bin/env python3
"""A link that opens one attachment until it expires, signed here: no request is made.

link.py DATABASE DOCUMENT ATTACHMENT SECONDS

COUCHGATE_SIGNING_KEY is one of couchgate's [download_token] signing_keys, ID:SECRET.
COUCHGATE_URL is where clients reach couchgate.
"""
import base64
import hashlib
import hmac
import os
import sys
import time
from urllib.parse import quote

if len(sys.argv) != 5 or not sys.argv[4].isdecimal():
    sys.exit("link.py DATABASE DOCUMENT ATTACHMENT SECONDS")
names, seconds = sys.argv[1:4], int(sys.argv[4])
key_id, colon, secret = os.environ.get("COUCHGATE_SIGNING_KEY", "").partition(":")
if not colon:
    sys.exit("COUCHGATE_SIGNING_KEY must be ID:SECRET")
url = os.environ.get("COUCHGATE_URL", "http://127.0.0.1:5994").rstrip("/")

# What is signed has the names as they are, a line each; in the URL each is one segment.
signed = ["couchgate1", key_id, str(int(time.time()) + seconds)]
mac = hmac.new(secret.encode(), "\n".join(signed + names).encode(), hashlib.sha256)
signature = base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
path = "/".join(quote(name, safe="") for name in names)
print(f"{url}/{path}?token={'.'.join(signed)}.{signature}")
