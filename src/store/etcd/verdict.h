// What a refusal of etcd means: whether to ask again, whom, and what a person is to do. Pure; etcd tells kinds of
// errors apart by their words only ("etcdserver: ..."), so the words are the key.
#pragma once

#include <string_view>

#include "base/error.h"

namespace krake::store::etcd {

enum class Next {
  give_up,    // another attempt would end the same way
  elsewhere,  // this member cannot answer now; another one may
  later,      // overloaded
  log_in,     // the token is no longer valid
};

struct Verdict {
  Next next = Next::give_up;
  // A write may have been carried out in spite of the error.
  bool maybe_applied = false;
  Error error;
};

struct Refusal {
  int code = 0;  // as gRPC numbers them
  std::string_view message;
  std::string_view url;   // of the member that was asked
  std::string_view what;  // what was asked, for the message: "Range"
};
Verdict judge(const Refusal& refusal);

}  // namespace krake::store::etcd
