import { createHash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const DIGESTS = { sha: 'sha1', sha224: 'sha224', sha256: 'sha256', sha384: 'sha384', sha512: 'sha512' };
const KEY_LENGTHS = { sha: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 };

const deriveKey = async (prf, password, salt, iterations) =>
  (await promisify(pbkdf2)(password, salt, iterations, KEY_LENGTHS[prf], DIGESTS[prf])).toString('hex');

const simpleHash = (password, salt) => createHash('sha1').update(password + salt).digest('hex');

export function equal(a, b) {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

async function hash(config, password) {
  const prf = config.get('chttpd_auth', 'pbkdf2_prf');
  const iterations = Number(config.get('chttpd_auth', 'iterations'));
  const salt = randomBytes(16).toString('hex');
  return { prf, iterations, salt, key: await deriveKey(prf, password, salt, iterations) };
}

/** What CouchDB does to a user document that is written with a `password`. */
export async function hashUserPassword(config, doc) {
  if (doc.password === undefined || doc.password === null) return;
  const { prf, iterations, salt, key } = await hash(config, doc.password);
  delete doc.password;
  delete doc.password_sha;
  Object.assign(doc, { password_scheme: 'pbkdf2', pbkdf2_prf: prf, salt, iterations, derived_key: key });
}

export async function hashAdminPassword(config, value) {
  if (parseAdmin(value)) return value;
  const { prf, iterations, salt, key } = await hash(config, value);
  // SHA-1 has no name in the value: that is what CouchDB wrote before it knew other functions.
  return `-pbkdf2${prf === 'sha' ? '' : `:${prf}`}-${key},${salt},${iterations}`;
}

/** A server admin's value as the password fields of a user document, or undefined when it is not hashed. */
export function parseAdmin(value) {
  const simple = /^-hashed-([^,]+),([^,]+)$/.exec(value);
  if (simple) return { password_scheme: 'simple', password_sha: simple[1], salt: simple[2] };
  const derived = /^-pbkdf2(?::(sha(?:224|256|384|512)?))?-([^,]+),([^,]+),(\d+)$/.exec(value);
  if (!derived) return undefined;
  const [, prf = 'sha', key, salt, iterations] = derived;
  return { password_scheme: 'pbkdf2', pbkdf2_prf: prf, derived_key: key, salt, iterations: Number(iterations) };
}

export async function verifyPassword(fields, password) {
  const { password_scheme: scheme = 'simple', pbkdf2_prf: prf = 'sha', salt = '', iterations = 10000 } = fields;
  if (scheme === 'simple') return equal(simpleHash(password, salt), fields.password_sha ?? '');
  const secret = scheme === 'simple+pbkdf2' ? simpleHash(password, salt) : password;
  return equal(await deriveKey(prf, secret, salt, iterations), fields.derived_key ?? '');
}
