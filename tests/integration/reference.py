"""What a DogStatsD server has to put out for given datagrams: slow, plain, and written from the protocol's
description alone, so that it shares no mistake with the server under test. Numbers in comments are its sections.

    server = Server(config)
    server.datagram(b"a:1|c\\n", "uds")
    server.points(bucket)   # what must be in the JSON lines, and server.lines, .samples, .rejected in the ledger
"""

import collections
import math
import re

NOW = "now"  # the timestamp of an event or check that brought none

TYPES = {b"c": "counter", b"g": "gauge", b"h": "histogram", b"ms": "histogram", b"d": "distribution",
         b"s": "set"}  # 5.2

UNPREFIXED = """datadog.agent datadog.dogstatsd datadog.process datadog.trace_agent datadog.tracer activemq
activemq_58 airflow cassandra confluent hazelcast hive ignite jboss jvm kafka presto sidekiq solr tomcat
runtime""".split()  # 7.4


class Refused(Exception):
    """A message that is an error, with its reason."""


# --- numbers (5.3) ---

DIGITS, HEX = rb"[0-9](?:_?[0-9])*", rb"[0-9a-fA-F](?:_?[0-9a-fA-F])*"
DECIMAL = re.compile(rb"[+-]?(?:%b(?:\.(?:%b)?)?|\.%b)(?:[eE][+-]?%b)?" % (DIGITS, DIGITS, DIGITS, DIGITS))
HEXADECIMAL = re.compile(rb"[+-]?0[xX](?:_?%b(?:\.(?:%b)?)?|\.%b)[pP][+-]?%b" % (HEX, HEX, HEX, DIGITS))
INFINITY = re.compile(rb"([+-]?)(?:inf|infinity)", re.I)


def parse_float(text):
    """A number in the syntax of Go, or None."""
    if text.lower() == b"nan":
        return math.nan
    if match := INFINITY.fullmatch(text):
        return -math.inf if match[1] == b"-" else math.inf
    plain = text.replace(b"_", b"").decode("latin-1")
    if DECIMAL.fullmatch(text):
        number = float(plain)
    elif HEXADECIMAL.fullmatch(text):
        try:
            number = float.fromhex(plain)
        except OverflowError:
            return None
    else:
        return None
    return number if math.isfinite(number) else None


