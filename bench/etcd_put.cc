// How many puts etcd takes from C++: N always under way on one channel, nothing of Krake but the protocol's messages.
//   krake_bench_etcd --endpoint HOST:PORT --in-flight N --seconds S --bytes B
// Prints {"puts": …, "seconds": …, "cpu_seconds": …}; the CPU is this client's.
#include <etcd.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;
namespace pb = etcdserverpb;

struct Call {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<pb::PutResponse>> reader;
  pb::PutResponse response;
  grpc::Status status;
};

const char* option(int argc, char** argv, const char* name) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], name) == 0) return argv[i + 1];
  }
  std::fprintf(stderr, "%s is missing\n", name);
  std::exit(2);
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  const int in_flight = std::atoi(option(argc, argv, "--in-flight"));
  const double seconds = std::atof(option(argc, argv, "--seconds"));
  const std::string value(static_cast<std::size_t>(std::atoi(option(argc, argv, "--bytes"))), 'x');
  const auto channel = grpc::CreateChannel(option(argc, argv, "--endpoint"), grpc::InsecureChannelCredentials());
  const auto stub = pb::KV::NewStub(channel);
  grpc::CompletionQueue queue;
  long sent = 0;
  const auto put = [&](Call* call) {
    pb::PutRequest request;
    request.set_key("/bench/raw/" + std::to_string(in_flight) + "/" + std::to_string(sent++));
    request.set_value(value);
    call->context = std::make_unique<grpc::ClientContext>();
    call->reader = stub->AsyncPut(call->context.get(), request, &queue);
    call->reader->Finish(&call->response, &call->status, call);
  };
  std::vector<Call> calls(static_cast<std::size_t>(in_flight));
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (auto& call : calls) put(&call);
  long puts = 0;
  auto now = begin;
  for (int open = in_flight; open > 0;) {
    void* tag = nullptr;
    bool ok = false;
    if (!queue.Next(&tag, &ok)) break;
    auto* call = static_cast<Call*>(tag);
    if (!call->status.ok()) {
      std::fprintf(stderr, "%s\n", call->status.error_message().c_str());
      return 1;
    }
    now = Clock::now();
    if (now < end) {
      ++puts;
      put(call);
    } else {
      --open;
    }
  }
  std::printf("{\"puts\": %ld, \"seconds\": %.3f, \"cpu_seconds\": %.3f}\n", puts, seconds, cpu_seconds());
  return 0;
}
