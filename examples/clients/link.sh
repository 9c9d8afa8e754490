#!/bin/sh
# A link that opens one attachment until it expires, signed here by openssl: no request is made.
#
# link.sh DATABASE DOCUMENT ATTACHMENT SECONDS
#
# COUCHGATE_SIGNING_KEY is one of couchgate's [download_token] signing_keys, ID:SECRET.
# COUCHGATE_URL is where clients reach couchgate.
set -eu

fail() {
  echo "$1" >&2
  exit 1
}

usage='link.sh DATABASE DOCUMENT ATTACHMENT SECONDS'
[ $# -eq 4 ] || fail "$usage"
case $4 in '' | 0* | *[!0-9]*) fail "$usage" ;; esac
key=${COUCHGATE_SIGNING_KEY-}
id=${key%%:*} secret=${key#*:}
[ "$id" != "$key" ] || fail 'COUCHGATE_SIGNING_KEY must be ID:SECRET'
url=${COUCHGATE_URL:-http://127.0.0.1:5994}
command -v openssl >/dev/null || fail 'openssl is needed: apt-get install openssl'

# The bytes of the input, as numbers.
bytes() {
  od -An -v -tu1
}

# A name as one segment of a path: all but the unreserved characters are encoded.
segment() {
  for byte in $(printf %s "$1" | bytes); do
    case $byte in
      45 | 46 | 4[89] | 5[0-7] | 6[5-9] | [78]? | 90 | 95 | 9[789] | 1[01]? | 12[0126])
        printf "\\$(printf %03o "$byte")" ;;
      *) printf %%%02X "$byte" ;;
    esac
  done
}

# HMAC-SHA256 (RFC 2104) of the input: `openssl dgst -hmac` would show the secret to everybody who
# can list processes.
hmac() {
  set -- $(printf %s "$secret" | bytes)
  [ $# -le 64 ] || set -- $(printf %s "$secret" | sha256 | bytes)
  while [ $# -lt 64 ]; do set -- "$@" 0; done
  { xor 54 "$@"; cat; } | sha256 | { xor 92 "$@"; cat; } | sha256
}
xor() {
  with=$1
  shift
  for byte; do printf "\\$(printf %03o $((byte ^ with)))"; done
}
sha256() {
  openssl dgst -sha256 -binary
}

# What is signed has the names as they are, a line each.
expires=$(($(date +%s) + $4))
signature=$(printf 'couchgate1\n%s\n%s\n%s\n%s\n%s' "$id" "$expires" "$1" "$2" "$3" | hmac |
  openssl base64 -A | tr +/ -_ | tr -d =)
echo "${url%/}/$(segment "$1")/$(segment "$2")/$(segment "$3")?token=couchgate1.$id.$expires.$signature"
