#!/bin/sh
# Requests signed with OAuth 1.0, by couchgate itself for curl.
# COUCHGATE_CONFIG names the configuration with the credentials; where it has several, say which:
# couchgate oauth sign --consumer KEY --token TOKEN
set -eu
url=${COUCHGATE_URL:-http://127.0.0.1:5994}

# METHOD PATH, and what curl shall do beside that.
couch() {
  method=$1 target=$url$2
  shift 2
  authorization=$(couchgate oauth sign "$method" "$target")
  curl -sS -X "$method" -H "$authorization" "$@" "$target"
}

# Who am I?
couch GET /_session

# Write a document. The body is JSON, which no signature covers: use https.
couch POST /demo -H 'Content-Type: application/json' -d '{"from":"curl"}'

# The query is signed, whatever is in it.
couch GET '/demo/_all_docs?limit=1&startkey=%22wel%22'
