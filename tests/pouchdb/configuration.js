import { Router, json } from 'express';
import { CouchError, requireServerAdmin, route, sendJson } from './http.js';
import { hashAdminPassword } from './passwords.js';

/** CouchDB's configuration: sections of strings, read at every request, so a change takes effect at once. */
export class Configuration {
  #sections = new Map();

  constructor(sections) {
    for (const [section, values] of Object.entries(sections)) {
      this.#sections.set(section, new Map(Object.entries(values)));
    }
  }

  get(section, key) {
    return this.#sections.get(section)?.get(key);
  }

  isTrue(section, key) {
    return this.get(section, key) === 'true';
  }

  async set(section, key, value) {
    if (!this.#sections.has(section)) this.#sections.set(section, new Map());
    this.#sections.get(section).set(key, section === 'admins' ? await hashAdminPassword(this, value) : value);
  }

  delete(section, key) {
    this.#sections.get(section)?.delete(key);
  }

  section(name) {
    return Object.fromEntries(this.#sections.get(name) ?? []);
  }

  all() {
    return Object.fromEntries([...this.#sections.keys()].map((name) => [name, this.section(name)]));
  }
}

export function configurationRoutes(config) {
  const router = Router();
  const existing = ({ section, key }) => {
    const value = config.get(section, key);
    if (value === undefined) throw new CouchError(404, 'not_found', 'unknown_config_value');
    return value;
  };

  router.use('/_node', (req, res, next) => {
    requireServerAdmin(req);
    next();
  });
  router.get('/_node/:node/_config', (req, res) => sendJson(res, 200, config.all()));
  router.get('/_node/:node/_config/:section', (req, res) => sendJson(res, 200, config.section(req.params.section)));
  router.get('/_node/:node/_config/:section/:key', (req, res) => sendJson(res, 200, existing(req.params)));
  router.put('/_node/:node/_config/:section/:key', json({ strict: false, type: () => true }), route(async (req, res) => {
    if (typeof req.body !== 'string') throw new CouchError(400, 'bad_request', 'a JSON string expected');
    const { section, key } = req.params;
    const previous = config.get(section, key) ?? '';
    await config.set(section, key, req.body.trim());
    sendJson(res, 200, previous);
  }));
  router.delete('/_node/:node/_config/:section/:key', (req, res) => {
    const previous = existing(req.params);
    config.delete(req.params.section, req.params.key);
    sendJson(res, 200, previous);
  });
  return router;
}
