import { createHmac } from 'node:crypto';
import OAuth from 'oauth-1.0a';

const HASHES = { 'HMAC-SHA1': 'sha1', 'HMAC-SHA256': 'sha256' };

/** oauth-1.0a, and its `authorize` for the token of a job. */
export function signer({ signature, consumer: [key, secret], token, realm, bare }) {
  const hash = HASHES[signature];
  const oauth = new OAuth({
    consumer: { key, secret },
    signature_method: signature,
    hash_function: hash && ((text, hmacKey) => createHmac(hash, hmacKey).update(text).digest('base64')),
    parameter_seperator: realm === '' ? ',' : undefined,
  });
  const authorize = (request) => {
    const signed = oauth.authorize(request, { key: token[0], secret: token[1] });
    if (bare) {
      delete signed.oauth_nonce;
      delete signed.oauth_timestamp;
    }
    return signed;
  };
  return { oauth, authorize };
}
