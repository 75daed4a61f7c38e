// A server of wasi:mcp that uses each function of the runtime, and says what the host answered.
import * as runtime from 'wasi:mcp/runtime@0.1.0';
import { Error as McpError } from 'wasi:mcp/types@0.1.0';

const bytes = (value) => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return Uint8Array.from(unescape(encodeURIComponent(text)), (each) => each.charCodeAt(0));
};
const json = (data) => JSON.parse(decodeURIComponent(escape(String.fromCharCode(...data))));
const tool = (name, description = name, schema = '{"type":"object"}') => ({
  name, description, inputSchema: bytes(schema), annotations: { readOnlyHint: true },
});
const resource = (uri) => ({ uri, name: 'odd' });
const template = (uriTemplate) => ({ uriTemplate, name: 'odd' });
const text = (said, annotations) => ({ tag: 'text', val: { contentType: 'text', text: said, annotations } });

// What the host says to something that it may refuse.
const attempt = (work) => {
  try {
    work();
    return 'ok';
  } catch (thrown) {
    const error = thrown.payload ?? thrown;
    return error.code ? `${error.code()}: ${error.message()} (${error.toDebugString()})` : String(error);
  }
};

const attempts = (each) => JSON.stringify(Object.fromEntries(Object.entries(each).map(([what, work]) => [what, attempt(work)])));

const info = {
  name: 'proposal', version: '1.2.3', instructions: 'Try it.',
  capabilities: { completions: {}, resources: { subscribe: true }, tools: {}, prompts: {}, logging: {} },
};

export const run = {
  run() {
    runtime.registerServer(info);
    const before = attempts({
      'register-server again': () => runtime.registerServer(info),
      'register-tools double': () => runtime.registerTools([tool('odd'), tool('odd')]),
      'register-resources double': () => runtime.registerResources([resource('odd://a'), resource('odd://a')]),
      'register-resource-templates double': () =>
        runtime.registerResourceTemplates([template('odd://{a}'), template('odd://{a}')]),
      'register-prompts double': () => runtime.registerPrompts([{ name: 'odd' }, { name: 'odd' }]),
      'register-tools nameless': () => runtime.registerTools([tool('')]),
      'register-resources nameless': () => runtime.registerResources([resource('')]),
      'register-resource-templates nameless': () => runtime.registerResourceTemplates([template('')]),
      'register-prompts nameless': () => runtime.registerPrompts([{ name: '' }]),
      'register-tools broken': () => runtime.registerTools([tool('odd', 'odd', '{"type":')]),
      'register-tools string': () => runtime.registerTools([tool('odd', 'odd', '{"type":"string"}')]),
      'send-notification early': () => runtime.sendNotification({ tag: 'tools-list-changed' }),
      'report-progress early': () => runtime.reportProgress('none', 1, undefined),
      'log broken': () => runtime.log('info', 'x', Uint8Array.of(255, 254)),
    });
    const names = ['echo', 'tell', 'after', 'twice', 'fail', 'change', 'blocks', 'logs'];
    runtime.registerTools([...names.map((name) => tool(name)), tool('before', before)]);
    runtime.registerResources([{ uri: 'note://one', name: 'one', title: 'One', mimeType: 'text/plain', size: 3 }]);
    runtime.registerResourceTemplates([{ uriTemplate: 'note://{name}', name: 'note' }]);
    runtime.registerPrompts([{ name: 'hello', arguments: [{ name: 'who', required: true }] }]);
    runtime.serve();
  },
};

const told = {
  echo: (given) => [text(given.text)],
  tell() {
    for (const step of [1, 2]) runtime.reportProgress('any', step, 2);
    runtime.sendNotification({ tag: 'progress', val: { progressToken: 'any', progress: 3, total: 3 } });
    runtime.log('warning', 'said', bytes({ k: 'é' }));
    runtime.sendNotification({ tag: 'message', val: { level: 'critical', message: 'plain' } });
    return [text(attempt(() => runtime.sendNotification({ tag: 'cancelled', val: 'x' })))];
  },
  after: () => [text(attempts({
    'register-server late': () => runtime.registerServer(info),
    'register-tools late': () => runtime.registerTools([tool('late')]),
    'register-resources late': () => runtime.registerResources([resource('late://a')]),
    'register-resource-templates late': () => runtime.registerResourceTemplates([template('late://{a}')]),
    'register-prompts late': () => runtime.registerPrompts([{ name: 'late' }]),
    'serve twice': () => runtime.serve(),
    'send-notification cancelled': () => runtime.sendNotification({ tag: 'cancelled', val: 'x' }),
    'log broken late': () => runtime.log('info', 'x', Uint8Array.of(255, 254)),
    'report-progress taken': () => runtime.reportProgress('x', 1, undefined),
  }))],
  twice: () => [text(attempt(() => runtime.serve()))],
  fail(given) {
    throw new McpError(given.code, 'no é', bytes({ retry: 5 }));
  },
  change() {
    runtime.sendNotification({ tag: 'resources-updated', val: ['note://one', 'note://two'] });
    runtime.sendNotification({ tag: 'tools-list-changed' });
    return [];
  },
  logs() {
    for (let at = 0; at < 20000; at++) runtime.log('info', 'again', undefined);
    return [text('logged')];
  },
  blocks: () => [
    text('a', { priority: 0.5, audience: ['user'], custom: bytes({ lastModified: '2026-01-01' }) }),
    { tag: 'image', val: { contentType: 'image', data: 'AAAA', mimeType: 'image/png' } },
    { tag: 'embedded-resource', val: { contentType: 'resource', uri: 'note://one', text: 'one' } },
    { tag: 'resource-link', val: { contentType: 'resource_link', uri: 'note://one', name: 'one' } },
  ],
};

export const handlers = {
  callTool: (name, given) => ({ content: told[name](json(given)), isError: name === 'twice' }),
  readResource(uri) {
    if (!uri.startsWith('note://')) throw new McpError('resource-not-found', `no ${uri}`, undefined);
    const blob = { contentType: 'resource', uri, mimeType: 'a/b', blob: 'AAAA' };
    return { contents: [text(uri), { tag: 'embedded-resource', val: blob }] };
  },
  getPrompt: (name, given) => ({
    messages: [
      { role: 'system', content: text(name) },
      { role: 'assistant', content: text(JSON.stringify(json(given))) },
    ],
  }),
  handleSubscribe(uri) {
    if (uri === 'note://locked') throw new McpError('forbidden', 'locked', undefined);
    runtime.sendNotification({ tag: 'resources-updated', val: [uri] });
  },
  handleUnsubscribe() {},
  handleComplete: (kind, asked) => [{ value: kind }, { value: JSON.parse(asked).argument.value }],
  handleElicit: (message, fields) => ({ values: bytes({ [fields[0].name]: message }) }),
};
