// A server in JavaScript: `rune wasm build examples/wasm/dice.js`, then `rune serve examples/wasm/dice.wasm`.
import { Server, ToolError, log, progress } from './rune.js';

const server = new Server('dice', { version: '1.0.0', instructions: 'Roll dice.' });

const schema = {
  type: 'object',
  properties: { sides: { type: 'integer', minimum: 2 }, count: { type: 'integer', minimum: 1, maximum: 100 } },
  required: ['sides'],
};

server.tool('roll', { description: 'Roll some dice.', inputSchema: schema }, ({ sides, count = 1 }) => {
  if (sides < 2) throw new ToolError(`a die with ${sides} sides does not roll`);
  const rolled = [];
  for (let at = 1; at <= count; at++) {
    rolled.push(1 + Math.floor(Math.random() * sides));
    progress(at, count);
  }
  log('info', { sides, rolled });
  return rolled.join(' ');
});

server.resource('dice://{sides}/faces', { name: 'faces', description: 'What a die can show.' }, ({ sides }) => ({
  faces: Array.from({ length: Number(sides) }, (_, at) => at + 1),
}));

server.prompt('game', { description: 'Explain a game.', arguments: [{ name: 'name', required: true }] }, ({ name }) =>
  `Explain the rules of ${name} in three sentences.`);

server.completion('game', 'name', (typed) => ['craps', 'kniffel', 'yahtzee'].filter((each) => each.startsWith(typed)));
