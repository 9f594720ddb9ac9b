// The XDP program of an AF_XDP port. It shares the interface with the kernel: UDP datagrams to our
// ports go to the socket of their receive queue, everything else (SSH, ARP, ping, fragments, what
// we do not understand) takes its way through the kernel as if we were not there. Where the whole
// interface is ours, every frame goes to the socket.
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

struct vlan_tag {
  __be16 tci;
  __be16 type;
};

// The transport header of a UDP datagram that is not a fragment, or 0. IPv6 extension headers are
// left to the kernel.
static __always_inline struct udphdr* find_udp(void* data, void* end) {
  struct ethhdr* eth = data;
  if ((void*)(eth + 1) > end) return 0;
  __be16 type = eth->h_proto;
  void* l3 = eth + 1;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD)) break;
    struct vlan_tag* tag = l3;
    if ((void*)(tag + 1) > end) return 0;
    type = tag->type;
    l3 = tag + 1;
  }
  if (type == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = l3;
    if ((void*)(ip + 1) > end || ip->protocol != IPPROTO_UDP || ip->ihl < 5) return 0;
    if (ip->frag_off & bpf_htons(0x3fff)) return 0;  // more fragments, or an offset
    return l3 + ip->ihl * 4;
  }
  if (type == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr* ip = l3;
    if ((void*)(ip + 1) > end || ip->nexthdr != IPPROTO_UDP) return 0;
    return (struct udphdr*)(ip + 1);
  }
  return 0;
}

// The name is how XdpFilter recognises a program that a killed data plane left behind; 15 bytes at
// most.
SEC("xdp")
int penstock_filter(struct xdp_md* ctx) {
  void* end = (void*)(long)ctx->data_end;
  struct udphdr* udp = find_udp((void*)(long)ctx->data, end);
  __u16 port = 0;
  if (udp && (void*)(udp + 1) <= end) {
    port = bpf_ntohs(udp->dest);
    if (port && !bpf_map_lookup_elem(&penstock_ports, &port)) port = 0;
  }
  if (!port && !bpf_map_lookup_elem(&penstock_ports, &port)) return XDP_PASS;
  return bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
