#include "controlplane/http.h"

#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>
#include <semaphore>

#include "dataplane/base/fd.h"
#include "dataplane/base/strings.h"

namespace penstock {
namespace {

constexpr size_t kWorkers = 2;
constexpr int kTimeoutS = 2;
// Taken in and not yet closed; further ones wait in the kernel. The library takes in all there are,
// and clients that say nothing could use up the process's descriptors.
constexpr ptrdiff_t kConnectionsMax = 16;

class Workers : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> connection) override {
    free_.acquire();
    pool_.enqueue([this, connection = std::move(connection)] {
      connection();
      free_.release();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  std::counting_semaphore<kConnectionsMax> free_{kConnectionsMax};
  httplib::ThreadPool pool_{kWorkers};  // ends before what its tasks use
};

}  // namespace

HttpServer::HttpServer(std::string key, ListenAddress address)
    : key_(std::move(key)),
      address_(std::move(address)),
      server_(std::make_unique<httplib::Server>()) {
  server_->new_task_queue = [] { return new Workers; };
  server_->set_read_timeout(kTimeoutS);
  server_->set_write_timeout(kTimeoutS);
  // An idle connection occupies a worker: one request each, and a second to begin it.
  server_->set_keep_alive_max_count(1);
  server_->set_keep_alive_timeout(1);
  server_->set_payload_max_length(0);
  // The library's own choice, SO_REUSEPORT, would hide that the port is taken.
  server_->set_socket_options([](socket_t socket) {
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
}

HttpServer::~HttpServer() {
  if (!thread_.joinable()) return;
  server_->stop();
  thread_.join();
}

void HttpServer::get(const std::string& path, Handler handler) {
  server_->Get(path, [handler = std::move(handler)](const httplib::Request& /*request*/,
                                                    httplib::Response& response) {
    const HttpReply reply = handler();
    response.status = reply.status;
    response.set_content(reply.body, reply.content_type);
  });
}

absl::Status HttpServer::start() {
  errno = 0;
  if (!server_->bind_to_port(address_.host, address_.port)) {
    absl::Status status = errno_status(errno == 0 ? EADDRNOTAVAIL : errno,
                                       cat(key_, " = \"", address_.text(),
                                           "\": cannot listen (choose another address or stop "
                                           "the process that has it)"));
    error_ = to_std(status.message());
    return status;
  }
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  return absl::OkStatus();
}

}  // namespace penstock
