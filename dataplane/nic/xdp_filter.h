#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/fd.h"
#include "dataplane/base/status.h"

namespace penstock {

// Our XDP program (penstock_xdp.bpf.c) on one kernel interface. net_af_xdp loads and attaches it
// when the port's first queue is set up; this class clears the way before, tells the program our
// UDP ports once the port receives, and takes it off at the end. Keeper's thread.
class XdpFilter {
 public:
  // Before the port is probed. Reserves the interface for this process, and detaches a program of
  // ours that a killed data plane left behind. NOT_FOUND: no such interface; ALREADY_EXISTS:
  // another program, or another Penstock, is on it.
  static absl::StatusOr<std::unique_ptr<XdpFilter>> prepare(std::string_view interface);

  // Detaches our program if it is still there.
  ~XdpFilter();
  XdpFilter(const XdpFilter&) = delete;
  XdpFilter& operator=(const XdpFilter&) = delete;

  // True if `prepare` found a stale program: the kernel may still hold its sockets for a moment.
  [[nodiscard]] bool was_stale() const { return was_stale_; }

  // As a port number for `admit`: every frame.
  static constexpr uint16_t kEverything = 0;

  // After the port has started: from now on datagrams to `udp_ports` (host order) are ours.
  absl::Status admit(std::span<const uint16_t> udp_ports);
  // Gives them back to the kernel. What the NIC has already received stays ours.
  void withdraw();

  // Whether the interface has its link, as the kernel says; net_af_xdp says so in any case.
  [[nodiscard]] bool link_up() const;
  // What keeps datagrams from us for good and what to do, or empty: the interface is gone, or
  // somebody took our program off it.
  [[nodiscard]] std::string trouble() const;

 private:
  XdpFilter(std::string interface, unsigned index, Fd reservation)
      : interface_(std::move(interface)), index_(index), reservation_(std::move(reservation)) {}

  std::string interface_;
  unsigned index_;  // of the interface
  Fd reservation_;
  Fd ports_;              // the map penstock_ports
  uint32_t program_ = 0;  // the kernel's id of our program
  std::vector<uint16_t> admitted_;
  bool was_stale_ = false;
};

// The path of penstock_xdp.bpf.o: in $PENSTOCK_LIBEXEC, by default the executable's folder, or in
// nic/ below it. NOT_FOUND names the places.
absl::StatusOr<std::string> find_xdp_object();

}  // namespace penstock
