// The XDP program of an AF_XDP port. It shares the interface with the kernel: UDP datagrams to our
// ports go to the socket of their receive queue, everything else (SSH, ARP, ping, what we do not
// understand) takes its way through the kernel as if we were not there. Where the whole interface
// is ours, every frame goes to the socket.
//
// Of a fragmented datagram only the first piece names the port. It is remembered by what all pieces
// have in common, so the others follow it; one that overtakes the first is the kernel's, and the
// datagram is lost. Senders send the first piece first.
//
// net_af_xdp loads this object and fills `xsks_map`; XdpFilter fills `penstock_ports` once the port
// receives and empties it before it stops.

// linux/bpf.h has the types that the others use.
// clang-format off
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 64);  // receive queues
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64);
  __type(key, __u16);  // UDP destination port, host order; 0: every frame is ours
  __type(value, __u8);
} penstock_ports SEC(".maps");

// RFC 791, RFC 8200 section 4.5, for UDP alone. IPv4 addresses in the first bytes of theirs.
struct datagram {
  __u8 src[16];
  __u8 dst[16];
  __u32 id;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct datagram);
  __type(value, __u16);  // its UDP destination port, host order
} penstock_datagrams SEC(".maps");

struct vlan_tag {
  __be16 tci;
  __be16 type;
};

struct fragment_header {
  __u8 next;
  __u8 reserved;
  __be16 offset_and_more;
  __be32 id;
};

// What precedes the transport layer says.
struct found {
  void* udp;          // transport header, or payload of a later piece; 0: no UDP
  __u8 first, later;  // piece of a datagram
  struct datagram datagram;
};

static __always_inline void read_ipv4(void* l3, void* end, struct found* out) {
  struct iphdr* ip = l3;
  if ((void*)(ip + 1) > end || ip->protocol != IPPROTO_UDP || ip->ihl < 5) return;
  out->udp = l3 + ip->ihl * 4;
  out->later = (ip->frag_off & bpf_htons(0x1fff)) != 0;
  out->first = !out->later && (ip->frag_off & bpf_htons(0x2000)) != 0;
  __builtin_memcpy(out->datagram.src, &ip->saddr, 4);
  __builtin_memcpy(out->datagram.dst, &ip->daddr, 4);
  out->datagram.id = ip->id;
}

// Extension headers but that of fragments are left to the kernel.
static __always_inline void read_ipv6(void* l3, void* end, struct found* out) {
  struct ipv6hdr* ip = l3;
  if ((void*)(ip + 1) > end) return;
  if (ip->nexthdr == IPPROTO_UDP) out->udp = ip + 1;
  if (ip->nexthdr != 44) return;
  struct fragment_header* fragment = (void*)(ip + 1);
  if ((void*)(fragment + 1) > end || fragment->next != IPPROTO_UDP) return;
  out->udp = fragment + 1;
  out->later = (fragment->offset_and_more & bpf_htons(0xfff8)) != 0;
  out->first = !out->later && (fragment->offset_and_more & bpf_htons(1)) != 0;
  __builtin_memcpy(out->datagram.src, &ip->saddr, 16);
  __builtin_memcpy(out->datagram.dst, &ip->daddr, 16);
  out->datagram.id = fragment->id;
}

static __always_inline void find_udp(void* data, void* end, struct found* out) {
  struct ethhdr* eth = data;
  if ((void*)(eth + 1) > end) return;
  __be16 type = eth->h_proto;
  void* l3 = eth + 1;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)) break;
    struct vlan_tag* tag = l3;
    if ((void*)(tag + 1) > end) return;
    type = tag->type;
    l3 = tag + 1;
  }
  if (type == bpf_htons(ETH_P_IP)) read_ipv4(l3, end, out);
  if (type == bpf_htons(ETH_P_IPV6)) read_ipv6(l3, end, out);
}

// Whether the datagram of which `in` is all or a piece goes to one of our ports.
static __always_inline int is_ours(struct found* in, void* end) {
  if (in->later) {
    __u16* port = bpf_map_lookup_elem(&penstock_datagrams, &in->datagram);
    return port && bpf_map_lookup_elem(&penstock_ports, port);
  }
  struct udphdr* udp = in->udp;
  if (!udp || (void*)(udp + 1) > end) return 0;
  __u16 port = bpf_ntohs(udp->dest);
  const int ours = port && bpf_map_lookup_elem(&penstock_ports, &port);
  if (in->first && ours) bpf_map_update_elem(&penstock_datagrams, &in->datagram, &port, BPF_ANY);
  // The identification comes round: an old datagram of ours must not take the kernel's pieces.
  if (in->first && !ours) bpf_map_delete_elem(&penstock_datagrams, &in->datagram);
  return ours;
}

// The name is how XdpFilter recognises a program that a killed data plane left behind; 15 bytes at
// most.
SEC("xdp")
int penstock_filter(struct xdp_md* ctx) {
  void* end = (void*)(long)ctx->data_end;
  struct found found = {};
  find_udp((void*)(long)ctx->data, end, &found);
  const __u16 everything = 0;
  if (!is_ours(&found, end) && !bpf_map_lookup_elem(&penstock_ports, &everything)) {
    return XDP_PASS;
  }
  return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
