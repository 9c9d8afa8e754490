#!/usr/bin/env python3
"""Requests signed with OAuth 1.0, by requests-oauthlib: pip install requests-oauthlib

The defaults are the quickstart's; `couchgate oauth add` makes others.
"""
import os

from requests_oauthlib import OAuth1Session

url = os.environ.get("COUCHGATE_URL", "http://127.0.0.1:5994")
couch = OAuth1Session(
    os.environ.get("OAUTH_CONSUMER_KEY", "consumer1"),
    client_secret=os.environ.get("OAUTH_CONSUMER_SECRET", "sekr1t"),
    resource_owner_key=os.environ.get("OAUTH_TOKEN", "token1"),
    resource_owner_secret=os.environ.get("OAUTH_TOKEN_SECRET", "tokensekr1t"),
)

# Who am I?
print(couch.get(f"{url}/_session").json())

# Write a document. The body is JSON, which no signature covers: use https.
print(couch.post(f"{url}/demo", json={"from": "Python"}).json())

# The query is signed, whatever is in it.
print(couch.get(f"{url}/demo/_all_docs", params={"startkey": '"wel"', "limit": 1}).json())
