#!/usr/bin/env ruby
# Requests signed with OAuth 1.0, by the gem oauth: gem install oauth (Debian: apt-get install ruby-oauth)
# The defaults are the quickstart's; `couchgate oauth add` makes others.
require "json"
require "oauth"

consumer = OAuth::Consumer.new(
  ENV.fetch("OAUTH_CONSUMER_KEY", "consumer1"),
  ENV.fetch("OAUTH_CONSUMER_SECRET", "sekr1t"),
  site: ENV.fetch("COUCHGATE_URL", "http://127.0.0.1:5994")
)
couch = OAuth::AccessToken.new(
  consumer, ENV.fetch("OAUTH_TOKEN", "token1"), ENV.fetch("OAUTH_TOKEN_SECRET", "tokensekr1t")
)

# Who am I?
puts couch.get("/_session").body

# Write a document. The body is JSON, which no signature covers: use https.
puts couch.post("/demo", JSON.generate(from: "Ruby"), "Content-Type" => "application/json").body

# The query is signed, whatever is in it.
puts couch.get("/demo/_all_docs?limit=1&startkey=%22wel%22").body
