"""The ways into the real penstockd and data plane that benches measure: a configuration for each, and generators."""

import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))
import lab  # noqa: E402

PORT = 8125
CPUS = sorted(os.sched_getaffinity(0))
PROFILES = ["small", "typical", "many", "long"]
# Limits that no profile reaches.
LIMITS = {"contexts": 1_500_000, "context_bytes": "1GiB", "memo_bytes": "512MiB", "sample_bytes": "256MiB"}
MEMIF = "net_memif0,role={role},socket={socket},socket-abstract=no"


class Scenario:
    """One way in. `folder` is for its files, `profile` names what the generators send, `senders` says how many there
    are at once."""

    netns = None
    jumbo = True  # takes the 8 KiB packets of `long`
    data_cpus = CPUS[-1:]

    def __init__(self, folder, profile, senders=1):
        self.folder, self.profile, self.count = pathlib.Path(folder), profile, senders

    def open(self):
        return self

    def close(self):
        pass

    def config(self):
        """The configuration of penstockd."""
        top = {"hostname": "bench", "dogstatsd_port": 0, "dogstatsd_socket": "", **self.ways_in()}
        ours = {"http": {"listen": ""}, "limits": LIMITS, "cores": self.cores(),
                **top.get("penstock", {})}
        return {**top, "penstock": ours}

    def cores(self):
        return {"control": CPUS[0], "data": self.data_cpus}

    def ways_in(self):
        raise NotImplementedError

    def target(self, daemon):
        """Where generators send, as options of penstock-pktgen."""
        raise NotImplementedError

    def senders(self, daemon, **options):
        """Generators, not yet started, off the data plane's CPUs where there are others. A rate is shared."""
        if "rate" in options:
            options["rate"] = max(1, options["rate"] // self.count)
        made = []
        for i in range(self.count):
            sender = lab.Traffic(self.target(daemon), f"o{i}", netns=self.sender_netns(), seed=i + 1,
                                 profile=self.profile, **options)
            others = [c for c in CPUS if c not in self.data_cpus]
            if others:
                sender.command = ["taskset", "-c", ",".join(map(str, others)), *sender.command]
            made.append(sender)
        return made

    def sender_netns(self):
        return None

    def lost_before(self):
        """Packets that were sent and that the way in dropped before Penstock could take or count them."""
        return 0


class PcapInline(Scenario):
    """`net_pcap` as the NIC, receive loop and shard on one core (one for each of `shards`). A capture that is played
    without end where its packets, of which the driver wants a buffer each, have every context; else one that is played
    once. Costs a copy of each packet."""

    ENDLESS_PACKETS = 8000
    ONCE_BYTES = 1 << 30

    def __init__(self, folder, profile, shards=1):
        super().__init__(folder, profile)
        self.data_cpus = CPUS[-shards:]
        self.endless = profile != "many"
        self.capture = self.folder / "traffic.pcap"

    def open(self):
        self.packets = self.ENDLESS_PACKETS if self.endless else self.ONCE_BYTES // 1500
        lab.run(lab.PKTGEN, "--pcap", self.capture, "--profile", self.profile, "--packets", self.packets, timeout=300)
        return self

    def close(self):
        self.capture.unlink(missing_ok=True)

    def ways_in(self):
        files = "".join(f",rx_pcap={self.capture}" for _ in self.data_cpus)
        port = {"name": "pcap", "device": f"net_pcap0{files},infinite_rx={int(self.endless)}", "udp_ports": [PORT],
                "own": "all", "mtu": 9000 if self.profile == "long" else 1500, "queues": len(self.data_cpus),
                "descriptors": self.ENDLESS_PACKETS if self.endless else 1024}
        return {"penstock": {"ports": [port], "wiring": "inline",
                             "idle": "busy" if CPUS[0] not in self.data_cpus else "adaptive"}}


class MemifInline(Scenario):
    """A shared-memory port, and the generator at its other end, which sends packets of one 2 KiB buffer."""

    jumbo = False
    wiring = "inline"

    def device(self, role):
        return MEMIF.format(role=role, socket=self.folder / "memif.sock")

    def ways_in(self):
        return {"penstock": {"ports": [{"name": "memif", "device": self.device("server"), "udp_ports": [PORT]}],
                             "wiring": self.wiring}}

    def target(self, _):
        return "--dpdk", self.device("client")


class MemifPipeline(MemifInline):
    """The same with receive loop and shard on a core each, which with two CPUs are also the generator's."""

    wiring = "pipeline"
    data_cpus = CPUS[-2:][::-1]  # not the receive loop beside control: operating.md, memif


class AfXdpVeth(Scenario):
    """An AF_XDP port on one end of a veth pair, kernel senders at the other. A frame is within a page."""

    jumbo = False

    def open(self):
        self.wire = lab.Wire(f"pst{os.getpid()}o").open()
        self.netns = self.wire.daemon
        return self

    def close(self):
        self.wire.close()

    def ways_in(self):
        port = {"name": "wire0", "device": f"net_af_xdp0,iface={self.wire.interface}", "udp_ports": [PORT]}
        return {"penstock": {"ports": [port]}}

    def target(self, _):
        return "--udp", f"{self.wire.address}:{PORT}"

    def sender_netns(self):
        return self.wire.outside

    def lost_before(self):
        shown = lab.run("ip", "-j", "-s", "-n", self.wire.outside, "link", "show", self.wire.peer).stdout
        return json.loads(shown)[0]["stats64"]["tx"]["dropped"]


class KernelSocket(Scenario):
    """The io thread on the shard's core, so that a generator has another to itself."""

    def cores(self):
        return {**super().cores(), "io": self.data_cpus[0]}


class KernelUdp(KernelSocket):
    """A UDP socket on loopback."""

    def ways_in(self):
        return {"dogstatsd_port": "__random__", "dogstatsd_so_rcvbuf": 4 << 20}

    def target(self, daemon):
        return "--udp", daemon.status()["listeners"][0]["address"]


class UdsDgram(KernelSocket):
    """A Unix datagram socket."""

    def ways_in(self):
        return {"dogstatsd_socket": f"{self.folder}/dsd.socket"}

    def target(self, _):
        return "--uds", f"{self.folder}/dsd.socket"


class UdsStream(KernelSocket):
    """A Unix stream socket."""

    def ways_in(self):
        return {"dogstatsd_stream_socket": f"{self.folder}/dsd.stream"}

    def target(self, _):
        return "--uds-stream", f"{self.folder}/dsd.stream"


SCENARIOS = {"pcap-inline": PcapInline, "memif-inline": MemifInline, "memif-pipeline": MemifPipeline,
             "af_xdp-veth": AfXdpVeth, "kernel-udp": KernelUdp, "uds-dgram": UdsDgram, "uds-stream": UdsStream}
