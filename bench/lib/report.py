"""The report of bench/run: Markdown, and plots where Debian's python3-matplotlib is installed."""

import json

COLUMNS = [("scenario", "scenario"), ("profile", "profile"), ("lines_per_s", "lines/s"), ("packets_per_s", "packets/s"),
           ("bytes_per_s", "bytes/s"), ("loss", "loss"), ("lossless", "without loss"),
           ("cpu_ns_per_line", "CPU a line, ns"),
           ("polling_cpu_ns_per_line", "of it polling, ns"), ("instructions_per_line", "instructions a line"),
           ("rss_mib", "resident, MiB"), ("balanced", "ledger balanced"), ("unaccounted", "not in the ledger")]
TIMES = [("scenario", "scenario"), ("profile", "profile"), ("p50", "p50, us"), ("p99", "p99, us"), ("p99.9", "p99.9, us"),
         ("seal_pause_us_max", "longest pause of a shard by a seal, us"), ("seal_ms_max", "longest seal, ms")]


def shown(value):
    if isinstance(value, bool):
        return "yes" if value else "**NO**"
    if isinstance(value, float) and value < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, (int, float)) else str(value)


def table(columns, rows):
    """A Markdown table of the columns that some row has."""
    columns = [(key, title) for key, title in columns if any(key in row for row in rows)]
    lines = ["| " + " | ".join(title for _, title in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(shown(row[key]) if key in row else "" for key, _ in columns) + " |" for row in rows]
    return "\n".join(lines)


def markdown(report, plots):
    """The whole report; `plots` are the names of the pictures beside it."""
    skipped = [r for r in report["results"] if "skipped" in r]
    measured = [r for r in report["results"] if "skipped" not in r]
    parts = ["# Benchmarks", "", "Machine: " + json.dumps(report["machine"]), "",
             "## Highest rate with at most one packet in 10000 lost", "",
             table(COLUMNS, measured), ""]
    parts += [f"{r['scenario']} with {r['profile']} lost more at each rate that was tried: its row is the one that lost "
              "least." for r in measured if not r["lossless"]]
    parts += [f"{r['scenario']} with {r['profile']} was left out: {r['skipped']}." for r in skipped]
    parts += ["", "## From receipt to aggregation", "", "At these rates, as the shards count it (docs/telemetry.md); a "
              "socket that is sent to as fast as it takes is always full.", "",
              table(TIMES, [{**r, **r["latency_us"]} for r in measured])]
    parts += ["", "## Cost against contexts", "", "The shard alone, five tags, mixed types.", "",
              table([("contexts", "contexts"), ("ns_per_line", "a line, ns")], report["contexts"]), "",
              "## From the wire to the counters", "", "From the wire of a DPDK ring to the counters of the shard, one packet at a time.", "",
              table([("case", "case"), ("p50_us", "p50, us"), ("p99_us", "p99, us"), ("p999_us", "p99.9, us"),
                     ("max_us", "longest, us")], report["latency"]), "",
              "## Scaling over shards", "", "pcap-inline, typical, a receive queue and a shard on each data core.", "",
              table([("data_cpus", "shards"), *COLUMNS[2:5], *COLUMNS[7:8]], report["scaling"]), ""]
    parts += [f"![{name}]({name})" for name in plots]
    return "\n".join(parts) + "\n"


def plot(report, folder):
    """Writes the plots; their names, or none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    made = []

    def save(name, title, x, y, draw):
        figure, axes = pyplot.subplots(figsize=(8, 4.5))
        draw(axes)
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
        figure.tight_layout()
        figure.savefig(folder / name, dpi=120)
        pyplot.close(figure)
        made.append(name)

    def throughput(axes):
        results = [r for r in report["results"] if "skipped" not in r and r["lossless"]]
        names = list(dict.fromkeys(r["scenario"] for r in results))
        profiles = list(dict.fromkeys(r["profile"] for r in results))
        for i, profile in enumerate(profiles):
            found = {r["scenario"]: r["lines_per_s"] / 1e6 for r in results if r["profile"] == profile}
            axes.bar([k + i * 0.8 / len(profiles) for k in range(len(names))], [found.get(n, 0) for n in names],
                     0.8 / len(profiles), label=profile)
        axes.set_xticks([k + 0.3 for k in range(len(names))], names, rotation=20)
        axes.legend()

    def contexts(axes):
        axes.semilogx([c["contexts"] for c in report["contexts"]], [c["ns_per_line"] for c in report["contexts"]], "o-")
        axes.set_ylim(0)

    def latency(axes):
        for case in report["latency"]:
            axes.semilogy(["p50", "p99", "p99.9", "longest"],
                          [case[k] for k in ("p50_us", "p99_us", "p999_us", "max_us")], "o-", label=case["case"])
        axes.legend()

    def scaling(axes):
        axes.plot([r["data_cpus"] for r in report["scaling"]], [r["lines_per_s"] / 1e6 for r in report["scaling"]], "o-")
        axes.set_ylim(0)

    save("throughput.png", "Highest rate without loss", "", "million lines/s", throughput)
    save("contexts.png", "Cost against contexts, the shard alone", "contexts", "ns a line", contexts)
    save("latency.png", "From wire to shard", "", "us", latency)
    save("scaling.png", "pcap-inline, typical", "shards", "million lines/s", scaling)
    return made
