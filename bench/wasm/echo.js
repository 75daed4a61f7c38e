// The guest in JavaScript.
import { Server } from './rune.js';

const TEXT = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] };
const ROUNDS = { type: 'object', properties: { rounds: { type: 'integer' } }, required: ['rounds'] };

const server = new Server('echo', { version: '1' });

server.tool('echo', { description: 'Say it again.', inputSchema: TEXT }, ({ text }) => text);

server.tool('length', { description: 'How long it is.', inputSchema: TEXT }, ({ text }) => String(text.length));

server.tool('work', { description: 'Compute for a while.', inputSchema: ROUNDS }, ({ rounds }) => {
  let found = 0;
  for (let at = 0; at < rounds; at++) found = (found * 31 + at) & 0xFFFFF;
  return String(found);
});
