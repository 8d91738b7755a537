// Every version each key of the store ever had, in the one order of commits, and whether what somebody was told of it
// can have been true when he was told. Revisions make it cheap: a commit has its place by its number, a read by the
// versions it shows; time adds that nobody is told less than was known to anybody when he asked (the floor). Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/complaint.h"
#include "store/store.h"

namespace krake::sim {

class History {
 public:
  using Revision = store::Revision;
  struct Version {
    Revision revision = 0;
    Revision created = 0;  // 0: removed
  };

  // In order.
  void committed(const store::CommitEvent& event);
  Revision newest() const { return newest_; }

  // The newest revision anybody was told of. Whoever asks from now on is not told less.
  Revision floor() const { return floor_; }
  void known(Revision revision) { floor_ = std::max(floor_, revision); }

  // ---- What somebody was told who asked when the floor was `floor`.
  // That the newest commit is this one.
  Complaint current(Revision floor, Revision revision) const;
  // That `key` was written last at `modified`; 0: that it is absent.
  Complaint read(const std::string& key, Revision floor, Revision modified) const;
  // That at `revision` these are the keys below `prefix`, with when they were written. `cut`: there are more behind.
  Complaint listed(const std::string& prefix, Revision floor, Revision revision,
                   const std::map<std::string, Revision>& entries, bool cut) const;
  // That `key` was written by the commit `revision`, or removed by it.
  Complaint wrote(const std::string& key, Revision revision) const;
  // That after `after` the next commit below `prefix` was `revision`.
  Complaint next(const std::string& prefix, Revision after, Revision revision) const;

  // The first commit after `after` that removed `key`.
  std::optional<Revision> removed_after(const std::string& key, Revision after) const;
  // As it was at `revision`; nullptr: absent.
  const Version* at(const std::string& key, Revision revision) const;

 private:
  std::map<std::string, std::vector<Version>> versions_;
  std::map<Revision, std::vector<std::string>> commits_;
  Revision newest_ = 0;
  Revision floor_ = 0;
};

}  // namespace krake::sim