def parse_int(text, low=-(2**63), high=2**63 - 1):
    """A decimal integer with an optional sign, or None."""
    if not re.fullmatch(rb"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if low <= number <= high else None


# --- messages (4, 5, 6) ---

class Message:
    """Every field a metric, event or service check may have."""

    def __init__(self, kind):
        self.kind = kind
        self.name = self.type = self.values = None
        self.rate, self.time, self.tags = 1.0, 0, []
        self.title = self.text = None
        self.priority, self.alert_type = b"normal", b"info"
        self.host = self.key = self.source = self.message = b""
        self.status = None
        self.container, self.inode = b"", 0
        self.external = (False, b"", b"")
        self.cardinality = b""


def parse(text, config):
    """One message without its line feed (4.5)."""
    if text.startswith(b"_e{"):
        return parse_event(text, config)
    if text.startswith(b"_sc"):
        return parse_check(text, config)
    return parse_metric(text, config)


def parse_metric(text, config):
    first, *rest = text.split(b"|")
    if not rest:
        raise Refused("no-pipe")
    name, colon, value = first.partition(b":")
    if not colon:
        raise Refused("no-colon")
    if not name:
        raise Refused("empty-name")
    if not value:
        raise Refused("empty-value")
    if rest[0] not in TYPES:
        raise Refused("bad-type")
    m = Message("metric")
    m.name, m.type = name, TYPES[rest[0]]
    m.symbol = rest[0]
    m.values = [value] if m.type == "set" else parse_values(value)
    for field in rest[1:]:
        if field[:1] == b"#":
            m.tags = parse_tags(field[1:])
        elif field[:1] == b"@":
            m.rate = parse_float(field[1:])
            if m.rate is None:
                raise Refused("bad-rate")
        elif field[:1] == b"T":
            if config.timestamps:
                m.time = parse_int(field[1:], low=1)
                if m.time is None:
                    raise Refused("bad-timestamp")
        else:
            parse_origin(m, field, config)
    return m


def parse_values(text):
    pieces = [piece for piece in text.split(b":") if piece]
    if not pieces:
        raise Refused("no-values")
    values = [parse_float(piece) for piece in pieces]
    if None in values:
        raise Refused("bad-value")
    return values


def parse_tags(text):
    return text.split(b",") if text else []


def parse_origin(m, field, config):
    """5.7; any other field is ignored."""
    if not config.origin_fields:
        return
    if field.startswith(b"c:"):
        m.container, m.inode = b"", 0
        items = field[2:].split(b",")
        for item in items:
            if item.startswith(b"ci-"):
                m.container = item[3:]
            elif item.startswith(b"in-"):
                m.inode = parse_inode(item[3:])
            elif len(items) == 1:
                m.container = item[4:] if item.startswith(b"cid-") else item
    elif field.startswith(b"e:"):
        init, container, pod = False, b"", b""
        for item in field[2:].split(b","):
            if item.startswith(b"it-"):
                init = item[3:] in (b"1", b"t", b"T", b"TRUE", b"true", b"True")
            elif item.startswith(b"cn-"):
                container = item[3:]
            elif item.startswith(b"pu-"):
                pod = item[3:]
        m.external = (init, container, pod)
    elif field.startswith(b"card:"):
        m.cardinality = field[5:]


def parse_inode(text):
    return min(int(text), 2**64 - 1) if re.fullmatch(rb"[0-9]+", text) else 0


def parse_event(text, config):
    header, colon, body = text.partition(b":")
    if not colon:
        raise Refused("event-no-colon")
    if len(header) < 7:
        raise Refused("event-bad-header")
    first, comma, second = header[3:-1].partition(b",")
    title, length = (None if n.startswith(b"-") else parse_int(n) for n in (first, second))
    if not comma or title is None or length is None:
        raise Refused("event-bad-header")
    if title == 0:
        raise Refused("event-empty-title")
    if len(body) < title + 1 + length:
        raise Refused("event-too-short")
    m = Message("event")
    m.title = body[:title].replace(b"\\n", b"\n")
    m.text = body[title + 1:title + 1 + length].replace(b"\\n", b"\n")
    for field in body[title + 1 + length:].split(b"|")[1:]:  # what stands before the first | is no field
        if field.startswith(b"k:"):
            m.key = field[2:]
        elif field.startswith(b"s:"):
            m.source = field[2:]
        elif field.startswith(b"p:"):
            if field[2:] in (b"normal", b"low"):
                m.priority = field[2:]
        elif field.startswith(b"t:"):
            if field[2:] in (b"error", b"warning", b"info", b"success"):
                m.alert_type = field[2:]
        else:
            parse_common(m, field, config)
    return m


def parse_check(text, config):
    if text.count(b"|") < 2:
        raise Refused("sc-format")
    name, status, *fields = text[4:].split(b"|")
    if not name:
        raise Refused("sc-empty-name")
    if status not in (b"0", b"1", b"2", b"3"):
        raise Refused("sc-bad-status")
    m = Message("service_check")
    m.name, m.status = name, int(status)
    for field in fields:
        if field.startswith(b"m:"):
            m.message = field[2:]
        else:
            parse_common(m, field, config)
    return m


def parse_common(m, field, config):
    """The fields that events and checks share."""
    if field.startswith(b"d:"):
        time = parse_int(field[2:])
        m.time = m.time if time is None else time
    elif field.startswith(b"h:"):
        m.host = field[2:]
    elif field.startswith(b"#"):
        m.tags = parse_tags(field[1:])
    else:
        parse_origin(m, field, config)


# --- enrichment (7) ---

class Config:
    """The keys that matter here, by their names in the configuration."""

    def __init__(self, keys):
        self.host = keys["hostname"].encode()
        self.tags = [tag.encode() for tag in keys.get("dogstatsd_tags", [])]
        self.namespace = keys.get("statsd_metric_namespace", "").encode()
        if self.namespace and not self.namespace.endswith(b"."):
            self.namespace += b"."
        self.unprefixed = tuple(p.encode() for p in keys.get("statsd_metric_namespace_blacklist", UNPREFIXED))
        self.timestamps = keys.get("dogstatsd_no_aggregation_pipeline", True)
        self.origin_fields = keys.get("dogstatsd_origin_detection_client", False)
        self.eol_required = keys.get("dogstatsd_eol_required", [])
        self.buffer_size = keys.get("dogstatsd_buffer_size", 8192)
        self.aggregates = keys.get("histogram_aggregates", ["max", "median", "avg", "count"])
        self.percentiles = [int(float(p) * 100 + 0.5) for p in keys.get("histogram_percentiles", ["0.95"])]
        self.cardinality = keys.get("dogstatsd_tag_cardinality", "low").encode()
        self.unified = keys.get("origin_detection_unified", False)
        self.profiles = [(p["prefix"].encode(), [Mapping(m) for m in p["mappings"]])
                         for p in keys.get("dogstatsd_mapper_profiles", [])]
        which = "metric_filterlist" if keys.get("metric_filterlist") else "statsd_metric_blocklist"  # 7.6
        self.filters = [entry.encode() for entry in keys.get(which, [])]
        self.filter_prefix = keys.get(which + "_match_prefix", False)
        suffixes = tuple(["." + a for a in self.aggregates] + [f".{p}percentile" for p in self.percentiles])
        self.series_filters = [f for f in self.filters if f.decode().endswith(suffixes)]

    def filtered(self, name, filters):
        return any(name.startswith(f) if self.filter_prefix else name == f for f in filters)


class Mapping:
    """A mapping of a mapper profile (7.1)."""

    def __init__(self, keys):
        match = keys["match"].encode()
        if keys.get("match_type", "wildcard") == "wildcard":
            match = match.replace(b".", rb"\.").replace(b"*", rb"([^.]*)")
        self.pattern = re.compile(b"^" + match + rb"\Z", re.S)
        self.name = keys["name"].encode()
        self.tags = [(key.encode(), value.encode()) for key, value in keys.get("tags", {}).items()]

    def expand(self, expression, match):
        def group(reference):
            if reference[0] == b"$$":
                return b"$"
            name = (reference[1] or reference[2]).decode()
            try:
                return match.group(int(name) if name.isdigit() else name) or b""
            except IndexError:
                return b""
        return re.sub(rb"\$(?:\$|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})", group, expression)

    def apply(self, m):
        match = self.pattern.search(m.name)
        if match:
            m.name = self.expand(self.name, match)
            m.tags = m.tags + [key + b":" + self.expand(value, match) for key, value in self.tags]
        return bool(match)


def enrich(m, config):
    """Resolves host, tags and name."""
    if m.kind == "metric":
        for prefix, mappings in config.profiles:
            if prefix == b"*" or m.name.startswith(prefix):
                any(mapping.apply(m) for mapping in mappings)
                break
    host, tags, entity = config.host, [], b""
    for tag in m.tags:  # 7.2
        if tag.startswith(b"host:"):
            host = tag[5:]
        elif tag.startswith(b"dd.internal.entity_id:"):
            entity = tag[22:]
        elif tag.startswith(b"dd.internal.jmx_check_name:"):
            pass
        elif tag.startswith(b"dd.internal.card:") and not m.cardinality:
            m.cardinality = tag[17:]
        else:
            tags.append(tag)
    m.host = m.host or host
    tags += config.tags  # 7.3
    # 7.5: an entity stands for the container
    high = (m.cardinality or config.cardinality).lower() == b"high"
    if m.container and high and (config.unified or not entity):
        tags.append(b"container_id:" + m.container)
    m.tags = tuple(sorted(set(tags)))
    if m.kind == "metric" and not m.name.startswith(config.unprefixed):  # 7.4
        m.name = config.namespace + m.name


# --- aggregation (8) ---

WEIGHT_MAX = 2**32 - 1  # ours: no sample of a histogram or distribution counts for more

class Histogram:
    def __init__(self):
        self.values, self.sum, self.count = [], 0.0, 0

    def add(self, value, scale):
        weight = int(scale)
        self.values.append((value, weight))
        self.sum += value * scale
        self.count += weight

    def after(self, limit):
        """The first value whose cumulative weight is above `limit`."""
        total = 0
        for value, weight in sorted(self.values):
            total += weight
            if total > limit:
                return value
        raise AssertionError("no value")

    def series(self, config):
        """(suffix, type, value) of each series."""
        for aggregate in config.aggregates:
            value = {
                "max": lambda: max(self.values)[0],
                "min": lambda: min(self.values)[0],
                "sum": lambda: self.sum,
                "avg": lambda: self.sum / self.count,
                "median": lambda: self.after((self.count - 1) // 2),
                "count": lambda: self.count / 10,
            }[aggregate]()
            yield "." + aggregate, "rate" if aggregate == "count" else "gauge", value
        for p in config.percentiles:
            yield f".{p}percentile", "gauge", self.after(max(0, p * self.count - 1) // 100)


GAMMA_LN, BIAS, SMALLEST = 0.015504186535965254, 1338, 9.94185408912145e-10  # 8.6


def sketch_key(value):
    if value < 0:
        return -sketch_key(-value)
    if value < SMALLEST:
        return 0
    key = round(math.log(value) / GAMMA_LN) + BIAS
    return 32767 if key > 32766 else max(key, 1)


class Sketch:
    def __init__(self):
        self.bins = collections.Counter()
        self.count, self.sum, self.weighted, self.min, self.max = 0, 0.0, 0.0, math.inf, -math.inf

    def add(self, value, scale):
        weight = int(scale)
        self.bins[sketch_key(value)] += weight
        self.count += weight
        self.sum += value * scale
        self.weighted += value * weight
        self.min, self.max = min(self.min, value), max(self.max, value)

    def fields(self):
        keys, counts, most = [], [], 2**32 - 1
        for key, count in sorted(self.bins.items()):  # 4096 keys at most: the tests stay below
            split = [count % most] * (count % most > 0) + [most] * (count // most)
            keys += [key] * len(split)
            counts += split
        return {"k": keys, "n": counts, "cnt": self.count, "min": self.min, "max": self.max,
                "avg": self.weighted / self.count, "sum": self.sum}


class Server:
    """One bucket of a server with the configuration `keys`."""

    def __init__(self, keys):
        self.config = Config(keys)
        self.contexts = {}  # (name, host, tags, type) -> its aggregate
        self.at_once = []  # points that bypass the bucket
        self.packets = collections.Counter()
        self.lines = collections.Counter()
        self.rejected = collections.Counter()
        self.samples = collections.Counter()
        self.series_filtered = 0

    def datagram(self, data, source):
        self.packets["offered"] += 1
        if len(data) > self.config.buffer_size:
            self.packets["truncated"] += 1
            return
        self.packets["dispatched"] += 1
        *lines, tail = data.split(b"\n")
        for line in lines:
            self.line(line)
        if tail and source in self.config.eol_required:
            self.lines["total"] += 1
            self.rejected["unterminated"] += 1
        else:
            self.line(tail)

    def line(self, line):
        if line.endswith(b"\r"):
            line = line[:-1]
        if not line:
            return
        self.lines["total"] += 1
        try:
            m = parse(line, self.config)
        except Refused as refused:
            self.rejected[str(refused)] += 1
            return
        self.lines["ok"] += 1
        self.lines[m.kind + "s"] += 1
        enrich(m, self.config)
        if m.kind == "metric" and self.config.filtered(m.name, self.config.filters):
            self.samples["total"] += len(m.values)
            self.samples["filtered"] += len(m.values)
        elif m.kind == "metric":
            for value in m.values:
                self.sample(m, value)
        else:
            self.at_once.append(event(m) if m.kind == "event" else check(m))

    def sample(self, m, value):
        self.samples["total"] += 1
        finite = m.type == "set" or math.isfinite(value)
        if m.time:  # 8.8
            if m.type not in ("counter", "gauge"):
                self.samples["unsupported_timestamped"] += 1
            elif not finite:
                self.samples["nan_inf"] += 1
            else:
                self.samples["timestamped"] += 1
                kind, value = ("rate", value / 10) if m.type == "counter" else ("gauge", value)
                self.at_once.append(series(m.time, kind, m.name, m.host, m.tags, value))
            return
        context = (m.name, m.host, m.tags, m.type)
        if not finite:  # 8.3; a counter is known all the same
            self.samples["nan_inf"] += 1
            if m.type == "counter":
                self.contexts.setdefault(context, 0.0)
            return
        self.samples["aggregated"] += 1
        scale = 1 / m.rate if 0 < m.rate <= 1 else 1.0
        if m.type == "counter":
            self.contexts[context] = self.contexts.get(context, 0.0) + value * scale
        elif m.type == "gauge":
            self.contexts[context] = value
        elif m.type == "set":
            self.contexts.setdefault(context, set()).add(value)
        elif m.type == "histogram":
            self.contexts.setdefault(context, Histogram()).add(value, min(scale, WEIGHT_MAX))
        else:
            self.contexts.setdefault(context, Sketch()).add(value, min(scale, WEIGHT_MAX))

    def points(self, bucket):
        """Everything, as the objects of the JSON lines."""
        self.series_filtered = 0
        out = list(self.at_once)
        for (name, host, tags, kind), state in self.contexts.items():
            if kind == "counter":
                out.append(series(bucket, "rate", name, host, tags, state / 10))
            elif kind == "gauge":
                out.append(series(bucket, "gauge", name, host, tags, state))
            elif kind == "set":
                out.append(series(bucket, "gauge", name, host, tags, len(state)))
            elif kind == "histogram":
                for suffix, type_, value in state.series(self.config):
                    if self.config.filtered(name + suffix.encode(), self.config.series_filters):
                        self.series_filtered += 1
                        continue
                    out.append(series(bucket, type_, name + suffix.encode(), host, tags, value))
            else:
                out.append({"ts": bucket, "type": "sketch", "metric": text(name), "host": text(host),
                            "tags": texts(tags), **state.fields()})
        return [p for p in out if all(math.isfinite(p.get(key, 0)) for key in ("value", "avg", "sum"))]


# --- output ---

def text(data):
    return data.decode("utf-8", "replace")


def texts(tags):
    return [text(tag) for tag in tags]


def series(ts, kind, name, host, tags, value):
    return {"ts": ts, "type": kind, "metric": text(name), "host": text(host), "tags": texts(tags),
            "interval": 10, "value": value}


def event(m):
    out = {"type": "event", "title": text(m.title), "text": text(m.text), "priority": text(m.priority),
           "alert_type": text(m.alert_type)}
    return out | common(m, {"aggregation_key": text(m.key), "source_type": text(m.source)})


def check(m):
    return {"type": "service_check", "name": text(m.name), "status": m.status} | common(m, {"message": text(m.message)})


def common(m, more):
    """What events and checks share; empty keys are left out (12)."""
    out = {"timestamp": m.time or NOW, "hostname": text(m.host), "tags": texts(m.tags), **more,
           "container_id": text(m.container), "inode": m.inode, "cardinality": text(m.cardinality)}
    if m.external != (False, b"", b""):
        init, container, pod = m.external
        out["external_data"] = {"init": init, "container_name": text(container), "pod_uid": text(pod)}
    return {key: value for key, value in out.items() if value}
