import { createRequire } from 'node:module';
import { signer } from './signer.js';

// PouchDB is installed beside the embedded server.
const require = createRequire(new URL('../pouchdb/package.json', import.meta.url));
const [PouchDB, ...plugins] = ['core', 'adapter-http', 'adapter-memory', 'replication'].map((name) => {
  const module = require(`pouchdb-${name}`);
  return module.default ?? module;
});
for (const plugin of plugins) PouchDB.plugin(plugin);

/** Replicates a database that is reached with OAuth or an auth key into a new one in memory, and that one into another. */
export async function replicate({ replicate: { source, target }, auth_key: authKey, ...credentials }) {
  const { oauth, authorize } = signer(credentials);
  const fetch = (url, options = {}) => {
    const headers = new Headers(options.headers);
    const request = { url: String(url), method: options.method ?? 'GET' };
    if (authKey) headers.set('X-Auth-Key', authKey);
    else headers.set('Authorization', oauth.toHeader(authorize(request)).Authorization);
    return PouchDB.fetch(url, { ...options, headers });
  };
  const local = new PouchDB(`local-${Math.random()}`, { adapter: 'memory' });
  const remote = (url) => new PouchDB(url, { skip_setup: true, fetch });
  const { docs_written: pulled } = await local.replicate.from(remote(source));
  const { docs_written: pushed } = await local.replicate.to(remote(target));
  await local.destroy();
  return { pulled, pushed };
}
