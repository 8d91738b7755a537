// The simulated network: names instead of sockets, requests handed to handlers inside the process they belong to, with
// delays, losses, cuts and partitions in between. A crash of the target ends what runs there; the caller sees
// `unavailable`. Caller and target may live on different loops of the one thread. Neither holds anything of the other's
// loop, so that each can be destroyed at any time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/env.h"
#include "base/task_group.h"
#include "net/dial.h"
#include "net/inproc/inproc.h"

namespace krake::sim {

// What happened, one line each; the same seed gives the same lines.
class Trace {
 public:
  explicit Trace(Clock& clock) : clock_(clock) {}
  void add(std::string line);
  std::deque<std::string> tail() const;
  std::uint64_t hash() const { return hash_; }
  void keep_all(std::string* sink) { sink_ = sink; }

 private:
  struct Line {
    Mono at;
    std::string what;
  };
  static std::string text(const Line& line);

  Clock& clock_;
  std::deque<Line> tail_;
  std::uint64_t hash_ = 0xcbf29ce484222325;
  std::string* sink_ = nullptr;
};

// The machine of the user, by its name in the network.
inline constexpr std::string_view kUserMachine = "user";

struct NetFaults {
  double delay =
      0;  // chance that a message is late, by up to max_delay: messages of different calls overtake each other
  Duration max_delay = std::chrono::milliseconds(800);
  double lose = 0;         // chance that a request is lost before it arrives, and its sender told so
  double lose_answer = 0;  // the request is carried out, its answer is lost
  double cut_stream = 0;   // chance per piece that a stream breaks
  double half_open = 0;    // chance per request and per piece that the connection dies and nobody is told
  double duplicate = 0;    // a read is delivered a second time, whose answer nobody waits for
  double garble = 0;       // an answer, or a piece with which its stream ends, arrives as something else
  double repeat = 0;       // chance per piece of a stream that what it says is said twice
  double linger = 0;       // a request is under way for up to kLongest, whatever becomes of its sender; not the user's
};
// Longer than a lease, and than anybody waits for an answer.
inline constexpr Duration kLongest = std::chrono::seconds(15);
// What somebody in between makes of an answer: cut off, of another type, a page of its own. `how` chooses.
void garble(HttpResponse& answer, std::uint64_t how);

// One direction between two parties: messages arrive; are refused, and the sender hears it; or vanish.
enum class Way : std::uint8_t { open, refused, silent };

// What happened on it so far.
struct NetCounts {
  std::uint64_t delivered = 0;  // requests, answers and pieces of streams that arrived
  std::uint64_t requests = 0;
  std::uint64_t pieces = 0;  // of streams
  std::uint64_t lost = 0;
  std::uint64_t answers_lost = 0;
  std::uint64_t streams_cut = 0;
  std::uint64_t half_open = 0;  // connections that died in silence
  std::uint64_t given_up = 0;   // of these, streams whose reader noticed
  std::uint64_t duplicates = 0;
  std::uint64_t unreachable = 0;  // behind a partition
  std::uint64_t down = 0;         // nobody was there
  std::uint64_t garbled = 0;
  std::uint64_t repeated = 0;
  std::uint64_t lingered = 0;
  // The first call of somebody with a name of Krake's own that he had no right to. Roles are to be enough.
  std::optional<std::string> forbidden;
};

class Network {
 public:
  Network(Env& env, Trace& trace)
      : env_(env), trace_(trace), random_(env.random.fork("network")), foul_(env.random.fork("foul play")) {}

  // A process that answers under `name`, on its own loop. down() ends everything that runs there; forget() is for a
  // process whose loop was dropped.
  void up(const std::string& name, const boost::asio::any_io_executor& executor, Handler handler);
  Awaitable<void> down(const std::string& name);
  void forget(const std::string& name) { hosts_.erase(name); }
  std::shared_ptr<Transport> transport(std::string from, std::string to, Peer peer);

  // Sees each request at the moment it is sent.
  using Sent = std::function<void(const std::string& from, const std::string& to, const HttpRequest& request)>;
  void on_send(Sent hook) { sent_ = std::move(hook); }
  // Sees what came of it, at the moment its sender does. Not of streams.
  using Answered = std::function<void(const std::string& from, const std::string& to, const std::string& method,
                                      const std::string& target, const Result<HttpResponse>& answer)>;
  void on_answer(Answered hook) { answered_ = std::move(hook); }
  // Sees what came of a request that lingered, at the moment it is carried out.
  void on_late(Answered hook) { late_ = std::move(hook); }
  // Nothing is garbled or repeated on its way to `party`: it judges what was sent.
  void spare(const std::string& party) { spared_.insert(party); }
  // A process is being destroyed: streams that end meanwhile were given up by nobody.
  void crashing(bool now) { crashing_ = now; }

  NetFaults faults;
  // From one party to another; "*": any. The other direction stays as it is.
  void cut(const std::string& from, const std::string& to, Way way) { cut_[{from, to}] = way; }
  void partition(const std::string& a, const std::string& b, Way way = Way::refused) {
    cut(a, b, way);
    cut(b, a, way);
  }
  void heal(const std::string& from, const std::string& to) { cut_.erase({from, to}); }
  void heal() { cut_.clear(); }
  // Whether what one asks the other stays without an answer, on the wire alone.
  bool silent(const std::string& a, const std::string& b) const {
    return way(a, b) == Way::silent || way(b, a) == Way::silent;
  }
  bool partitioned() const { return !cut_.empty(); }
  const NetCounts& counts() const { return counts_; }
  std::uint64_t messages() const { return counts_.delivered; }

 private:
  friend class SimTransport;
  bool strikes(double chance, const std::string& party) { return foul_.chance(chance) && !spared_.contains(party); }
  struct Host {
    explicit Host(const boost::asio::any_io_executor& executor) : tasks(executor) {}
    Handler handler;
    TaskGroup tasks;
  };
  Way way(const std::string& from, const std::string& to) const;
  Duration delay();  // of the next message

  Env& env_;
  Trace& trace_;
  Random random_;
  Random foul_;  // of garbled and repeated messages: worlds without any stay as they are
  std::map<std::string, std::shared_ptr<Host>> hosts_;
  std::map<std::pair<std::string, std::string>, Way> cut_;
  NetCounts counts_;
  Sent sent_;
  Answered answered_;
  Answered late_;
  std::set<std::string> spared_;
  bool crashing_ = false;
};

// https://NAME reaches the host NAME, which takes whoever asks for `peer`.
class SimDialer final : public Dialer {
 public:
  SimDialer(Network& network, std::string from, Peer peer = {})
      : network_(network), from_(std::move(from)), peer_(std::move(peer)) {}
  Result<std::shared_ptr<Transport>> dial(const Endpoint& endpoint) override;

 private:
  Network& network_;
  std::string from_;
  Peer peer_;
};

// Goes to any of several servers, another one each time.
std::shared_ptr<Transport> make_roaming_transport(std::vector<std::shared_ptr<Transport>> servers, Random random);

}  // namespace krake::sim
