// Rune inside a WebAssembly component: what a server of JavaScript offers, over rune:guest@0.1.0.
// `rune wasm build app.js` puts this module beside the file: import { Server, log, progress } from './rune.js'.
import * as host from 'rune:guest/host@0.1.0';

const INVALID_PARAMS = -32602, INTERNAL_ERROR = -32603;
let the;

/** A tool that failed: the message becomes a result with `isError`, which the model can read. */
export class ToolError extends Error {}

/** A JSON-RPC error. */
export class ProtocolError extends Error {
  constructor(code, message, data) { super(message); this.code = code; this.data = data; }
}

export const call = () => JSON.parse(host.call());
export const log = (level, data, logger) => host.log(level, logger, JSON.stringify(data));
export const progress = (done, total, message) => host.progress(done, total, message);

/** What this component offers. A component has one. */
export class Server {
  constructor(name, about = {}) {
    this.info = { name, version: '0', ...about };
    this.tools = new Map();
    this.resources = [];
    this.prompts = new Map();
    this.completions = new Map();
    the = this;
  }

  /** `definition` is that of MCP: description, inputSchema, outputSchema, annotations. */
  tool(name, definition, run) {
    const inputSchema = definition.inputSchema ?? { type: 'object' };
    this.tools.set(name, { wire: { name, ...definition, inputSchema }, run });
    return this;
  }

  /** `uri` may be a template, {name} standing for one part of it. `read` gets the parts, answers text or an object. */
  resource(uri, definition, read) {
    const names = [];
    const pattern = uri.split(/(\{\w+\})/).map((part) => {
      if (!part.startsWith('{')) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      names.push(part.slice(1, -1));
      return '([^/]+)';
    }).join('');
    this.resources.push({ uri, names, pattern: new RegExp(`^${pattern}$`), definition, read });
    return this;
  }

  /** `arguments` of the definition says what the prompt takes. `get` answers text or messages. */
  prompt(name, definition, get) {
    this.prompts.set(name, { wire: { name, ...definition }, get });
    return this;
  }

  completion(of, argument, complete) {
    this.completions.set(`${of}\n${argument}`, complete);
    return this;
  }
}

const text = (value) => ({ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) });

function content(value) {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.length && value.every((each) => each && typeof each.type === 'string')) return value;
  return [value && typeof value.type === 'string' ? value : text(value)];
}

// What is thrown becomes the error of `result<string, error>`.
function answer(work) {
  try {
    return JSON.stringify(work());
  } catch (problem) {
    const data = problem.data === undefined ? undefined : JSON.stringify(problem.data);
    throw { code: problem.code ?? INTERNAL_ERROR, message: String(problem.message ?? problem), data };
  }
}

function known(found, what) {
  if (found === undefined) throw new ProtocolError(INVALID_PARAMS, `no ${what}`);
  return found;
}

const listed = (template) => the.resources
  .filter(({ uri }) => uri.includes('{') === template)
  .map(({ uri, definition }) => ({ [template ? 'uriTemplate' : 'uri']: uri, name: uri, ...definition }));

export const server = { info: () => JSON.stringify(the.info) };

export const tools = {
  listTools: () => JSON.stringify([...the.tools.values()].map(({ wire }) => wire)),
  callTool: (name, given) => answer(() => {
    const { wire, run } = known(the.tools.get(name), `tool ${name}`);
    try {
      const value = run(JSON.parse(given || '{}'));
      if (value && Array.isArray(value.content)) return value;
      return { content: content(value), ...(wire.outputSchema ? { structuredContent: value } : {}) };
    } catch (problem) {
      if (problem instanceof ProtocolError) throw problem;
      const told = problem instanceof ToolError ? problem.message : String(problem);
      return { content: [text(told)], isError: true };
    }
  }),
};

export const resources = {
  listResources: () => JSON.stringify(listed(false)),
  listResourceTemplates: () => JSON.stringify(listed(true)),
  readResource: (uri) => answer(() => {
    for (const { names, pattern, definition, read } of the.resources) {
      const found = pattern.exec(uri);
      if (!found) continue;
      const value = read(Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(found[at + 1])])));
      if (value && Array.isArray(value.contents)) return value;
      const plain = typeof value === 'string';
      const mimeType = definition.mimeType ?? (plain ? 'text/plain' : 'application/json');
      return { contents: [{ uri, mimeType, text: plain ? value : JSON.stringify(value) }] };
    }
    throw new ProtocolError(INVALID_PARAMS, `no resource ${uri}`, { uri });
  }),
  subscribe() {},
  unsubscribe() {},
};

export const prompts = {
  listPrompts: () => JSON.stringify([...the.prompts.values()].map(({ wire }) => wire)),
  getPrompt: (name, given) => answer(() => {
    const { wire, get } = known(the.prompts.get(name), `prompt ${name}`);
    const value = get(JSON.parse(given || '{}'));
    const messages = Array.isArray(value) ? value : [{ role: 'user', content: text(value) }];
    return { ...(wire.description ? { description: wire.description } : {}), messages };
  }),
};

export const completions = {
  complete: (request) => answer(() => {
    const { ref, argument } = JSON.parse(request);
    const complete = the.completions.get(`${ref.name ?? ref.uri}\n${argument.name}`);
    const values = complete ? complete(argument.value) : [];
    return { completion: { values: values.slice(0, 100), total: values.length, hasMore: values.length > 100 } };
  }),
};
