// Quantiles by DDSketch at the Agent's accuracy. Reads {"quantiles":[..],"values":{name:[..]}} from standard input,
// writes {name:[..]}. What it is compared with is in test_sketches.py.
const { LogCollapsingLowestDenseDDSketch } = require('@datadog/sketches-js');
const { quantiles, values } = JSON.parse(require('fs').readFileSync(0, 'utf8'));

const out = {};
for (const name of Object.keys(values)) {
  const sketch = new LogCollapsingLowestDenseDDSketch({ relativeAccuracy: 1 / 128, binLimit: 4096 });
  for (const value of values[name]) sketch.accept(value);
  out[name] = quantiles.map((q) => sketch.getValueAtQuantile(q));
}
process.stdout.write(JSON.stringify(out));
