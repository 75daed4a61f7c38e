// A server of wasi:mcp that can only be served from inside of serve(): what follows it is the end of the program.
import * as runtime from 'wasi:mcp/runtime@0.1.0';

const bytes = (value) => Uint8Array.from(JSON.stringify(value), (each) => each.charCodeAt(0));
const text = (said) => ({ content: [{ tag: 'text', val: { contentType: 'text', text: String(said) } }] });
let calls = 0;
let inside = false;
const wishes = [];

export const run = {
  run() {
    runtime.registerServer({ name: 'stay', version: '1', capabilities: { tools: {}, resources: { subscribe: true } } });
    runtime.registerResources([{ uri: 'note://a', name: 'a' }]);
    const names = ['count', 'fail', 'spin', 'inside', 'step', 'wishes'];
    runtime.registerTools(names.map((name) => ({ name, description: name, inputSchema: bytes({ type: 'object' }) })));
    inside = true;
    runtime.serve();
    inside = false;
    throw new Error('it has left serve()');
  },
};

const told = {
  count: () => text((calls += 1)),
  fail() {
    throw new Error('on purpose');
  },
  spin() {
    for (;;);
  },
  inside: () => text(inside),
  wishes: () => text(JSON.stringify(wishes)),
  step() {
    runtime.reportProgress('any', 1, 2);
    return text('stepped');
  },
};

const refuse = () => {
  throw new Error('not here');
};

export const handlers = {
  callTool: (name) => told[name](),
  readResource: refuse,
  getPrompt: refuse,
  handleSubscribe: (uri) => void wishes.push(`+${uri}`),
  handleUnsubscribe: (uri) => void wishes.push(`-${uri}`),
  handleComplete: refuse,
  handleElicit: refuse,
};
