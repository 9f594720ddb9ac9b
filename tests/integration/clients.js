// Sends every type with hot-shots. usage: node clients.js udp HOST PORT | uds PATH
// What it sends is written down in test_clients.py.
const StatsD = require('hot-shots');
const [protocol, where, port] = process.argv.slice(2);

const client = new StatsD({
  ...(protocol === 'uds' ? { protocol: 'uds', path: where } : { host: where, port: Number(port) }),
  prefix: 'hs.',
  globalTags: { client: 'hot-shots' },
  maxBufferSize: protocol === 'uds' ? 8000 : 1400,
  bufferFlushInterval: 50,
  errorHandler: (error) => { console.error(error); process.exit(1); },
});

for (let i = 0; i < 1000; i++) {
  client.increment('hits', 1 + (i % 3), [`page:${i % 10}`]);
  client.decrement('stock');
}
client.increment('sampled', 4, 1);
client.gauge('level', 1);
client.gauge('level', 7.5);
for (let i = 1; i <= 100; i++) {
  client.histogram('size', i);
  client.timing('took', i);
  client.distribution('latency', i);
  client.set('users', `user${i % 25}`);
}
client.event('Deployed', 'version 2', { alert_type: 'success', priority: 'low' }, ['v:2']);
client.check('db.up', client.CHECKS.WARNING, { message: 'slow' }, ['db:main']);
client.close((error) => { if (error) { console.error(error); process.exit(1); } });
