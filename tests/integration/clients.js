// Sends every type with hot-shots. usage: node clients.js udp HOST PORT | uds PATH | stream PATH | pipe PATH
// What it sends is written down in test_clients.py.
const StatsD = require('hot-shots');
const fs = require('fs');
const net = require('net');
const [protocol, where, port] = process.argv.slice(2);

// hot-shots writes a packet at a time to a stream, and leaves to its user what lies between them.
function framed(socket) {
  const write = socket.write.bind(socket);
  socket.write = (packet, done) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(packet.length);
    return write(Buffer.concat([length, Buffer.from(packet)]), done);
  };
  return socket;
}

const targets = {
  udp: () => ({ host: where, port: Number(port) }),
  uds: () => ({ protocol: 'uds', path: where }),
  stream: () => ({ protocol: 'stream', stream: framed(net.connect(where)) }),
  pipe: () => ({ protocol: 'stream', stream: fs.createWriteStream(where, { flags: 'a' }) }),
};

const client = new StatsD({
  ...targets[protocol](),
  prefix: 'hs.',
  globalTags: { client: 'hot-shots' },
  maxBufferSize: protocol === 'udp' ? 1400 : 8000,
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
